"""The words of the report in a language: one gettext catalogue, and how numbers and dates are written there.

What the report itself says is looked up by :meth:`Words.say` and in the templates. What analyses and catalogues say
comes as English text and is looked up by :meth:`Words.said`: whole, or as one of the patterns of
:mod:`reports.phrases`. Text without a translation stays as it is and is marked as English.
"""

from __future__ import annotations

import copy
import datetime as dt
import gettext
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from analysis.disclosure import POLICY
from registry.errors import choose
from reports.phrases import PHRASES

SOURCE = "en"
DOMAIN = "catamnesis"
FOLDER = Path(__file__).parent / "locale"
_NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")
_NUMBERS_ALONE = re.compile(r"[\d\s.,;:%+\-−–<>=≤≥/()\[\]|∞]*|[<>=≤≥ ]*[-\d.]+e[-+]?\d+|\[c\]|p ?[<=] ?[\d.]+")
# What can stand in a place of a phrase, by its name; anything in the others.
_FIGURE = r"[-−+]?[\d.,]*\d(?:e[-+]\d+)?(?: %)?"
_COUNTED = ("chi", "day", "df", "first", "high", "last", "level", "low", "mean", "months", "near", "needed", "share",
            "value", "visits")  # fmt: skip
_PLACES = dict.fromkeys(_COUNTED, _FIGURE)
_PLACES |= {
    "n": r"few|some|(?:fewer than )?[\d.,]*\d(?: or more)?",
    "stratum": "[^:;]+?",
    "visit": "[^;]+?",
    "most": r"[\d.,]*\d",
    "days": r"\d+(?:(?:, | and )\d+)*",
    "before": r"[\w ]+?",
    "after": r"[\w ]+",
    "covariate": r"[\w -]+",
    "ends": ".*?",
}
# Places whose text is quoted whole: it is the words of somebody else.
_QUOTED = ("source", "why")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


class _Nothing(gettext.NullTranslations):
    def gettext(self, message: str) -> str:
        return ""


