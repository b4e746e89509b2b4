"""Being in response at planned visits by stratum: shares of courses, with limits that know whose courses they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import special

from analysis import trajectory_figures
from analysis.cohort import BoosterPolicy, By, Confirmation, RescuePolicy, Stratum, allowed, check_confidence
from analysis.exposure import exposure_note
from analysis.loss_of_response import reduce_states
from analysis.numerics.exact import exact_share
from analysis.numerics.gee import GeeFit, Working, fit_gee
from analysis.numerics.laws import f_above, t_quantile
from analysis.numerics.varying import UNVARYING, UNVARYING_ALL, errors_of, wald
from analysis.result import Result, check, diagnostics_of, frame_of, row
from analysis.weighted_at_visits import Cell, Weighted, weigh, weighted_shares
from registry import Courses
from registry.errors import NotEstimable, UsageError, choose

Floats = NDArray[np.float64]
Unseen = Literal["alike", "weighted"]

FEWEST = 5
# Fewer courses in response, or fewer not, and the log odds are far from normal.
FEWEST_OF_EITHER = 3


@dataclass(frozen=True)
class Seen:
    """Counts by cell, and the fitted model of those that have both answers.

    Attributes
    ----------
    counts
        Courses in response, known and due by cell.
    patients
        Patients known by stratum.
    cells
        Cells of the model, in the order of its coefficients.
    covariance : (p, p)
        Of the log odds, clustered by patient, for few clusters.
    working
        Working correlation of the fit: independence where another has no solution.
    """

    counts: dict[Cell, tuple[int, int, int]]
    patients: dict[str, int]
    visits: list[dict[str, Any]]
    cells: list[Cell]
    fit: GeeFit
    covariance: Floats
    working: Working

    @property
    def few(self) -> list[Cell]:
        """Cells in which enough were seen, but nearly all or none of them in response."""
        return [c for c, (_, n, _) in self.counts.items() if n >= FEWEST and c not in self.cells]

    @property
    def share(self) -> Floats:
        """Shares of the cells of the model, (p,)."""
        return np.asarray(special.expit(self.fit.beta))


def response_at_visits(
    courses: Courses,
    *,
    definition: str | None = None,
    loss: str = "L1",
    by: By = "stage",
    confirmation: Confirmation = "confirmed",
    booster_policy: BoosterPolicy = "treatment_policy",
    rescue_policy: RescuePolicy = "treatment_policy",
    working: Working = "independence",
    unseen: Unseen | None = None,
    confidence: float = 0.95,
) -> Result:
    """Estimate the share of courses in response at each planned visit by stratum, and differences between strata.

    Generalised estimating equations with a log odds for each stratum at each visit, clustered by patient: visits of a
    course and courses of a patient may correlate in any way. Ended targets and the dead are not in response. Courses
    that were not seen are taken to be like those that had gained as much when last seen, or like all of their stratum,
    as `unseen` says.

    Parameters
    ----------
    courses, definition, loss, by, confirmation, booster_policy, rescue_policy
        As :func:`analysis.loss_of_response`.
    working
        Working correlation of answers of one patient: under ``independence`` estimates are shares, under
        ``exchangeable`` visits lend to each other what a patient's other answers say. Limits hold under either.
    unseen
        ``weighted``: who was seen counts 1 / (the probability of being seen), from models of leaving and of missing a
        visit by stratum and improvement last seen; right where leaving depends on no more than that. ``alike``: whoever
        came stands for the stratum, right where leaving has nothing to do with the course. Default: weighted under
        ``independence``, alike under ``exchangeable``.

    Returns
    -------
    Result
        ``share_in_response`` by stratum and visit (`n` of `denominator` known) with limits on the scale of log odds,
        exact where nearly all or none of those seen are in response (weighted: of as many courses as the weights leave;
        a note tells where there was nobody to weight); ``difference`` to the first stratum; ``seen``, the share of
        courses due whose state is known; the ``test`` whether strata differ at any visit.

    Raises
    ------
    NotEstimable
        When no stratum has three courses in response and three not at any visit.
    UsageError
        When an option is not known.

    References
    ----------
    Liang & Zeger 1986 Biometrika 73:13; Zeger, Liang & Albert 1988 Biometrics 44:1049. See
    docs/methods/trajectories.md.

    Examples
    --------
    >>> held = response_at_visits(knees, by="stage")
    >>> held.settings["working"]
    'independence'
    """
    choose(working, allowed(Working), "working =")
    unseen = unseen or ("weighted" if working == "independence" else "alike")
    choose(unseen, allowed(Unseen), "unseen =")
    check_confidence(confidence)
    if unseen == "weighted" and working != "independence":
        raise UsageError("Weights for being seen stand in the place of a working correlation: working='independence'.")
    placed = reduce_states(
        courses, "state_visit", "state_pattern", question="response_at_visits", definition=definition, loss=loss, by=by,
        confirmation=confirmation, booster_policy=booster_policy, rescue_policy=rescue_policy,
    )  # fmt: skip
    visit_rows, patterns, strata = placed.frames["state_visit"], placed.frames["state_pattern"], list(placed.strata)
    if visit_rows.height == 0:
        raise NotEstimable("No planned visit at which a response can be told was due for any course.")
    seen = fitted(visit_rows, patterns, working)
    settings = {
        **placed.settings,
        "working": seen.working,
        "unseen": unseen,
        "confidence": confidence,
        "visits": seen.visits,
        "variance": "sandwich clustered by patient",
        "estimand": "share of courses in response at each planned visit, ends counted as not in response",
    }
    found = [*shares(strata, seen, confidence), *differences(strata, seen, confidence)]
    made = None
    if unseen == "weighted":
        held = [s.code for s in strata if s.code in seen.patients]
        made = weighted_shares(visit_rows, seen.cells, held, confidence, seen.few)
        found = weigh(found, made, {float(v["day"]): v["position"] for v in seen.visits})
    frame = frame_of([*found, _test(strata, seen)])
    return Result(
        question="response_at_visits",
        title=f"In response at planned visits by {by}: {settings['definition_label']}, loss: {settings['loss_label']}",
        frame=frame,
        settings=settings,
        attrition=placed.flow,
        diagnostics=_diagnostics(seen, made),
        curves=frame.filter(pl.col("quantity") == "share_in_response", pl.col("estimate").is_not_null()),
        at_risk=frame.filter(pl.col("quantity") == "seen"),
        notes=(
            *exposure_note(by),
            *fallback(working, seen),
            _ALIKE if made is None else _WEIGHTED,
        ),
        draw=trajectory_figures.share_at_visits,
    )


_ALIKE = (
    "Who was not seen is taken to be like those of the stratum who were (missing completely at random within stratum "
    "and visit): too high where those who gain little stay away. unseen='weighted' and time_in_response() let it "
    "depend on what was seen before."
)
_WEIGHTED = (
    "Who was seen counts for those with as much improvement when last seen who were not (missing at random given the "
    "stratum and that improvement), but where a note says that a share is not weighted. The test is that of the shares "
    "of those seen."
)


def fitted(rows: pl.DataFrame, patterns: pl.DataFrame, working: Working) -> Seen:
    """Fit the cells of ``reduction.state_visit`` that have both answers, from the patterns of ``state_pattern``."""
    summed = rows.group_by("stratum", "position").agg(
        k=pl.col("in_response").sum(), n=pl.col("in_response").count(), due=pl.len()
    )
    counts = {(s, p): (int(k or 0), int(n), int(due)) for s, p, k, n, due in summed.iter_rows()}
    visits = rows.group_by("position").agg(visit=pl.col("planned_visit").first(), day=pl.col("target_day").min())
    cells = sorted(
        c for c, (k, n, _) in counts.items() if n >= FEWEST and FEWEST_OF_EITHER <= k <= n - FEWEST_OF_EITHER
    )
    if not cells:
        raise NotEstimable(
            f"At no planned visit has a stratum at least {FEWEST_OF_EITHER} in response and {FEWEST_OF_EITHER} not."
        )
    number = pl.DataFrame(
        {"stratum": [s for s, _ in cells], "position": [p for _, p in cells], "cell": range(len(cells))},
        schema_overrides={"position": patterns["position"].dtype},
    )
    used = patterns.join(number, on=["stratum", "position"]).sort("pattern", "cell", "in_response")
    used = used.with_columns(kind=pl.col("pattern").rank("dense").cast(pl.Int64) - 1)
    times = used["n_courses"].to_numpy()
    x = np.eye(len(cells))[np.repeat(used["cell"].to_numpy(), times)]
    y = np.repeat(used["in_response"].cast(pl.Float64).to_numpy(), times)
    each = used.unique("kind").sort("kind")["n_patients"].cast(pl.Float64).to_numpy()
    cluster = np.repeat(used["kind"].to_numpy(), times)
    fit = fit_gee(x, y, cluster, each, working)
    if not fit.converged:
        working = "independence"
        fit = fit_gee(x, y, cluster, each, working)
    patients = rows.filter(pl.col("in_response").is_not_null()).group_by("stratum").agg(pl.col("patient_id").n_unique())
    m, p = fit.n_clusters, len(cells)
    return Seen(
        counts, dict(patients.iter_rows()), visits.sort("position").to_dicts(), cells, fit,
        fit.robust * m / max(m - p, 1.0), working,
    )  # fmt: skip


def fallback(asked: Working, seen: Seen) -> tuple[str, ...]:
    """Return a note where the fit has another working correlation than was asked for."""
    if asked == seen.working:
        return ()
    return (
        f"Under working = '{asked}' the estimating equations have no solution here (the answers of a patient ask for a "
        "correlation of one or more): the numbers are those of independence.",
    )


def _reach(seen: Seen, codes: tuple[str, ...], confidence: float) -> float:
    """Return the quantile of t with the patients of the smallest stratum less its visits."""
    left = min(seen.patients[c] for c in codes) - len(seen.visits)
    return float(t_quantile(0.5 + confidence / 2, max(left, 1)))


def shares(strata: list[Stratum], seen: Seen, confidence: float) -> list[dict[str, Any]]:
    """Return by stratum and visit the rows ``seen`` and ``share_in_response``."""
    out = []
    for stratum in strata:
        for visit in seen.visits:
            cell, day = (stratum.code, visit["position"]), float(visit["day"])
            k, n, due = seen.counts.get(cell, (0, 0, 0))
            none = None if due else "not due for anybody yet"
            out.append(row(stratum.code, "seen", time_day=day, n=n, denominator=due, note=none,
                           estimate=n / due if due else None))  # fmt: skip
            known: dict[str, Any] = {"time_day": day, "n": k, "denominator": n}
            if cell in seen.cells:
                i = seen.cells.index(cell)
                reach = _reach(seen, (stratum.code,), confidence) * np.sqrt(seen.covariance[i, i])
                limits = special.expit(seen.fit.beta[i] + np.array([0.0, -reach, reach]))
                known |= dict(zip(("estimate", "low", "high"), map(float, limits), strict=True))
            elif n >= FEWEST:
                known |= dict(zip(("estimate", "low", "high"), exact_share(k, n, confidence), strict=True))
                known["note"] = "nearly all or none: exact limits, courses taken as independent"
            else:
                known["note"] = f"fewer than {FEWEST} courses were seen"
            out.append(row(stratum.code, "share_in_response", **known))
    return out


def differences(strata: list[Stratum], seen: Seen, confidence: float) -> list[dict[str, Any]]:
    """Return by stratum but the first and visit the row ``difference``."""
    held = [s.code for s in strata if s.code in seen.patients]
    out = []
    slope = seen.share * (1 - seen.share)
    for code in held[1:]:
        for visit in seen.visits:
            one, other = (code, visit["position"]), (held[0], visit["position"])
            name, day = f"{code} - {held[0]}", float(visit["day"])
            of = sum(seen.counts.get(c, (0, 0, 0))[1] for c in (one, other))
            if one not in seen.cells or other not in seen.cells:
                why = "too few courses, or nearly all or none in response, in one of the two"
                out.append(row(name, "difference", time_day=day, denominator=of, note=why))
                continue
            i, j = seen.cells.index(one), seen.cells.index(other)
            contrast = np.zeros(len(slope))
            contrast[i], contrast[j] = slope[i], -slope[j]
            value = float(seen.share[i] - seen.share[j])
            reach = _reach(seen, (code, held[0]), confidence) * float(errors_of(contrast[None], seen.covariance)[0])
            limits = {"low": max(value - reach, -1.0), "high": min(value + reach, 1.0)}
            known = {"note": UNVARYING} if np.isnan(reach) else limits
            out.append(row(name, "difference", time_day=day, estimate=value, denominator=of, **known))
    return out


def _test(strata: list[Stratum], seen: Seen) -> dict[str, Any]:
    held = [s.code for s in strata if any(c[0] == s.code for c in seen.cells)]
    rows = []
    for code in held[1:]:
        for i, (s, position) in enumerate(seen.cells):
            if s == code and (held[0], position) in seen.cells:
                contrast = np.zeros(len(seen.cells))
                contrast[i], contrast[seen.cells.index((held[0], position))] = 1.0, -1.0
                rows.append(contrast)
    if not rows:
        return row("all", "test", note="a test needs two strata at one visit")
    matrix = np.array(rows)
    spread = matrix @ seen.covariance @ matrix.T
    # Where states stay as they are from visit to visit, one visit's difference is another's: fewer vary than there are.
    statistic, r = wald(matrix @ seen.fit.beta, spread, float(np.diag(seen.covariance).mean()))
    if r == 0:
        return row("all", "test", note=UNVARYING_ALL)
    f, left = statistic / r, max(int(seen.fit.n_clusters) - len(seen.cells), 1)
    note = f"strata at all visits: F({r}, {left}) = {f:.3f}; whether strata differ at any visit"
    return row("all", "test", estimate=float(f_above(f, r, left)), denominator=int(seen.fit.n_clusters), note=note)


def _diagnostics(seen: Seen, made: Weighted | None) -> pl.DataFrame:
    last = seen.visits[-1]
    checks = [
        check("converged", None, "yes", seen.fit.converged, "change of coefficients and correlation below 1e-10"),
        check("correlation within a patient", seen.fit.correlation, "stated", True, "of answers at any two visits"),
        check("patients in the model", seen.fit.n_clusters, "stated", True, "with a known state at one visit or more"),
    ]
    if made:
        checks += [
            check(f"largest weight at {v['visit']}", made.largest[v["position"]], "<= 10",
                  made.largest[v["position"]] <= 10, "how many courses not seen the one least like them stands for")
            for v in seen.visits if v["position"] in made.largest
        ]  # fmt: skip
    for code in seen.patients:
        _, n, due = seen.counts.get((code, last["position"]), (0, 0, 0))
        share = n / due if due else None
        checks.append(check(f"seen at {last['visit']} in {code}", share, ">= 0.6", share is not None and share >= 0.6,
                            f"{n} of {due}"))  # fmt: skip
    return diagnostics_of(checks)
