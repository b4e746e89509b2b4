"""Counts of few made coarse before they leave a centre, so that no number that leaves is of fewer than five.

Days are micro-aggregated (Domingo-Ferrer & Mateo-Sanz 2002, IEEE TKDE 14:189): the smallest cell is joined with the
nearest of its kind, at their mean days, until each has enough courses; totals stay exact. Where a whole kind is of few
(three replacements in a stage), its number is rounded at random to none or five, so that it is right on average over
centres (random rounding, as census offices do; leaving it out would keep the centres where nothing happened). What this
costs is measured on the centre's own data by :func:`cost`, and stays there: an estimate and its change give the count.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.disclosure import POLICY
from analysis.disclosure.suppression import shown_flow
from analysis.pooled import CELLS, answer
from analysis.reduction import Reduction, gathered, same_as_one
from registry.errors import NotEstimable

Floats = NDArray[np.float64]
Said = list[str]


def coarsened(reduction: Reduction, smallest: int = POLICY.smallest_cell) -> Reduction:
    """Return the reduction with no count of fewer than `smallest`, and notes on what was joined or left out."""
    said: Said = []
    frames = dict(reduction.frames)
    for name, (cluster, keys) in CELLS.items():
        if name not in frames:
            continue
        joined, counts = _enough(name, frames[name], smallest, said)
        frames[name], moved = gathered(*_rounded(joined, frames[cluster], counts), keys)
        frames[cluster] = _apart(same_as_one(moved), smallest, said)
    if "panel_share" in frames:
        frames["panel_share"] = _whole_visits(frames["panel_share"], smallest, said)
        frames["panel_agreement"] = frames["panel_agreement"].filter(
            *(~_few(count, smallest) for count in (pl.col("n"), pl.col("n_agreed"), pl.col("n") - pl.col("n_agreed")))
        )
    if "trajectory_product" in frames:
        frames["trajectory_product"] = _fewer_visits(frames["trajectory_product"], smallest, said)
        seen = _with_scores(frames["trajectory_due"], frames["trajectory_product"])
        hidden = _few(pl.col("n_seen"), smallest) | _few(pl.col("n_due") - pl.col("n_seen"), smallest)
        # The scores that patterns gave up are those seen less those sent; so too of complete cases.
        hidden |= _few(pl.col("n_seen") - pl.col("sent"), smallest)
        due = seen.with_columns(pl.when(~hidden).then(c).otherwise(0).alias(c) for c in _DUE)
        complete = frames["trajectory_complete"].join(
            seen, on=["stratum", "position"], how="left", maintain_order="left"
        )
        told = (pl.col("n"), pl.col("n_seen") - pl.col("n"), (pl.col("sent") - pl.col("n")).abs())
        frames["trajectory_complete"] = complete.filter(*(~_few(k, smallest) for k in told)).drop(*_DUE, "sent")
        frames["trajectory_due"] = due.drop("sent")
        if seen.filter(hidden).height:
            said.append(
                "Where few were seen at a visit, or due and not seen, or seen and left out, it has no denominator."
            )
        # They add up to all courses, of which another question tells all but one kind: rounded as the flow is.
        for name in ("trajectory_scale", "courses_of_a_patient"):
            frames[name] = _to_nearest(frames[name].filter(~_few(pl.col("n"), smallest)), smallest)
    return dataclasses.replace(
        reduction,
        frames=frames,
        rows={},
        flow=_to_nearest(shown_flow(reduction.flow, smallest), smallest),
        settings={**reduction.settings, "small_counts": f"joined below {smallest}"},
        notes=(*reduction.notes, *said),
    )


_DUE = ("n_due", "n_seen")


def _with_scores(due: pl.DataFrame, products: pl.DataFrame) -> pl.DataFrame:
    """Return `due` with the number of courses whose scores are among the products, ``sent``."""
    own = products.filter(pl.col("left_variable") == pl.col("right_variable")).select(
        "stratum", "n", position=pl.col("left_variable").str.extract(r"^visit (\d+)$").cast(due.schema["position"])
    )
    sent = own.drop_nulls("position").group_by("stratum", "position").agg(sent=pl.col("n").sum())
    return due.join(sent, on=["stratum", "position"], how="left", maintain_order="left").with_columns(
        pl.col("sent").fill_null(0)
    )


def cost(exact: Reduction, coarse: Reduction) -> pl.DataFrame:
    """Return what coarse counts cost at this centre: by quantity the largest change of an estimate, and of a width.

    Returns
    -------
    ``quantity, numbers, lost, largest_change, width_ratio``: how many numbers there are, how many can no longer be
    told, the largest absolute change of the others (in the unit of the quantity), and the median ratio of the widths
    of their limits, coarse over exact.
    """
    keys = ["stratum", "quantity", "time_day"]
    shape = {"quantity": pl.String, "numbers": pl.Int64, "lost": pl.Int64, "largest_change": pl.Float64,
             "width_ratio": pl.Float64}  # fmt: skip
    try:
        one = answer(exact).frame.filter(pl.col("estimate").is_not_null(), pl.col("quantity") != "test")
    except NotEstimable:
        return pl.DataFrame(schema=shape)
    try:
        other = answer(coarse).frame
    except NotEstimable:
        other = one.clear()
    both = one.join(other, on=keys, how="left", nulls_equal=True, suffix="_coarse", maintain_order="left")
    gap = (pl.col("estimate_coarse") - pl.col("estimate")).abs()
    width = (pl.col("high_coarse") - pl.col("low_coarse")) / (pl.col("high") - pl.col("low"))
    return both.group_by("quantity", maintain_order=True).agg(
        numbers=pl.len().cast(pl.Int64),
        lost=pl.col("estimate_coarse").is_null().sum().cast(pl.Int64),
        largest_change=gap.max(),
        width_ratio=width.filter(width.is_finite()).median(),
    )  # fmt: skip


def _to_nearest(counts: pl.DataFrame, smallest: int) -> pl.DataFrame:
    """Round totals: exact ones less the exact kinds would be the kind that was rounded."""
    n = (pl.col("n") / smallest).round() * smallest
    return counts.with_columns(n.cast(counts.schema["n"]))


def _few(count: pl.Expr, smallest: int) -> pl.Expr:
    return (count > 0) & (count < smallest)


def _joined(cells: pl.DataFrame, columns: Sequence[str], smallest: int) -> pl.DataFrame:
    """Join the smallest cell with the nearest at their mean days, until none is of fewer than `smallest`.

    Near is what moves least: days times courses.
    """
    days = np.stack([cells[c].cast(pl.Float64).to_numpy() for c in columns])
    n = cells["n"].cast(pl.Float64).to_numpy().copy()
    into, alive = np.arange(len(n)), np.ones(len(n), dtype=bool)
    while alive.sum() > 1:
        sizes = np.where(alive, n, np.inf)
        i = int(np.argmin(sizes))
        if sizes[i] >= smallest:
            break
        mean = (days * n + days[:, [i]] * n[i]) / (n + n[i])
        moved = n * np.abs(mean - days).sum(axis=0) + n[i] * np.abs(mean - days[:, [i]]).sum(axis=0)
        moved[~alive], moved[i] = np.inf, np.inf
        j = int(np.argmin(moved))
        days[:, j], n[j], alive[i] = mean[:, j], n[j] + n[i], False
        into[into == i] = j
    whole = np.round(days[:, into]).astype(np.int64)
    return cells.with_columns(pl.Series(c, whole[k]).cast(cells[c].dtype) for k, c in enumerate(columns))


@dataclass(frozen=True)
class _Kind:
    """Of the cells of a reduction: the columns that say what happened, and those that say when."""

    what: tuple[str, ...]
    days: tuple[str, ...]


_KINDS = {
    "response_cell": _Kind(("stratum", "kind"), ("left_day", "right_day")),
    "end_cell": _Kind(("stratum", "cause"), ("day",)),
    "panel_cell": _Kind(
        ("stratum", "kind", "from_state", "to_state", "unconfirmed", "part"), ("start_day", "stop_day")
    ),
}  # fmt: skip


def _enough(name: str, cells: pl.DataFrame, smallest: int, said: Said) -> tuple[pl.DataFrame, dict[int, int]]:
    """Return the cells with their days joined, and the count of each cell whose kind was rounded."""
    kind = _KINDS[name]
    first = cells.sort("cell")
    if name == "response_cell":  # what was seen before an end says nothing more
        first = first.with_columns(left_day=pl.when(pl.col("kind") == "end").then(0).otherwise("left_day"))
    # A course starts on day 0, and how many moves do is how many courses there are.
    starts = (pl.col("start_day") == 0) if name == "panel_cell" else pl.lit(value=True)
    kept, strata = [], set()
    rounded: dict[int, int] = {}
    for part in first.with_columns(first=starts).partition_by([*kind.what, "first"], maintain_order=True):
        total = int(part["n"].sum())
        if total < smallest:
            mean = _joined(part, kind.days, total)
            n = smallest * int(_draw(part) < total / smallest)
            rounded |= {c: (n if i == 0 else 0) for i, c in enumerate(mean["cell"])}
            strata.add(str(part["stratum"][0]))
            kept.append(mean)
        else:
            kept.append(_joined(part, kind.days, smallest))
    if strata:
        said.append(f"Kinds of few in {', '.join(sorted(strata))} are rounded at random to none or {smallest}.")
    joined = pl.concat(kept).drop("first") if kept else cells
    return joined, rounded


def _draw(part: pl.DataFrame) -> float:
    """Return a number between 0 and 1 that the same data always give, so that asking again does not tell more."""
    digest = hashlib.sha256(part.write_csv().encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _rounded(cells: pl.DataFrame, patterns: pl.DataFrame, counts: dict[int, int]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Give cells the counts that they were rounded to, each of one course of one patient."""
    if not counts:
        return cells, patterns
    new = pl.DataFrame({"cell": list(counts), "now": list(counts.values())}, schema={"cell": pl.Int64, "now": pl.Int64})
    n = pl.coalesce("now", "n").cast(cells.schema["n"])
    shown = cells.join(new, on="cell", how="left").with_columns(n=n).drop("now").filter(pl.col("n") > 0)
    alone = new.filter(pl.col("now") > 0).select(
        pattern=pl.format("{}x1", "cell"), cell="cell", n_courses=pl.lit(1).cast(patterns.schema["n_courses"]),
        n_patients=pl.col("now").cast(patterns.schema["n_patients"]),
    )  # fmt: skip
    left = patterns.join(new, on="cell", how="anti")
    return shown, pl.concat([left, alone.select(patterns.columns)])


