"""Who is in the data, in the summary report: the courses of a programme, who left and why, who was judged by stage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from analysis import disclosure
from analysis.disclosure.suppression import shown_flow

if TYPE_CHECKING:
    from reports.sections import Section


def own_flow(flow: pl.DataFrame) -> pl.DataFrame:
    """Return a flow without the courses of other programmes, who never were in it, before few are put together."""
    return shown_flow(flow.filter(pl.col("reason") != "another programme"))


def flow_section(section: Section) -> dict[str, Any]:
    """Return the flow of the programme's courses, ending in those that the response could be judged in.

    Where few left for a reason the start is told as a limit: beside it the others may then be told.
    """
    start = len(section.courses)
    if section.response is None:
        return {"start": f"{start:,}", "left": [], "end": f"{start:,}", "strata": []}
    smallest = disclosure.POLICY.smallest_cell
    left, end = section.left[1:-1], int(section.left["n"][-1])
    strata = section.response.settings["strata"]
    counts = [section.sizes.get(s["code"], 0) for s in strata]
    few = left.filter(pl.col("n") < smallest)
    if few.height and end >= smallest and not all(n < smallest for n in counts):
        known = end + int(left["n"].sum()) - int(few["n"].sum())
        first = f"fewer than {known + smallest * few.height:,}"
        parts = [f"<{smallest}" if 0 < n < smallest else f"{n:,}" for n in [*left["n"], end]]
    else:
        parts = disclosure.shown([*left["n"].to_list(), end])
        first = disclosure.total([*left["n"].to_list(), end])
    judged = disclosure.total(counts) if all(n < smallest for n in counts) else parts[-1]
    return {
        "start": first,
        "left": [{"reason": reason, "n": n} for reason, n in zip(left["reason"], parts[:-1], strict=True)],
        "end": judged,
        "strata": [{**s, "n": n} for s, n in zip(strata, disclosure.shown(counts), strict=True)],
    }
