"""The trial that was emulated, written from the settings of a result: its protocol, and the TARGET checklist."""

from __future__ import annotations

from typing import Any

import polars as pl

from analysis.booster_naive import is_about_naive
from analysis.result import Result
from registry.errors import UsageError

# What the registry cannot know; an author fills it in.
AUTHOR = "to be written by the authors"
_DESIGNS = {
    "sequential": "sequential trials",
    "clone_censor": "clones that are censored when they deviate",
    "g_formula": "outcome regression (g-formula)",
}
# How checks begin that answer an item.
_BALANCE = ("largest standardised difference", "effective sample size")
_FOLLOWED = ("share of follow-up artificially censored", "outcomes near", "ends in", "losses in")
_CONTROL = ("negative control",)
_NOT_RUN = "another design, estimand or definition was not run here"


def target_trial(result: Result) -> pl.DataFrame:
    """Return the components of the protocol: ``component, target_trial, emulation``.

    Raises
    ------
    UsageError
        When the result is not that of :func:`analysis.booster_effect`.

    References
    ----------
    Hernán & Robins 2016 Am J Epidemiol 183:758, the seven components.
    """
    s = _settings(result)
    days = " and ".join(str(d) for d in s["horizon_day"])
    per_protocol = s["estimand"] == "per_protocol"
    # Not told: few, or they would say how many are of a stratum that is hidden.
    counts = {origin: "some" if n is None else f"{n:,}" for origin, n in s["risk_set"].items()}
    sources = "; ".join(f"{n} decisions from the {origin}" for origin, n in counts.items())
    rows = [
        (
            "Eligibility",
            f"Targets without response by {s['definition']} once evaluation is due, no earlier booster, not ended; "
            f"situation: {s['situation']}; {s['outcome_label']} measurable against a baseline",
            f"Judged visits, each with what was known on its day only; {sources}; at least {max(s['horizon_day'])} "
            "days from the decision to the data cut. A course may enter at several visits",
        ),
        (
            "Treatment strategies",
            f"A booster within {s['grace_day']} days, and no further one; against none until the day of the outcome"
            if per_protocol
            else "A decision for a booster against one for none, whatever follows",
            "Sessions recorded as boosters, or given beyond the planned series after evaluation was due"
            + ("" if per_protocol else f"; where no decisions are logged, given within {s['grace_day']} days"),
        ),
        (
            "Assignment",
            "At random at the decision; not blinded",
            "Taken as random within levels of what was known: " + ", ".join(s["covariates"]),
        ),
        (
            "Follow-up",
            f"From the decision to {days} days after it, the end of the target, or the last contact",
            "The decision is time zero for eligibility and follow-up; the booster may come within the grace period"
            + ("; an end before it counts in both strategies" if s["design"] == "clone_censor" else "")
            + ("; censored when the strategy is no longer followed" if per_protocol else ""),
        ),
        ("Outcome", f"{s['outcome_label']} at {days} days", _outcome(s)),
        (
            "Causal contrast",
            f"{'Per-protocol' if per_protocol else 'Intention-to-treat'} effect: difference"
            + ("" if s["unit_label"] != "share" else " and ratio")
            + f" by {s['by']}, and between strata",
            "The same, over the eligible decisions of each stratum",
        ),
        (
            "Statistical analysis",
            "Risks compared by arm" if s["outcome"] in ("end", "loss") else "Means or shares compared by arm",
            _analysis(s),
        ),
    ]
    return pl.DataFrame(rows, schema=["component", "target_trial", "emulation"], orient="row")


def target_checklist(result: Result) -> pl.DataFrame:
    """Return the TARGET items in short words with where they are answered: ``item, topic, answer``.

    What is said to have been done is read from the result; what it did not do is left to the authors.

    References
    ----------
    Cashin, Hansford, Hernán et al. 2025 JAMA 334:1084 (TARGET statement). Topics are ours; complete the official form
    for a submission.
    """
    s = _settings(result)
    per_protocol = s["estimand"] == "per_protocol"
    protocol = {c: (t, e) for c, t, e in target_trial(result).iter_rows()}
    order = ("Eligibility", "Treatment strategies", "Assignment", "Follow-up", "Outcome", "Causal contrast")
    flow = {step["step"]: step["n"] for step in s["decision_flow"]}
    rows: list[tuple[str, str, str]] = [
        (
            "1a",
            "study identified as an emulation",
            f"{result.title}; a target trial emulated by {_DESIGNS[s['design']]}",
        ),
        ("1b", "data sources in the abstract", f"outcome registry, data cut {s['data_cut']}"),
        ("1c", "assumptions, methods, findings in the abstract", AUTHOR),
        ("2", "background", AUTHOR),
        ("3", "causal question", "Would a booster now change " + s["outcome_label"] + f", by {s['by']}?"),
        ("4", "why a trial is emulated", "Boosters are given because the benefit fades; see the naive rows. " + AUTHOR),
        ("5", "data sources", f"selection {s['selection']}; data cut {s['data_cut']}; settings and centres: " + AUTHOR),
    ]
    rows += [
        (f"6{c}", f"target trial: {name.lower()}", protocol[name][0]) for c, name in zip("abcdef", order, strict=True)
    ]
    assumed = (
        "No unmeasured reason for the booster given what was known; every situation had boosters and none; no loss "
        "that depends on more than was seen; a booster is one treatment"
    )
    rows += [
        ("6g", "target trial: identifying assumptions", "Random assignment; loss to follow-up at random given visits"),
        ("6h", "target trial: analysis", protocol["Statistical analysis"][0]),
    ]
    rows += [
        (f"7{c}", f"emulation: {name.lower()}", protocol[name][1]) for c, name in zip("abcdef", order, strict=True)
    ]
    numbers = result.frame.filter(pl.col("quantity") == "difference")
    rows += [
        ("7g(i)", "emulation: identifying assumptions", assumed),
        ("7g(ii)", "variables of the assumptions", ", ".join(s["covariates"])),
        ("7h(i)", "emulation: analysis", protocol["Statistical analysis"][1]),
        ("7h(ii)", "sensitivity analyses", _sensitivity(result)),
        ("8", "selection of participants", "; ".join(f"{k}: {_count(v)}" for k, v in flow.items())),
        (
            "9",
            "baseline data by strategy",
            f"balance before and after weighting (love plot, table by strategy): {_told(result, _BALANCE)}",
        ),
        (
            "10",
            "follow-up",
            f"{_told(result, _FOLLOWED)}{'' if per_protocol else '; nobody censored for a later booster'}; {AUTHOR}",
        ),
        ("11", "missing data", f"outcomes weighted by being seen again; {_missing(s)}"),
        ("12", "outcomes by strategy", "rows _boosted and _waiting of the results frame"),
        ("13", "effect estimates", "; ".join(_effect(r) for r in numbers.to_dicts())),
        ("14", "additional analyses", _additional(result)),
        ("15", "interpretation", AUTHOR),
        ("16", "limitations", " ".join(n for n in result.notes if not is_about_naive(n))),
        ("17", "ethics", AUTHOR),
        ("18", "registration", AUTHOR),
        ("19", "data and code", f"catamnesis {s['versions']['catamnesis']}; settings of the result; {AUTHOR}"),
        ("20", "funding", AUTHOR),
        ("21", "conflicts of interest", AUTHOR),
    ]
    return pl.DataFrame(rows, schema=["item", "topic", "answer"], orient="row")


