"""What the command makes of an answer: a refusal for machines, and the figure as a file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl
    from typer import Context


def withheld(question: str, options: dict[str, Any], courses: Any, why: str) -> dict[str, Any]:
    """Return what `analyse --json` prints of a question that the data cannot answer."""
    return {
        "question": question,
        "frame": [],
        "settings": options,
        "attrition": courses.flow().to_dicts(),
        "diagnostics": [],
        "notes": [],
        "withheld": [why],
    }


def check_figure(path: Path | None) -> None:
    """Refuse a figure's file of another ending before anything is computed.

    Raises
    ------
    UsageError
        When it is neither PNG nor SVG.
    """
    from registry.errors import choose

    if path is not None:
        choose(path.suffix.lower(), (".png", ".svg"), "Ending of the figure's file")


def write_figure(result: Any, path: Path) -> None:
    """Write the figure of a result, small cells hidden, as PNG or SVG."""
    from analysis import figures

    drawn = result.suppress().plot()
    if path.suffix.lower() == ".png":
        path.write_bytes(figures.png(drawn))
    else:
        path.write_text(figures.svg(drawn, path.stem), encoding="utf-8")


def typed(context: Context, names: Iterable[str]) -> set[str]:
    """Return which options the user typed; the others have their default."""
    sources = {name: context.get_parameter_source(name) for name in names}
    return {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}


def opinions(beside: pl.DataFrame) -> list[dict[str, Any]]:
    """Gather :func:`analysis.second_opinion` by question and program: how many numbers, and how far apart at most.

    No number of a stratum is in it, so that it can be shown to anybody.
    """
    import polars as pl

    from analysis.disclosure import POLICY
    from analysis.disclosure.messages import in_few

    few = POLICY.smallest_cell
    said = beside.with_columns(pl.col("note").map_elements(lambda n: in_few(n, few), return_dtype=pl.String))
    return (
        said.group_by("question", "program", "allowed", "note", maintain_order=True)
        .agg(
            pl.col("ours").count().alias("numbers"),
            pl.col("difference").abs().max().alias("largest_difference"),
            pl.when(pl.col("agrees").is_not_null().any()).then(pl.col("agrees").all()).first().alias("agrees"),
        )
        .to_dicts()
    )


def opinion(told: dict[str, Any]) -> str:
    """Return one row of :func:`opinions` as a line."""
    question = f"{told['question'].replace('_', ' ')}: "
    if told["program"] is None:
        return f"{question}{told['note']}"
    numbers = f"{told['numbers']:,} number{'' if told['numbers'] == 1 else 's'}"
    if told["agrees"] is None:
        return f"{question}{told['program']} is up to {told['largest_difference']:.2g} away ({told['note']})"
    gap = told["largest_difference"]
    apart = f"{numbers} as {told['program']}, to {f'{gap:.0e}' if gap else 'the last digit'}"
    return (
        question + apart + ("" if told["agrees"] else f", which is MORE than {told['allowed']:.0e}: please report it")
    )
