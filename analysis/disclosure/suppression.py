"""Small cells of a result withheld: null and marked, never zero, and with them whatever would give them away."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, TypeVar

import polars as pl

from analysis.booster_flow import NO_DECISION
from analysis.disclosure.complementary import given_away_by_the_rest, hidden_note
from analysis.disclosure.messages import FEW_REASONS, in_few
from analysis.disclosure.policy import POLICY

if TYPE_CHECKING:
    from analysis.result import Result

Shown = TypeVar("Shown", bound="Result")
# How the quantity begins that is the change of a pattern of visits at the last of these.
LAST_CHANGE = "last change, "
# The naive number that a note on its stratum quotes.
TOLD_IN_NOTES = "naive_ever_against_never"
_N, _OF = pl.col("n"), pl.col("denominator")
# What differences, ratios and tests between strata are of.
_SIDES = ("response", "end", "response_lost", "share_in_response")
# Rows of what is over all strata.
_OVERALL = ("all", "covariates")


def without_small_cells(result: Shown, tiny: pl.DataFrame, smallest: int) -> Shown:
    """Return the result with numbers of fewer than `smallest` courses withheld.

    Parameters
    ----------
    result
        As computed.
    tiny
        ``stratum, quantity`` of series too small to show at any time.
    smallest
        Fewest courses that a number may be of.
    """
    # None is none and may be said; few is what could point to a person.
    few = ((_OF > 0) & (smallest > _OF)) | ((_N > 0) & (smallest > _N)) | ((_OF - _N > 0) & (smallest > _OF - _N))
    few = few.fill_null(False)
    main = tiny.filter(pl.col("quantity").is_in(_SIDES))["stratum"].to_list()
    one_side = (pl.col("quantity") == "difference") & ~pl.col("stratum").str.contains(" - ")
    main += result.frame.filter(few & one_side)["stratum"].to_list()
    in_tiny = pl.struct("stratum", "quantity").is_in(
        tiny.select(pl.struct("stratum", "quantity")).to_series().implode()
    )
    # Many events may be those of a few: where few courses had one, no number of events is shown.
    prone = tiny.filter(pl.col("quantity") == "courses_with_event")["stratum"].to_list()
    prone_events = pl.col("stratum").is_in(prone) & pl.col("quantity").str.contains("events")
    # How long a response lasted says how many of a few had one.
    responded = tiny.filter(pl.col("quantity") == "share_in_response")["stratum"].to_list()
    lasted = pl.col("quantity").eq("mean_days_in_response") & pl.col("stratum").is_in(responded)
    small = few | in_tiny | prone_events | lasted | _says_more(result, few | in_tiny, main)
    small |= pl.Series(given_away_by_the_rest(result.frame, result.frame.select(small).to_series(), smallest))
    small |= _of_hidden_pattern(result.frame, result.frame.select(small).to_series())
    of_named = _of_goals_named(result.frame, few)
    small |= of_named
    # A note on a stratum tells its numbers, the naive one among them.
    told = main + result.frame.filter(small, pl.col("quantity") == TOLD_IN_NOTES)["stratum"].to_list()
    frame, attrition, diagnostics = _hide(result.frame, small, smallest), result.attrition, result.diagnostics
    frame = frame.with_columns(pl.when(~of_named | pl.col("quantity").eq("goal_named")).then(_OF).alias("denominator"))
    # Of decisions both arms are told in all, and courses: less the strata shown they would be those of the one hidden.
    beside = "decision_flow" in result.settings and bool(set(main) & {s["code"] for s in result.settings["strata"]})
    if beside:
        one = pl.col("stratum").is_in([s["code"] for s in result.settings["strata"]])
        frame = frame.with_columns(pl.when(one).then(_OF).alias("denominator"))
        attrition = _with_those_without_decision(attrition)
        told_of = pl.col("note").str.contains(r"^\d+ decisions")
        diagnostics = diagnostics.with_columns(pl.when(~told_of).then("note").otherwise(pl.lit("")).alias("note"))
        # What is checked in a hidden stratum is of its few.
        own = pl.any_horizontal(
            pl.lit(value=False), *(pl.col("check").str.ends_with(f" in {code}") for code in set(main))
        )
        diagnostics = diagnostics.with_columns(pl.when(~own).then("value").alias("value"))
    return dataclasses.replace(
        result,
        frame=frame,
        details=_hidden_details(result, small, smallest),
        curves=result.curves.filter(~in_tiny & ~few & ~prone_events),
        regions=result.regions.filter(~pl.col("stratum").is_in(main)),
        at_risk=_hide(result.at_risk, ((_N > 0) & (smallest > _N)).fill_null(False), smallest),
        attrition=shown_flow(attrition, smallest),
        diagnostics=_shown_checks(diagnostics, smallest, any_hidden=bool(result.frame.select(small).to_series().any())),
        notes=tuple(in_few(n, smallest) for n in result.notes if not n.startswith(_labels(result.settings, told))),
        withheld=tuple(in_few(w, smallest) for w in result.withheld),
        settings=_shown_settings(result.settings, smallest, arms_go=beside),
    )


def _says_more(result: Result, small: pl.Expr, main: list[str]) -> pl.Expr:
    """Return which numbers say something of one that is hidden: differences, ranges, what is over all strata."""
    # A difference gives away the side that is hidden.
    given_away = pl.col("stratum").str.split(" - ").list.eval(pl.element().is_in(main)).list.any()
    shown_small = result.frame.filter(small & pl.col("quantity").is_in(_SIDES))
    hidden = {(r["stratum"], r["time_day"]) for r in shown_small.select("stratum", "time_day").to_dicts()}
    # The range over definitions is one of theirs; a difference on a day gives away the side hidden on that day.
    beside = pl.struct("stratum", "time_day").map_elements(
        lambda c: _rests_on(c["stratum"], c["time_day"], hidden), return_dtype=pl.Boolean
    )
    beside &= pl.col("quantity").eq("range") | pl.col("quantity").str.starts_with("difference")
    # A test, or a number, over strata some of which are hidden would say something about them.
    whole = "all" not in [s["code"] for s in result.settings.get("strata", ())]
    # A stratum that is not modelled is in no number over all, and says nothing through it.
    inside = set(main) - set(result.settings.get("not_modelled", ()))
    overall = pl.col("stratum").is_in(_OVERALL) & pl.lit(len(inside) > 0 and whole)
    between = pl.col("quantity").str.starts_with("difference") | pl.col("quantity").eq("loss_intensity_ratio")
    return (between & given_away) | overall | beside


def _hide(frame: pl.DataFrame, small: pl.Expr, smallest: int) -> pl.DataFrame:
    covered = [pl.when(~small).then(pl.col(c)).alias(c) for c in ("estimate", "low", "high", "n")]
    covered.append(pl.when(~((_OF > 0) & (smallest > _OF))).then(_OF).alias("denominator"))
    # Where there is no number to hide, the reason is the one that stands there; it holds no number either.
    bare = pl.all_horizontal(pl.col("estimate", "low", "high", "n").is_null())
    bare &= ~pl.col("note").str.contains(r"\d") & ~((_OF > 0) & (smallest > _OF)).fill_null(False)
    note = pl.when(small & ~bare.fill_null(False)).then(hidden_note(smallest)).otherwise("note")
    return frame.with_columns(*covered, note.alias("note"))


def _of_hidden_pattern(frame: pl.DataFrame, hidden: pl.Series) -> pl.Series:
    """Return which changes are of a pattern of visits whose count is hidden: they say how many it is of."""
    gone = frame.filter(hidden).select("stratum", pattern="quantity").unique().with_columns(gone=pl.lit(value=True))
    last = frame.select("stratum", pattern=pl.col("quantity").str.strip_prefix(LAST_CHANGE))
    said = frame["quantity"].str.starts_with(LAST_CHANGE)
    return said & last.join(gone, on=["stratum", "pattern"], how="left", maintain_order="left")["gone"].fill_null(
        value=False
    )


def _of_goals_named(frame: pl.DataFrame, few: pl.Expr) -> pl.Expr:
    """Return which numbers say how many goals were named where a few of them were not assessed.

    Beside the share attained, of all assessed, they would say how few: that share is the one to keep.
    """
    strata = frame.filter(few, pl.col("quantity") == "goal_assessed")["stratum"].to_list()
    named = pl.col("quantity").is_in(["goal_named", "goal_assessed", "goal_attained_of_named"])
    return pl.col("stratum").is_in(strata) & named


def _hidden_details(result: Result, small: pl.Expr, smallest: int) -> pl.DataFrame:
    """Return the details without those of few courses, and without what the frame hides of the same number.

    How many were seen at both of two visits is never told: less those seen at one of them it may be a few.
    """
    if result.details.height == 0:
        return result.details
    keys = ["stratum", "quantity", "time_day"]
    gone = result.frame.filter(small).select(*keys, gone=pl.lit(value=True)).unique()
    both = pl.col("other_day").is_not_null() & (pl.col("other_day") != pl.col("time_day"))
    few = ((_OF > 0) & (smallest > _OF)).fill_null(False)
    joined = result.details.join(gone, on=keys, how="left", nulls_equal=True, maintain_order="left")
    hidden = few | pl.col("gone").fill_null(False)
    numbers = ("estimate", "standard_error", "degrees_of_freedom", "t", "p")
    return joined.with_columns(
        *(pl.when(~hidden).then(pl.col(c)).alias(c) for c in numbers),
        pl.when(~few & ~both).then(_OF).alias("denominator"),
        pl.when(hidden).then(hidden_note(smallest)).otherwise("note").alias("note"),
    ).select(result.details.columns)


def _labels(settings: dict[str, Any], codes: list[str]) -> tuple[str, ...]:
    """Return how a note about one of these strata begins."""
    return tuple(f"{s['label']}: " for s in settings.get("strata", ()) if s["code"] in codes)


def _shown_checks(diagnostics: pl.DataFrame, smallest: int, *, any_hidden: bool) -> pl.DataFrame:
    """Return the checks with small counts of people blanked, not shares, ratios or p; see `analysis.result.check`.

    A total by coefficient, less the strata shown, would be the one hidden.
    """
    counts = pl.col("limit").str.contains(r"^>= \d+$") | (pl.col("limit") == "a count")
    few = (pl.col("value") > 0) & (pl.col("value") < smallest) & counts
    few |= pl.col("check").str.ends_with(" a coefficient") & pl.lit(any_hidden)
    return diagnostics.with_columns(pl.when(~few).then("value").alias("value"))


def _with_those_without_decision(flow: pl.DataFrame) -> pl.DataFrame:
    """Return a flow of courses (``reason, n``) that ends with those that could enter, with a decision or without."""
    gone = pl.col("reason").is_in(NO_DECISION)
    entered = pl.lit(flow.filter(gone)["n"].sum(), flow.schema["n"]) + flow["n"][-1]
    ended = flow[-1:].with_columns(entered.cast(flow.schema["n"]).alias("n"))
    return pl.concat([flow[:-1].filter(~gone), ended])


def _shown_settings(settings: dict[str, Any], smallest: int, *, arms_go: bool = False) -> dict[str, Any]:
    """Return the settings with the small counts among them blanked, and the sizes of both arms if they must go."""
    shown = {**settings, "smallest_cell": smallest}
    if flow := shown.get("decision_flow", []):
        shown["decision_flow"] = told = _shown_decisions(flow, smallest, arms_go=arms_go)
        arms = dict(zip(("boosted", "waiting"), (s["n"] for s in told[-2:]), strict=False))
        if any(n is None for n in arms.values()):
            shown = {k: v for k, v in shown.items() if not k.startswith(("overlap_", "weight_"))}
        elif "overlap_shares" in shown:
            shares = shown["overlap_shares"]
            shown["overlap_shares"] = {k: _wider_bins(v, arms[k], smallest) for k, v in shares.items()}
    if "risk_set" in shown:
        few = {k for k, n in shown["risk_set"].items() if n < smallest}
        # Less the decisions of the strata shown, those of all sources are the ones of the stratum hidden.
        shown["risk_set"] = {k: None if arms_go or k in few else n for k, n in shown["risk_set"].items()}
    return shown


def _shown_decisions(flow: list[dict[str, Any]], smallest: int, *, arms_go: bool) -> list[dict[str, Any]]:
    """Return a flow of decisions with small reasons put together, and both arms without a number where one is small."""
    end = next((i for i, s in enumerate(flow) if not s["step"].startswith("left: ") and i > 0), len(flow) - 1)
    few = {i: 0 < s["n"] < smallest for i, s in enumerate(flow)}
    if few[0] or few[end]:
        return [{**s, "n": None} for s in flow]
    counted = pl.DataFrame({"reason": [s["step"] for s in flow[: end + 1]], "n": [s["n"] for s in flow[: end + 1]]})
    joined = {FEW_REASONS: f"left: {FEW_REASONS}"}
    told = [{"step": joined.get(r, r), "n": n} for r, n in shown_flow(counted, smallest).iter_rows()]
    arms = flow[end + 1 :]
    hidden = arms_go or any(few[i] for i in range(end + 1, len(flow)))
    return [*told, *({**s, "n": None if hidden else s["n"]} for s in arms)]


def _wider_bins(shares: list[float], n: int, smallest: int) -> list[float]:
    """Return a histogram of `n` in which bins of few are one with those beside, each at their mean height."""
    groups: list[list[int]] = [[]]
    held = 0
    for i, share in enumerate(shares):
        groups[-1].append(i)
        held += round(share * n)
        if held >= smallest or (held == 0 and len(groups[-1]) == 1):
            groups.append([])
            held = 0
    # What is left over at the end joins those before it.
    rest = groups.pop()
    while rest and sum(round(shares[i] * n) for i in rest) < smallest and groups:
        rest = [*groups.pop(), *rest]
    means = {i: sum(shares[j] for j in g) / len(g) for g in [*groups, rest] for i in g}
    return [means[i] for i in range(len(shares))]


def shown_flow(flow: pl.DataFrame, smallest: int = POLICY.smallest_cell) -> pl.DataFrame:
    """Return a flow of courses (``reason, n``) with small reasons put together; the first and last row are totals.

    They are joined with the next smallest until the joint row has `smallest` courses, since it is the difference of
    the totals and the other rows anyhow.
    """
    reasons = flow[1:-1]
    order = reasons.with_row_index().filter(pl.col("n") > 0).sort("n")
    if order.height == 0 or order["n"][0] >= smallest:
        return flow
    joined = order.filter((pl.col("n") < smallest) | (pl.col("n").cum_sum().shift(1).fill_null(0) < smallest))
    rest = reasons.with_row_index().filter(~pl.col("index").is_in(joined["index"].to_list())).drop("index")
    other = pl.DataFrame({"reason": [FEW_REASONS], "n": [joined["n"].sum()]}, schema=flow.schema)
    return pl.concat([flow[:1], rest, other, flow[-1:]])


def _rests_on(stratum: str, time_day: float | None, hidden: set[tuple[str, float | None]]) -> bool:
    """Say whether a stratum, or a side of a difference ``a - b``, is hidden on that day."""
    return any((side, time_day) in hidden for side in (stratum, *stratum.split(" - ")))