@dataclass(frozen=True)
class Words:
    """A language of the report.

    Attributes
    ----------
    language
        Its code, as in the page's ``lang``.
    messages
        Its catalogue; that of English says what it is asked.
    strict
        The same, which says nothing where it has no words.
    """

    language: str = SOURCE
    messages: gettext.NullTranslations = field(default_factory=gettext.NullTranslations)
    strict: gettext.NullTranslations = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # What the catalogue does not have comes back as nothing, so that a word that is alike in both is found.
        strict = copy.copy(self.messages)
        strict.add_fallback(_Nothing())
        object.__setattr__(self, "strict", strict)

    def say(self, message: str, **values: Any) -> str:
        """Return a sentence of the report with its values in their places."""
        return self.messages.gettext(message) % values

    def say_many(self, one: str, many: str, n: int, **values: Any) -> str:
        """Return the form of a sentence that goes with the number `n`; it stands there as ``%(n)s``."""
        return self.messages.ngettext(one, many, n) % {"n": self.integer(n), **values}

    def html(self, message: str, **values: Any) -> Markup:
        """Return the same as HTML, where values may be HTML."""
        return escape(self.messages.gettext(message)) % values

    def said(self, text: str) -> Markup:
        """Return as HTML what an analysis or a catalogue says, marked as English where it is not translated."""
        found = self._found(text, mark=True)
        return Markup('<span lang="en">{}</span>').format(text) if found is None else Markup(found)

    def plain(self, text: str) -> str:
        """Return the same where nothing can be marked: in attributes and figures."""
        found = self._found(text, mark=False)
        return text if found is None else found

    def knows(self, text: str) -> bool:
        """Say whether a text is told in this language."""
        return self._found(text, mark=False) is not None

    def value(self, text: str) -> Markup:
        """Return a value of the data: in the reader's words where the catalogue has it, else as clinics wrote it."""
        found = self._found(text, mark=True)
        return Markup('<span translate="no">{}</span>').format(text) if found is None else Markup(found)

    def inside(self, label: str) -> str:
        """Return a label as it stands inside a sentence."""
        lower = self.messages.pgettext("letters of a stage's name inside a sentence: lower, or as they are", "lower")
        return self.plain(label).lower() if lower == "lower" else self.plain(label)

    def percent(self, value: float | None) -> str:
        """Return a share as whole per cent."""
        return "–" if value is None else self.say("%(number)s %%", number=f"{100 * value:.0f}")

    def count(self, value: int | None) -> str:
        """Return a count, small ones hidden: none is none, few are "<5"."""
        if value is None:
            return "–"
        return f"<{POLICY.smallest_cell}" if 0 < value < POLICY.smallest_cell else self.integer(value)

    def number(self, value: float | None) -> str:
        """Return a number with one decimal."""
        # Rounded first, or a little less than nothing would be printed as -0.0.
        return "–" if value is None else self.text(f"{round(value, 1) + 0.0:,.1f}")

    def integer(self, value: float) -> str:
        """Return a whole number."""
        return self.text(f"{round(value):,}")

    def text(self, text: str) -> str:
        """Return text with the numbers in it written as in this language; it comes as Python writes them."""
        decimal, thousands = self.signs
        if (decimal, thousands) == (".", ","):
            return text
        # Where the comma is the decimal sign it cannot part two numbers too.
        parted = re.sub(r"(?<=\d), (?=[\d−-])", "; ", text) if decimal == "," else text
        return _NUMBER.sub(lambda m: m[0].translate({ord("."): decimal, ord(","): thousands}), parted)

    def date(self, day: dt.date | str | None) -> str:
        """Return a day, or one as text (YYYY-MM-DD), as it is written."""
        if day is None:
            return "–"
        held = dt.date.fromisoformat(day) if isinstance(day, str) else day
        return held.strftime(self.messages.pgettext("a day, as strftime takes it", "%Y-%m-%d"))

    def moment(self, when: dt.datetime) -> str:
        """Return a point of time in UTC."""
        return when.strftime(self.messages.pgettext("day and time, as strftime takes it", "%Y-%m-%d %H:%M UTC"))

    @property
    def signs(self) -> tuple[str, str]:
        """Decimal sign and the sign between thousands."""
        decimal = self.messages.pgettext("decimal sign", ".")
        return decimal, self.messages.pgettext("sign between thousands", ",")

    def _found(self, text: str, *, mark: bool) -> str | None:
        """Return the text in this language; None if it has no words for it."""
        if self.language == SOURCE:
            return str(escape(text)) if mark else text
        if text and (exact := self.strict.gettext(text)):
            return str(escape(exact)) if mark else exact
        if _DAY.fullmatch(text):
            return self.date(text)
        if _NUMBERS_ALONE.fullmatch(text):
            return str(escape(self.text(text))) if mark else self.text(text)
        for phrase, pattern in _patterns():
            if held := pattern.fullmatch(text):
                values = {k: self._part(k, v, mark=mark) for k, v in held.groupdict().items()}
                told = self.messages.gettext(phrase)
                return str(escape(told) % values) if mark else told % values
        return None

    def _part(self, name: str, text: str, *, mark: bool) -> str:
        """Return what stands in a place of a pattern: a word, a number, or a list of such; else as it came."""
        found = self._found(text, mark=mark)
        if found is None and name not in _QUOTED:
            for sign in ("; ", ", "):
                if sign in text:
                    parts = [self._part(name, part, mark=mark) for part in text.split(sign)]
                    return Markup(sign).join(parts) if mark else sign.join(parts)
        if not mark:
            return text if found is None else found
        if found is not None:
            return Markup(found)
        prose = name in _QUOTED or len(re.findall(r"\b[a-z]{2,}\b", text)) > 1
        return Markup('<span lang="en">{}</span>' if prose else '<span translate="no">{}</span>').format(text)


# The words as they are written in the code.
ENGLISH = Words()


def languages() -> list[str]:
    """Return the codes of the languages that the report can be written in, English first."""
    return [SOURCE, *sorted(file.parents[1].name for file in FOLDER.glob(f"*/LC_MESSAGES/{DOMAIN}.mo"))]


def words_of(language: str) -> Words:
    """Return the words of a language.

    Raises
    ------
    UsageError
        When there is no catalogue of it; the message lists those that there are.
    """
    choose(language, languages(), "Language")
    if language == SOURCE:
        return ENGLISH
    return Words(language, gettext.translation(DOMAIN, FOLDER, [language]))


@cache
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    """Return the phrases with places in them as patterns, those with the most fixed letters first."""
    found = []
    for phrase in PHRASES:
        if "%(" in phrase:
            pieces = re.split(r"%\((\w+)\)s", phrase)
            fixed = [re.escape(piece.replace("%%", "%")) for piece in pieces[::2]]
            places = [f"(?P<{name}>{_PLACES.get(name, '.+?')})" for name in pieces[1::2]]
            whole = "".join(a + b for a, b in zip(fixed, [*places, ""], strict=True))
            found.append((sum(map(len, fixed)), phrase, re.compile(whole, re.DOTALL)))
    return [(phrase, pattern) for _, phrase, pattern in sorted(found, key=lambda f: -f[0])]
