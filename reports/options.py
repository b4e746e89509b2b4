"""Options of a command, made from the keywords of the questions it asks: what Python takes, the command takes.

Name, type, choices and default come from the signature of a question, the help from its docstring. The statistics are
imported when a command that asks is run or explained, never for ``catamnesis --help``.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer
import typer.core

# Keywords that have one meaning wherever they are taken, and that a docstring may leave out.
_COMMON = {
    "by": "What separates the strata; stage is the severity at baseline.",
    "definition": "Response definition of the catalogue; default: the programme's own.",
    "confidence": "Confidence of the limits, between 0.5 and 1.",
    "resamples": "Bootstrap samples of patients that the limits are made of.",
    "seed": "Where random numbers start from: the same seed, the same numbers.",
}
# What a command that asks takes for itself: which courses.
_OF_THE_COMMAND = ("programme", "site", "diagnosis", "min_potential_follow_up_day")
# Choices that can be read in a line, in characters; longer lists stand after the help. Questions named, not counted.
_SHORT, _FEW = 48, 3


@dataclass(frozen=True)
class Keyword:
    """A keyword of a question: what its values are, and what it is for.

    `kind` is what one value is read as; `choices` are all there are, or none where any will do; `many` says whether it
    takes several; `named` whether each is for a stratum (``early=-5``).
    """

    name: str
    kind: type
    choices: tuple[str, ...]
    many: bool
    named: bool
    default: Any
    needed: bool
    said: str

    @property
    def option(self) -> str:
        """The option without its dashes and with underscores; what the command uses itself is asked for as `like`."""
        return f"like_{self.name}" if self.name in _OF_THE_COMMAND else self.name

    @property
    def flag(self) -> str:
        """The option as it is typed."""
        return f"--{self.option.replace('_', '-')}"

    def read(self, texts: str | bool | Sequence[str]) -> Any:
        """Return the value that was typed.

        Raises
        ------
        UsageError
            When it is not of the kind that the question takes, not among its choices, or one of too many.
        """
        from registry.errors import UsageError

        if isinstance(texts, bool):
            return texts
        given = [texts] if isinstance(texts, str) else list(texts)
        if self.named:
            pairs = [part.rpartition("=") for text in given for part in _parts(text)]
            if any(not sign for _, sign, _ in pairs):
                raise UsageError(f"{self.flag} takes STRATUM=VALUE for each stratum, e.g. {self.flag} early=-5.")
            names = [stratum.strip() for stratum, *_ in pairs]
            if twice := {name for name in names if names.count(name) > 1}:
                raise UsageError(f"{self.flag} has several values for {', '.join(sorted(twice))}: give one.")
            return {name: self._one(text) for name, (*_, text) in zip(names, pairs, strict=True)}
        if self.many:
            return tuple(self._one(part) for text in given for part in text.split(",") if text.strip())
        if len(given) > 1:
            raise UsageError(f"{self.flag} takes one value here, not {len(given)}.")
        return self._one(given[0])

    def _one(self, text: str) -> Any:
        from registry.errors import UsageError, choose

        text = text.strip()
        if self.choices:
            return choose(text, self.choices, self.flag)
        if self.kind is Path:
            return _frame(Path(text), self.flag)
        try:
            value = self.kind(text)
        except ValueError:
            value = math.nan
        if self.kind is not str and not math.isfinite(value):
            raise UsageError(f"{self.flag} {text!r} is no {'whole ' if self.kind is int else ''}number.")
        return value


# Of each question, by name, the keywords that a command takes.
Asked = dict[str, dict[str, Keyword]]


def keywords(question: Callable[..., Any]) -> dict[str, Keyword]:
    """Return the keywords of a question by name.

    Raises
    ------
    TypeError
        When one is of a type that cannot be typed into a terminal.
    """
    hints, told = get_type_hints(question), _told(question)
    found = {}
    for name, p in inspect.signature(question).parameters.items():
        if p.kind is not p.KEYWORD_ONLY:
            continue
        arms = [a for a in _arms(hints[name]) if a is not NoneType]
        held = [get_args(a)[0] if get_origin(a) is tuple else a for a in arms]
        named = get_origin(arms[0]) is dict
        kinds = [get_args(a)[1] if get_origin(a) is dict else a for h in held for a in _arms(h)]
        choices = [get_args(k) for k in kinds if get_origin(k) is Literal]
        kind = str if len(choices) == len(kinds) else next(k for k in kinds if get_origin(k) is not Literal)
        if kind.__name__ == "DataFrame":
            kind = Path
        if kind not in (int, float, str, bool, Path):
            raise TypeError(f"{question.__name__}({name}=…) is of a type that no option can be.")
        # Where any text will do beside the choices, the question judges it.
        names = tuple(dict.fromkeys(v for c in choices for v in c)) if len(choices) == len(kinds) else ()
        many = named or any(get_origin(a) is tuple for a in arms)
        default = None if p.default is p.empty else p.default
        found[name] = Keyword(
            name, kind, names, many, named, default, p.default is p.empty, told.get(name) or _COMMON.get(name, "")
        )
    return found


def chosen(asked: Asked, question: str, typed: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was typed as the keywords of a question; what it does not take is an error, never ignored.

    Parameters
    ----------
    typed
        By option without its dashes, as :func:`typed_for` returns them.

    Raises
    ------
    UsageError
        When an option is none of `question`, one that it needs is not there, or a value does not fit.
    """
    from registry.errors import UsageError

    takes, name_of = {k.option: k for k in asked[question].values()}, question.replace("_", "-")
    for name in typed:
        if name not in takes:
            others = ", ".join(q.replace("_", "-") for q in by_option(asked)[name])
            raise UsageError(f"--{name.replace('_', '-')} is not an option of {name_of}; it is one of {others}.")
    missing = [k.flag for k in takes.values() if k.needed and k.option not in typed]
    if missing:
        raise UsageError(f"{name_of} needs {', '.join(missing)}; see --help.")
    return {takes[name].name: takes[name].read(value) for name, value in typed.items()}