def _apart(patterns: pl.DataFrame, smallest: int, said: Said) -> pl.DataFrame:
    """Take courses of a patient apart where fewer than `smallest` patients share the pattern, until all rows do.

    The patients of a cell stay as many; that two courses are of one patient is no longer known of these.
    """
    total = 0
    while True:
        single = pl.col("n_courses").sum().over("pattern") == 1
        rare = patterns.with_columns(single=single, few=pl.col("n_patients") < smallest)
        # A single below the line could be told from the cell's total: what shares its cell goes with it.
        cells = rare.filter("single", "few")["cell"].unique().to_list()
        apart = (
            rare.filter(~pl.col("single"), pl.col("few") | pl.col("cell").is_in(cells))["pattern"].unique().to_list()
        )
        if not apart:
            break
        broken = patterns.filter(pl.col("pattern").is_in(apart))
        total += int(broken.unique("pattern")["n_patients"].sum())
        alone = broken.select(
            pattern=pl.format("{}x1", "cell"), cell="cell", n_courses=pl.lit(1, patterns.schema["n_courses"]),
            n_patients=(pl.col("n_courses") * pl.col("n_patients")).cast(patterns.schema["n_patients"]),
        )  # fmt: skip
        left = patterns.filter(~pl.col("pattern").is_in(apart))
        patterns = pl.concat([left, alone]).group_by("pattern", "cell", "n_courses").agg(pl.col("n_patients").sum())
        patterns = patterns.select(left.columns).sort("pattern", "cell")
    if total:
        said.append(
            "Counts of a patient with a rare combination are taken as of several patients: limits may be narrow."
        )
    return patterns