def _settings(result: Result) -> dict[str, Any]:
    if result.question != "booster_effect":
        raise UsageError(f"The protocol is that of a booster effect, and this is {result.question}.")
    return result.settings


def _outcome(s: dict[str, Any]) -> str:
    if s["outcome"] == "end":
        return "Ends on their exact day while the course is watched; after a death there can be none"
    if s["outcome"] == "loss":
        return (
            f"The first visit with a score worse by {s['worse_by']:g} points of 100 than at the decision ({s['loss']}: "
            f"{s['loss_source']}), known to the interval since the visit before, or an end on its day; death competes"
        )
    if s["unit_label"] == "share":
        return "Definition met at a visit, in actual time; a target that ended, or was treated anew, is not in response"
    return "Score at each visit, in actual time; those whose target ended are weighted for, as if it had not"


def _analysis(s: dict[str, Any]) -> str:
    designs = {
        "sequential": "Trials at every eligible visit, pooled; stabilised, calibrated inverse-probability weights",
        "clone_censor": "Each decision in both arms, censored when it deviates; inverse-probability weights",
        "g_formula": "Outcome regression with treatment by covariate terms, standardised: no weight of the decision",
    }
    later = "boosters later and for " if s["estimand"] == "per_protocol" else ""
    return (
        f"{designs[s['design']]}; weights for {later}not being seen again; outcome model adjusted for "
        f"the same covariates and standardised; {s['resamples']} resamples of patients, all models refitted"
    )


def _told(result: Result, names: tuple[str, ...]) -> str:
    """Return the checks whose names begin so, with their values; a check that was not made is not told."""
    made = [r for r in result.checks_made().to_dicts() if r["check"].startswith(names)]
    return "; ".join(f"{r['check']} {_short(r['value'])}" for r in made) or "not available"


def _sensitivity(result: Result) -> str:
    """Return what of this result speaks of how far its assumptions carry, and that nothing else ran."""
    found = result.frame.filter(pl.col("quantity") == "e_value", pl.col("estimate").is_not_null())
    values = ", ".join(f"{r['stratum']} {_short(r['estimate'])} at day {r['time_day']:.0f}" for r in found.to_dicts())
    return f"E-value: {values or 'not available'}; {_told(result, _CONTROL)}; {_NOT_RUN}"


def _additional(result: Result) -> str:
    """Return the quantities beside the effect that the result holds."""
    held = result.frame.filter(pl.col("estimate").is_not_null())["quantity"].unique(maintain_order=True)
    beside = [q for q in held if q in ("ratio", "difference_of_differences", "test") or "naive" in q or "days" in q]
    return f"rows {', '.join(beside)}" if beside else "none in this result"


def _missing(s: dict[str, Any]) -> str:
    marked = [name for name in s["covariates"] if name.endswith(": not recorded")]
    if not marked:
        return "no covariate was missing at a visit"
    return (
        f"a missing covariate is its mean, with an indicator of its own: {', '.join(m.split(':')[0] for m in marked)}"
    )


def _count(n: int | None) -> str:
    return "few" if n is None else f"{n:,}"


def _short(value: float | None) -> str:
    return "not available" if value is None else f"{value:.3g}"


def _effect(r: dict[str, Any]) -> str:
    if r["estimate"] is None:
        return f"{r['stratum']} day {r['time_day']:.0f}: {r['note']}"
    limits = "" if r["low"] is None or r["high"] is None else f" ({r['low']:.3g} to {r['high']:.3g})"
    return f"{r['stratum']} day {r['time_day']:.0f}: {r['estimate']:.3g}{limits}"