def by_option(asked: Asked) -> dict[str, dict[str, Keyword]]:
    """Return by option, in the order they are first taken, the keyword it is of each question that takes it."""
    found: dict[str, dict[str, Keyword]] = {}
    for question, keys in asked.items():
        for keyword in keys.values():
            found.setdefault(keyword.option, {})[question] = keyword
    return found


def explained(of: Mapping[str, Keyword], of_how_many: int) -> tuple[str, str]:
    """Return how the value of an option is shown, and its help: in full for one question, in short for several."""
    first = next((k for k in of.values() if k.said), next(iter(of.values())))
    choices = tuple(dict.fromkeys(v for k in of.values() for v in k.choices))
    kind = {int: "NUMBER", float: "NUMBER", Path: "FILE"}.get(first.kind, "NAME")
    shown = "|".join(choices) if choices and len("|".join(choices)) <= _SHORT else kind
    shown = (f"STRATUM={shown}" if first.named else shown) + (",…" if any(k.many for k in of.values()) else "")
    said = first.said if of_how_many == 1 else _sentence(first.said)
    if choices and len("|".join(choices)) > _SHORT:
        said += f" One of: {', '.join(choices)}."
    defaults = {str(k.default) for k in of.values()}
    if len(defaults) == 1 and first.default not in (None, False, ()):
        value = first.default
        said += f" Default: {','.join(map(str, value)) if isinstance(value, tuple) else value}."
    if 1 < of_how_many != len(of):
        names = [name.replace("_", "-") for name in of]
        said = (f"Of {', '.join(names)}: " if len(names) <= _FEW else f"Of {len(names)} questions: ") + said
    return shown, said


