"""What a number estimates, in the five attributes of ICH E9(R1), written from the settings of its result."""

from __future__ import annotations

from typing import Any

import polars as pl

from analysis.result import Result
from registry.errors import UsageError

# How the strategies of the addendum are called for each policy that a question offers.
_STRATEGY = {
    ("end_policy", "competing"): "competing event: counted as the end it is, no response can follow",
    ("end_policy", "censor"): "hypothetical: as if nothing had ended the target",
    ("end_policy", "hypothetical"): "hypothetical: as if nothing had ended the target",
    ("end_policy", "treatment_policy"): "treatment policy: scores after it count",
    ("booster_policy", "treatment_policy"): "treatment policy: part of the treatment as given",
    ("booster_policy", "censor"): "hypothetical: as if none had been given, watched to the first",
    ("rescue_policy", "treatment_policy"): "treatment policy: whatever rescue was given",
    ("rescue_policy", "censor"): "hypothetical: as if none had been needed, watched to the first",
    ("rescue_policy", "composite"): "composite: an end of the target, no response can follow",
    ("booster_policy", "hypothetical"): "hypothetical: as if none had been given, scores after the first set aside",
}
_NAMES = {
    "end_policy": "End of the target, death, another treatment in its place",
    "booster_policy": "Booster",
    "rescue_policy": "Rescue treatment",
}
# Nobody has a score after death, whatever the policy for other ends. The models of scores take it as one more score not
# seen, so that the mean is that of all courses and not of those still alive (Kurland et al. 2009 Stat Sci 24:211).
_NAMES_OF_SCORES = {**_NAMES, "end_policy": "End of the target, another treatment in its place"}
_DEATH = "hypothetical: as if nobody had died, scores after it missing at random"


def estimand(result: Result) -> pl.DataFrame:
    """Return the estimand of a result: ``attribute, value``, one row an attribute or intercurrent event.

    Raises
    ------
    UsageError
        When the question describes courses and estimates nothing of a population, e.g. an outlook or safety.

    References
    ----------
    ICH E9(R1) 2019, addendum on estimands and sensitivity analysis in clinical trials, section A.3.

    Examples
    --------
    >>> estimand(time_to_response(knees, resamples=20))["attribute"][0]
    'Treatment'
    """
    s = result.settings
    described = _of_question(result)
    rows = [
        ("Treatment", described["treatment"]),
        ("Population", _population(result)),
        ("Variable", described["variable"]),
        *described["events"],
        ("Summary measure", described["summary"] + f"; by {s['by']}"),
    ]
    return pl.DataFrame(rows, schema=["attribute", "value"], orient="row")


