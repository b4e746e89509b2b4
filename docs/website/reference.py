"""Reference pages: every public name by its docstring, and every command by its help."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from enum import EnumType
from importlib import import_module
from typing import Any, get_args

from typer.models import OptionInfo

from reports import options
from website.catalogues import table

# What is called by its module rather than from the package: `from registry import ingest; ingest.load(…)`.
MODULES: dict[str, dict[str, tuple[str, ...]]] = {
    "registry": {
        "ingest": ("load",),
        "loadreport": ("LoadReport",),
        "checks": ("find", "keep", "waive", "over_time"),
        "history": ("retract",),
        "audit": ("verify", "Verified"),
        "cut": ("cut",),
        "copies": ("backup", "encrypt"),
        "shared": ("share", "join"),
        "spark": ("SparkModels", "session", "write_partitions"),
        "migrations": ("migrate",),
        "reporting": ("items", "sections", "never_stated"),
        "codebook": ("write_template", "codebook"),
        "redcap_project": ("write",),
        "redcap_propose": ("propose", "Proposal"),
        "redcap_api": ("fetch",),
        "errors": (
            "UsageError",
            "MappingError",
            "RegistryMissing",
            "RegistryBusy",
            "ServerUnreachable",
            "NotEstimable",
        ),
    },
    "analysis": {
        "booster_protocol": ("target_trial", "target_checklist"),
        "disclosure.policy": ("Policy",),
        "disclosure.small_counts": ("coarsened", "cost"),
    },
    "synthetic": {"sources": ("write_template", "write_clinics"), "redcap_files": ("write_redcap",)},
    "reports": {
        "summary": ("write_report",),
        "publish": ("publish", "Published"),
        "publication": ("export", "Package"),
        "reproduction": ("reproduce", "Reproduced"),
        "rows": ("export_rows", "Rows", "RowTerms"),
        "design": ("response_design", "booster_design"),
        "demo": ("run",),
    },
}
_TITLES = {
    "registry": ("The registry", "What was collected: loading, opening, selecting courses."),
    "analysis": (
        "Questions",
        "One function a question. Each takes courses and returns a [`Result`](analysis.md#analysis.Result).",
    ),
    "synthetic": ("Synthetic patients", "Patients whose truth is known, and the files their clinics would send."),
    "reports": (
        "What leaves",
        "The report, its publishing, the publication package, rows. Most are used by [command](command.md).",
    ),
}


def pages() -> dict[str, str]:
    """Return a page for each package and one for the command: path in the site to Markdown."""
    made = {f"reference/{package}.md": _package(package) for package in _TITLES}
    return {"reference/index.md": _index(), **made, "reference/command.md": _command()}


def public(package: str) -> list[str]:
    """Return the public names of a package: its ``__all__``; none where it offers modules only."""
    return list(getattr(import_module(package), "__all__", ()))


def _index() -> str:
    parts = ["# Reference", "", "Made from the docstrings and the help of the code.", ""]
    parts += [f"- [{title}]({package}.md): `{package}`. {said}" for package, (title, said) in _TITLES.items()]
    return "\n".join([*parts, "- [The command](command.md): `catamnesis`, for people and for schedules.", ""])


def _package(package: str) -> str:
    title, said = _TITLES[package]
    parts = [f"# {title}", "", f"`{package}`. {said}", ""]
    # Questions first, then what they return.
    for name in sorted(public(package), key=lambda n: n[0].isupper() and package == "analysis"):
        parts += [f"::: {package}.{name}", ""]
    for module, names in MODULES[package].items():
        lead = str(import_module(f"{package}.{module}").__doc__).strip().splitlines()[0]
        parts += [f"## {package}.{module}", "", lead, ""]
        parts += [f"::: {package}.{module}.{name}\n    options:\n      heading_level: 3\n" for name in names]
    return "\n".join(parts) + "\n"


def _command() -> str:
    from reports import asking, cli

    codes = "0 done, 1 failed, 2 usage, 3 rows rejected, 4 checks failed, 5 withheld by a gate, 75 busy"
    parts = ["# The command", "", f"Exit codes: {codes}. `--json` answers for machines.", ""]
    for path, called in _commands(cli.app):
        parts += [f"## catamnesis {path}", "", str(inspect.getdoc(called)), "", _arguments(called), ""]
        if called in asking.ASKING:
            parts += ["Options of the questions:", "", _of_questions(asking.ASKING[called].asks()), ""]
    return "\n".join(parts)


def _of_questions(asked: options.Asked) -> str:
    rows = []
    for of in options.by_option(asked).values():
        shown, said = options.explained(of, len(asked))
        one = next(iter(of.values()))
        rows.append((f"`{one.flag}`" if one.kind is bool else f"`{one.flag} {shown}`", said))
    return table(("", "meaning"), rows)


def _commands(app: Any) -> list[tuple[str, Callable[..., None]]]:
    """List each command with its function; those of a group after its name."""
    found = [(c.name or c.callback.__name__.replace("_", "-"), c.callback) for c in app.registered_commands]
    for group in app.registered_groups:
        found += [(f"{group.name} {name}", called) for name, called in _commands(group.typer_instance)]
    return found


def _arguments(called: Callable[..., None]) -> str:
    rows = []
    for name, p in inspect.signature(called, eval_str=True).parameters.items():
        kind, *said = get_args(p.annotation) or (p.annotation,)
        if not said:
            continue
        option = isinstance(said[0], OptionInfo)
        named = (said[0].default, *(said[0].param_decls or ()))
        long = [d for d in named if str(d).startswith("--")] or [f"--{name.replace('_', '-')}"]
        shown = long[0] if option else (said[0].metavar or name.upper())
        values = [f"`{v.value}`" for v in kind] if isinstance(kind, EnumType) else []
        one_of = f" One of: {', '.join(values)}." if values else ""
        default = (
            "must be given"
            if p.default is p.empty
            else ""
            if p.default in (None, False)
            else getattr(p.default, "value", p.default)
        )
        rows.append((f"`{shown}`", f"{said[0].help or ''}{one_of}", default))
    return table(("", "meaning", "default"), rows)
