"""The templates of the report with the words of a language in them."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from reports.words import SOURCE, Words


def environment(words: Words) -> Environment:
    """Return the environment of the templates.

    In a template ``_`` and ``ngettext`` say what the page itself says; ``said`` and ``plain`` what analyses and
    catalogues say; ``text``, ``integer``, ``count``, ``date`` write numbers and days.
    """
    made = Environment(
        loader=PackageLoader("reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    made.install_gettext_translations(words.messages, newstyle=True)  # type: ignore[attr-defined]
    made.filters.update(count=words.count)
    script = resources.files("reports").joinpath("templates/summary.js").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    decimal, thousands = words.signs
    made.globals.update(
        language=words.language,
        # An identifier that commands take is English in every language.
        english=Markup("" if words.language == SOURCE else ' lang="en"'),
        as_percent=words.percent,
        as_number=words.number,
        said=words.said,
        value=words.value,
        plain=words.plain,
        inside=words.inside,
        text=words.text,
        integer=words.integer,
        date=words.date,
        code=Markup('<span translate="no">{}</span>').format,
        reason=lambda note: words.said((note or "not known").split(":")[0]),
        script=Markup(script),
        # Only this script may run on the page, and nothing may be fetched.
        script_hash=f"sha256-{digest}",
        decimal=decimal,
        thousands=thousands,
        # A spreadsheet with a decimal comma parts columns by semicolons.
        separator=";" if decimal == "," else ",",
        heading=lambda label: _capital(words.plain(label)),
    )
    return made


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