def _of_question(result: Result) -> dict[str, Any]:
    s = result.settings
    confirmed = "confirmed at the next visit" if s.get("confirmation") == "confirmed" else "as each visit shows"
    response = f"{s.get('definition_label')} ({s.get('definition')} v{s.get('definition_version')}), {confirmed}"
    given = "A course of treatment as given"
    if result.question == "time_to_response":
        days = ", ".join(str(d) for d in s["horizon_day"])
        return {
            "treatment": given,
            "variable": f"Time from the first session to response: {response}; known to an interval between visits",
            "events": _events(s, ("end_policy", "booster_policy", "rescue_policy")),
            "summary": f"Cumulative incidence at {days} days, and its difference between strata",
        }
    if result.question in ("adjusted_response", "subgroups"):
        pooled = ", and drawn together with those of other groups" if result.question == "subgroups" else ""
        return {
            "treatment": given,
            "variable": f"Time from the first session to response: {response}; known to an interval between visits",
            "events": _events(s, ("end_policy", "booster_policy", "rescue_policy")),
            "summary": f"Share by {', '.join(str(d) for d in s['horizon_day'])} days, standardised over the cohort "
            f"for {', '.join(s['covariates'])}{pooled}",
        }
    if result.question == "dose_response":
        return {
            "treatment": f"The courses as given, each dose of {', '.join(f'{d:g}' for d in s['at_million'])} million "
            f"viable cells ({s['dose'].replace('_', ' ')}) for all of them",
            "variable": f"Time from the first session to response: {response}; known to an interval between visits",
            "events": _events(s, ("end_policy", "booster_policy", "rescue_policy")),
            "summary": f"Share by {', '.join(str(d) for d in s['horizon_day'])} days, standardised over the stratum "
            f"for {', '.join(s['covariates']) or 'nothing'}; difference between doses",
        }
    if result.question in ("loss_of_response", "adjusted_loss"):
        return {
            "treatment": given,
            "variable": f"Loss by rule {s['loss']} ({s['loss_label']}) among those in response on day "
            f"{s['landmark_day']}; response: {response}",
            "events": [
                ("Intercurrent event: End of the target, death", "competing event: after it nothing can be lost"),
                *_events(s, ("booster_policy", "rescue_policy")),
            ],
            "summary": "Cumulative incidence of loss by day since the landmark, and its difference between strata"
            + _standardised(s, "those ever seen in response"),
        }
    if result.question in ("time_in_response", "adjusted_time_in_response"):
        return {
            "treatment": given,
            "variable": f"State on each day: in response by {response}, until lost by rule {s['loss']}",
            "events": [
                ("Intercurrent event: End of the target, death", "composite: not in response from then on"),
                *_events(s, ("booster_policy", "rescue_policy")),
            ],
            "summary": "Probability of being in response by day, and mean days in response up to the last"
            + _standardised(s, "the courses fitted"),
        }
    if result.question in ("joint_replacement", "adjusted_replacement"):
        adjusted = result.question == "adjusted_replacement"
        return {
            "treatment": given,
            "variable": f"Time from the first session to {s['end_label']}, on its exact day",
            "events": [
                ("Intercurrent event: Death, another treatment", "competing event"),
                ("Intercurrent event: Booster, rescue medication", "treatment policy"),
            ],
            "summary": "Cumulative incidence, and its difference between strata"
            + (f", standardised for {', '.join(s['covariates'])}" if adjusted else ""),
        }
    if result.question == "response_at_visits":
        return {
            "treatment": given,
            "variable": f"State at each planned visit: in response by {response}, until lost by rule {s['loss']}",
            "events": [
                ("Intercurrent event: End of the target, death", "composite: not in response from then on"),
                *_events(s, ("booster_policy", "rescue_policy")),
            ],
            "summary": "Share of courses in response by visit, and its difference between strata",
        }
    if result.question in ("trajectories", "growth"):
        when = "at planned visits" if result.question == "trajectories" else "by day since the first session"
        return {
            "treatment": given,
            "variable": f"Change of {s['scale_label']} from baseline {when}, {s['unit_label']}",
            "events": _of_scores(s),
            "summary": f"Mean change {'by visit' if when.startswith('at') else 'by day'}, and its difference between "
            "strata",
        }
    if result.question == "imputed_change":
        return {
            "treatment": given,
            "variable": f"Change of {s['scale_label']} from baseline at {s['visit']}, {s['unit_label']}",
            "events": _of_scores(s, "hypothetical: as if nobody had died, the scores after it as each assumption says"),
            "summary": "Mean change and its difference between strata, under each assumption about scores not seen",
        }
    if result.question == "booster_effect":
        per_protocol = s["estimand"] == "per_protocol"
        return {
            "treatment": f"A booster within {s['grace_day']} days of the decision against none"
            + (" until the day of the outcome" if per_protocol else ", as decided"),
            "variable": f"{s['outcome_label']} at {', '.join(str(d) for d in s['horizon_day'])} days",
            "events": [
                (
                    "Intercurrent event: Booster later, or a second one",
                    "hypothetical: as if the strategy had been followed" if per_protocol else "treatment policy",
                ),
                (
                    "Intercurrent event: End of the target",
                    {"points of 100": "hypothetical: weighted for"}.get(
                        s["unit_label"],
                        {"end": "the outcome itself", "loss": "composite: as a loss"}.get(
                            s["outcome"], "composite: not in response"
                        ),
                    ),
                ),
            ],
            "summary": "Difference between strategies" + ("" if s["unit_label"] == "points of 100" else " and ratio"),
        }
    raise UsageError(f"{result.question} describes courses; it has no estimand.")


def _events(s: dict[str, Any], policies: tuple[str, ...], names: dict[str, str] = _NAMES) -> list[tuple[str, str]]:
    return [(f"Intercurrent event: {names[p]}", _STRATEGY[p, s[p]]) for p in policies if p in s]


def _of_scores(s: dict[str, Any], death: str = _DEATH) -> list[tuple[str, str]]:
    """Return the events of a question about scores; death stands apart, since no policy gives the dead a score."""
    ending, booster = _events(s, ("end_policy", "booster_policy"), _NAMES_OF_SCORES)
    return [ending, ("Intercurrent event: Death", death), booster]


def _standardised(s: dict[str, Any], over: str) -> str:
    return f", standardised over {over} for {', '.join(s['covariates'])}" if "covariates" in s else ""


def _population(result: Result) -> str:
    s = result.settings
    chosen = ", ".join(f"{k} {v}" for k, v in s["selection"].items() if v is not None) or "all courses"
    used = int(result.attrition["n"][-1])
    return f"Courses of {', '.join(s['programmes'])}: {chosen}; {used:,} with what the question needs"