def _whole_visits(shares: pl.DataFrame, smallest: int, said: Said) -> pl.DataFrame:
    hidden = _few(pl.col("n"), smallest).any().over("stratum", "planned_visit")
    if shares.filter(hidden).height:
        said.append("Visits at which few were seen in some state are not among the shares as seen.")
    return shares.filter(~hidden)


def _fewer_visits(products: pl.DataFrame, smallest: int, said: Said) -> pl.DataFrame:
    """Let patterns of few give up visits until they are one that enough have; sums of what remains are exact.

    One goes to the pattern of most visits that has none of few with it, or to another that has to go on. What is of few
    at no visit either is left out.
    """
    out = []
    for (stratum,), mine in products.group_by("stratum", maintain_order=True):
        parts: dict[tuple[str, ...], pl.DataFrame] = {
            tuple(filter(None, str(p).split(","))): group
            for (p,), group in mine.group_by("pattern", maintain_order=True)
        }
        moving = {p: g for p, g in parts.items() if _is_small(g, smallest)}
        enough = {p: g for p, g in parts.items() if p not in moving}
        while moving:
            pattern = min(moving, key=lambda p: (-len(p), p))
            group = moving.pop(pattern)
            within = [p for p in enough if set(p) <= set(pattern)]
            good = {p: g for p in within if not _is_small(g := _added(enough[p], group, p), smallest)}
            others = [p for p in moving if set(p) < set(pattern)]
            if not good and not pattern:
                said.append(f"{stratum}: courses of patterns or covariates of few are not among the counts.")
                continue
            goal = max([*good, *others], key=lambda p: (len(p), p in good, p), default=pattern[:-1])
            if goal != pattern:
                said.append(f"{stratum}: scores of patterns of few visits attended were left out at some visits.")
            if goal in good:
                enough[goal] = good[goal]
                continue
            joined = _added(moving.pop(goal, None), group, goal)
            if _is_small(joined, smallest):
                moving[goal] = joined
            else:
                enough[goal] = _added(enough.get(goal), joined, goal)
        out += [g.with_columns(pattern=pl.lit(",".join(p))) for p, g in enough.items()]
    said[:] = list(dict.fromkeys(said))
    return pl.concat(out).sort(products.columns[:4]) if out else products.clear()