class Asking(typer.core.TyperCommand):
    """A command whose options are those written at it and, made when it is run, those of the questions it asks."""

    @staticmethod
    def asks() -> Asked:
        """Return what can be asked; each command says it."""
        return {}

    def get_params(self, ctx: Any) -> list[Any]:
        """Return all options; where a question is named, for the help, those of that question."""
        own = super().get_params(ctx)
        if "catamnesis.options" not in ctx.meta:
            asked, only = self.asks(), ctx.meta.get("catamnesis.explained")
            ctx.meta["catamnesis.options"] = _made({only: asked[only]} if only else asked)
        return [*own[: len(self.params)], *ctx.meta["catamnesis.options"], *own[len(self.params) :]]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments; ``QUESTION --help`` explains that question only."""
        if "--help" in args:
            ctx.meta["catamnesis.explained"] = next((q for q in self.asks() if q.replace("_", "-") in args), None)
        return list(super().parse_args(ctx, args))

    def invoke(self, ctx: Any) -> Any:
        """Run the command; what was typed for the question waits for it in :func:`typed_for`."""
        mine = {p.name for p in self.params}
        ctx.meta["catamnesis.typed"] = {n: ctx.params.pop(n) for n in [*ctx.params] if n not in mine}
        return super().invoke(ctx)


def typed_for(context: typer.Context) -> dict[str, Any]:
    """Return the options of questions that were typed, by name without dashes."""
    typed: dict[str, Any] = context.meta["catamnesis.typed"]
    return {n: v for n, v in typed.items() if v is not None and v != [] and v != ()}


def _made(asked: Asked) -> list[Any]:
    """Let the library of commands make the options: of a function that takes them, which is never called."""

    def takes(**_: Any) -> None: ...

    hints: dict[str, Any] = {}
    panel = "Options of the question" if len(asked) == 1 else "Options of the questions"
    for option, of in by_option(asked).items():
        shown, said = explained(of, len(asked))
        one = next(iter(of.values()))
        flag = one.kind is bool
        kind: Any = bool if flag else list[str] if any(k.many for k in of.values()) else str
        about = typer.Option(one.flag, help=said, metavar=None if flag else shown, rich_help_panel=panel)
        hints[option] = Annotated[kind | None, about]
    only = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter(n, only, default=None, annotation=hint) for n, hint in hints.items()]
    takes.__signature__, takes.__annotations__ = inspect.Signature(parameters), hints  # type: ignore[attr-defined]
    maker = typer.Typer(add_completion=False)
    maker.command()(takes)
    return list(typer.main.get_command(maker).params)


def _parts(text: str) -> list[str]:
    """Return ``early=-5,moderate=-10`` in parts; a comma before the sign may be one of a name, as of a product."""
    parts, begun = [], ""
    for piece in text.split(","):
        begun = f"{begun},{piece}" if begun else piece
        if "=" in piece:
            parts.append(begun)
            begun = ""
    return [*parts, begun] if begun.strip() else parts


def _arms(hint: Any) -> tuple[Any, ...]:
    """Return the members of a union, or the one type."""
    return get_args(hint) if get_args(hint) and get_origin(hint) not in (Literal, tuple, dict) else (hint,)


def _told(question: Callable[..., Any]) -> dict[str, str]:
    """Return what the docstring says of each parameter, without marks; ``As :func:`` leads to the one meant."""
    found: dict[str, str] = {}
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\w+\n-+\n|\Z)", inspect.getdoc(question) or "", flags=re.M | re.S)
    for names, text in re.findall(r"^(\w[\w, ]*)\n((?:[ ]+.*\n?|\n)+)", section[1] if section else "", flags=re.M):
        said = " ".join(text.split())
        as_of = re.match(r"As :func:`(?:analysis\.)?(\w+)`\.\s*", said)
        plain = re.sub(r":func:`[\w.]*?(\w+)`|`+", r"\1", said)
        for i, name in enumerate(names.split(", ")):
            # What is told of several at once is about the first of them.
            found[name] = _elsewhere(as_of[1]).get(name, "") if as_of else plain if i == 0 else _COMMON.get(name, plain)
    return found


def _elsewhere(name: str) -> dict[str, str]:
    import analysis

    return _told(getattr(analysis, name))


def _sentence(text: str) -> str:
    """Return the first sentence."""
    return re.split(r"(?<=\w\w\.|.[)]\.)\s+(?=[A-Z0-9])", text)[0]


def _frame(path: Path, flag: str) -> Any:
    """Read a table from CSV or Parquet."""
    import polars as pl

    from registry.errors import UsageError, choose

    ending = choose(path.suffix.lower(), (".csv", ".parquet"), f"Ending of the file of {flag}")
    try:
        return pl.read_csv(path) if ending == ".csv" else pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise UsageError(f"{flag} {path}: {str(error).splitlines()[0]}.") from None