def _is_small(group: pl.DataFrame, smallest: int) -> bool:
    """Say whether a pattern has a count of few in it: of courses, or of those with a covariate, without it, or two.

    A covariate of nought and one is its own square; the sums of these, and of the products of two, are counts.
    """
    rows = {frozenset((one, other)): (n, total) for one, other, n, total in group.select(_PRODUCT).iter_rows()}
    whole = rows[frozenset(("intercept",))][0]
    counts = [whole, *(k for n, _ in rows.values() for k in (n, whole - n))]
    names = sorted({name for pair in rows for name in pair if name != "intercept" and not name.startswith("visit ")})
    of = {x: rows[frozenset((x,))][1] for x in names}
    shown = [x for x in names if of[x] == rows[frozenset((x, "intercept"))][1]]
    for i, x in enumerate(shown):
        counts += [of[x], rows[frozenset((x,))][0] - of[x], whole - of[x]]
        for y in shown[:i]:
            both = rows.get(frozenset((x, y)), (0, 0))[1]
            counts += [both, of[x] - both, of[y] - both, whole - of[x] - of[y] + both]
    return any(0 < k < smallest for k in counts)


_PRODUCT = ("left_variable", "right_variable", "n", "total")


def _added(held: pl.DataFrame | None, group: pl.DataFrame, goal: tuple[str, ...]) -> pl.DataFrame:
    """Return the sums of `group` over the visits of `goal`, added to those already held."""
    visits = [f"visit {v}" for v in goal]
    keep = ~pl.col("left_variable").str.starts_with("visit ") | pl.col("left_variable").is_in(visits)
    keep &= ~pl.col("right_variable").str.starts_with("visit ") | pl.col("right_variable").is_in(visits)
    mine = group.filter(keep).with_columns(pattern=pl.lit(",".join(goal)))
    if held is None:
        return mine
    keys = ["stratum", "pattern", "left_variable", "right_variable"]
    both = pl.concat([held.with_columns(pattern=pl.lit(",".join(goal))), mine])
    return both.group_by(keys, maintain_order=True).agg(pl.col("n").sum(), pl.col("total").sum())


def sentences(found: pl.DataFrame) -> list[str]:
    """Return the rows of :func:`cost` as lines for people."""
    lines = []
    for r in found.iter_rows(named=True):
        parts = []
        if r["largest_change"] is not None:
            parts.append(f"changed by at most {r['largest_change']:.3g}")
        if r["width_ratio"] is not None:
            parts.append(f"limits {r['width_ratio']:.2f} times as wide")
        if r["lost"]:
            parts.append(f"{r['lost']} of {r['numbers']} numbers lost")
        lines.append(f"{r['quantity']}: {', '.join(parts) or 'no number'}")
    return lines
