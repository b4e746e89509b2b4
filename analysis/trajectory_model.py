"""The repeated-measures model of trajectories: fitted with a fallback, its variance clustered by patient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from analysis.cohort import allowed
from analysis.numerics.degrees_of_freedom import independent_rows
from analysis.numerics.laws import f_above
from analysis.numerics.marginal_means import (
    Estimates,
    JointTest,
    Method,
    coefficient_rows,
    joint_test,
    linear_estimates,
)
from analysis.numerics.repeated import MmrmFit, fit_mmrm
from analysis.numerics.repeated_design import VisitDesign
from analysis.numerics.repeated_sandwich import (
    hotelling_degrees_of_freedom,
    sandwich,
    sandwich_degrees_of_freedom,
)
from analysis.numerics.repeated_sums import PatternSums
from analysis.numerics.varying import UNVARYING_ALL, errors_of, varying_rows
from analysis.trajectory_sums import Sums, cell
from registry.errors import NotEstimable, UsageError, choose

Floats = NDArray[np.float64]
Rows = tuple[Floats, Floats, NDArray[np.int64]]
# Restricted maximum likelihood, or full: means alike, but full compares models of them, and its variances are smaller.
Likelihood = Literal["reml", "ml"]
# Who shares a covariance between visits.
CovarianceBy = Literal["all", "stratum"]

# From the most to the fewest parameters: what is tried in turn when the data do not determine the one asked for.
_SIMPLER = (
    "unstructured",
    "heterogeneous toeplitz",
    "heterogeneous ar1",
    "heterogeneous compound symmetry",
    "compound symmetry",
)


def fit_with_fallback(
    sums: PatternSums, design: VisitDesign, structure: str, likelihood: Likelihood = "reml"
) -> tuple[MmrmFit, str]:
    """Fit by restricted or full maximum likelihood, with a simpler covariance when the data do not determine this one.

    Returns
    -------
    The fit, and why the structure asked for was not used (empty if it was).

    Raises
    ------
    NotEstimable
        When no structure can be fitted; the message is that of the simplest.
    """
    later = _SIMPLER[_SIMPLER.index(structure) + 1 :] if structure in _SIMPLER else ("compound symmetry",)
    why = ""
    for name in (structure, *later):
        try:
            return fit_mmrm(sums, design, name, reml=likelihood == "reml"), why
        except ValueError as error:
            why, last = why or str(error), str(error)
    raise NotEstimable(f"The model of repeated measures cannot be fitted to these courses. {last}")


def fit_by(
    data: Sums, design: VisitDesign, structure: str, likelihood: Likelihood, covariance_by: CovarianceBy
) -> tuple[MmrmFit, list[str]]:
    """Fit with one covariance, or one for each stratum that was seen; where that fails, with one after all.

    A covariance of its own needs twice as many courses as there are visits.

    Returns
    -------
    The fit, and what is to be said of its covariance (nothing if it is as asked).

    Raises
    ------
    NotEstimable
        As :func:`fit_with_fallback`.
    """
    notes = []
    if covariance_by == "stratum":
        seen, group = np.unique(data.stratum, return_inverse=True)
        own = replace(data.sums, group=group.astype(np.int64), groups=tuple(data.strata[s] for s in seen))
        count = np.bincount(own.group, weights=own.n)
        few = [code for code, n in zip(own.groups, count, strict=True) if n < 2 * own.n_visits]
        why = f"too few courses were seen in {', '.join(few)}"
        if not few:
            try:
                return fit_mmrm(own, design, structure, reml=likelihood == "reml"), []
            except ValueError as error:
                why = str(error)
        notes.append(f"The strata have one covariance in common, since one for each could not be fitted: {why}")
    fit, why = fit_with_fallback(data.sums, design, structure, likelihood)
    if why:
        notes.append(f"The covariance is {fit.structure.name}, since the one asked for could not be fitted: {why}")
    return fit, notes


def _groups(fit: MmrmFit, z: Floats) -> NDArray[np.str_] | None:
    """Return the covariance group of courses with covariates z (n, q), or None where all have one."""
    if len(fit.sums.groups) == 1:
        return None
    columns = [fit.design.covariates.index(f"stratum={code}") for code in fit.sums.groups]
    return np.asarray(np.array(fit.sums.groups)[z[:, columns].argmax(axis=1)], dtype=np.str_)


def method_of(asked: Method | None, likelihood: Likelihood) -> Method:
    """Return the degrees of freedom asked for, or those usual under the likelihood.

    Raises
    ------
    UsageError
        When one is not known, or Kenward-Roger, an expansion of restricted likelihood, is asked of the full one.
    """
    choose(likelihood, allowed(Likelihood), "likelihood =")
    if asked is None:
        return "kenward-roger-linear" if likelihood == "reml" else "satterthwaite"
    choose(asked, allowed(Method), "degrees_of_freedom =")
    if likelihood == "ml" and asked.startswith("kenward-roger"):
        raise UsageError(
            f"degrees_of_freedom = '{asked}' holds for restricted maximum likelihood only. With likelihood = 'ml' use "
            "'satterthwaite', or leave it out."
        )
    return asked


def check_clustered(asked: Method | None) -> None:
    """Refuse degrees of freedom of the model where the variance is clustered by patient, which has its own.

    Raises
    ------
    UsageError
        When any but Satterthwaite's are asked for; with what to do.
    """
    if asked not in (None, "satterthwaite"):
        raise UsageError(
            f"degrees_of_freedom = '{asked}' goes with the variance of the model. Here it is a sandwich clustered by "
            "patient, with Satterthwaite's degrees of freedom of the sandwich: leave degrees_of_freedom out, select "
            "first_course_only=True with variance='clustered', or ask variance='model', which takes courses of a "
            "patient as independent."
        )


@dataclass(frozen=True)
class Inference:
    """How estimates of a fit get their intervals.

    Attributes
    ----------
    fit
        The model.
    method
        Degrees of freedom (and small-sample covariance) of the model.
    covariance : (p, p) or None
        Empirical covariance clustered by patient, in place of the model's.
    freedom
        Degrees of freedom under it.
    together
        Those of several contrasts at once (Hotelling's).
    """

    fit: MmrmFit
    method: str
    covariance: Floats | None = None
    freedom: Callable[[Floats], Floats] | None = None
    together: Callable[[Floats], float] | None = None

    def error(self, rows: Floats) -> Floats:
        """Return standard errors of the contrasts (r, p): without degrees of freedom, which take long to find."""
        if self.covariance is None:
            return linear_estimates(self.fit, rows, self.method).se
        return errors_of(rows, self.covariance)

    def of(self, rows: Floats, confidence: float) -> Estimates:
        """Return estimates of the contrasts (r, p) with their intervals."""
        if self.covariance is None or self.freedom is None:
            return linear_estimates(self.fit, rows, self.method, confidence)
        return linear_estimates(
            self.fit, rows, "satterthwaite", confidence, covariance=self.covariance, df=self.freedom(rows)
        )

    def test(self, rows: Floats) -> JointTest:
        """Return the F test that the contrasts (r, p) are all zero.

        Raises
        ------
        NotEstimable
            When the patients are too few for so many contrasts at once under a clustered variance, or nothing varies.
        """
        if self.covariance is None or self.together is None:
            return joint_test(self.fit, rows, self.method)
        own, variances = independent_rows(rows, self.fit.covariance)
        own = varying_rows(own, self.covariance, float(variances.mean()))
        if not len(own):
            raise NotEstimable(UNVARYING_ALL)
        q, eta = len(own), self.together(own)
        if eta <= q + 1:
            raise NotEstimable(
                f"{q} contrasts at once are too many for the patients there are: their variance is known as from "
                f"{max(eta, 0):.0f}"
            )
        value = own @ self.fit.beta

        def over(covariance: Floats) -> float:
            return float(value @ np.linalg.solve(own @ covariance @ own.T, value))

        statistic, left = over(self.covariance) * (eta - q + 1) / (eta * q), eta - q + 1
        # That takes the covariance between visits as known; what its estimate costs Kenward and Roger say. Together
        # they reject 6 of 100 true hypotheses at 150 courses; the sandwich taken as known rejected 25.
        if self.fit.reml and over(self.fit.covariance) > 0:
            of_model = joint_test(self.fit, own, "kenward-roger-linear")
            statistic *= min(of_model.statistic * q / over(self.fit.covariance), 1.0)
            left = 1 / (1 / left + 1 / of_model.df_denominator)
        return JointTest(statistic, float(q), left, float(f_above(statistic, q, left)))


def clustered(fit: MmrmFit, method: str, rows: Rows) -> Inference:
    """Return inference clustered by patient: scores of a patient's courses are added before they are squared.

    The scores of each course are bias-reduced by its own leverage, which is CR2 for clusters of one course; leverage
    between courses of a patient is not taken out. Degrees of freedom are Satterthwaite's of the sandwich of courses,
    times courses over the sum of squared courses per patient: exact when courses weigh alike, and what makes two knees
    less than two patients. Tests of several contrasts are Hotelling's, on as many.
    """
    z, y, patient = rows
    group = _groups(fit, z)
    empirical = sandwich(fit, z, y, group, kind="CR2")
    together = np.zeros((int(patient.max()) + 1, fit.beta.size))
    np.add.at(together, patient, empirical.scores)
    seen = ~np.isnan(y).all(axis=1)
    each = np.bincount(patient[seen])
    shrink = float(each.sum() / (each**2).sum())
    return Inference(
        fit=fit,
        method=method,
        covariance=fit.covariance @ (together.T @ together) @ fit.covariance,
        freedom=lambda contrast: (
            shrink * _in_parts(lambda part: sandwich_degrees_of_freedom(fit, part, z, y, group, kind="CR2"), contrast)
        ),
        together=lambda rows: shrink * hotelling_degrees_of_freedom(fit, rows, z, y, group, kind="CR2"),
    )


def _in_parts(freedom: Callable[[Floats], Floats], rows: Floats) -> Floats:
    """Return `freedom` of contrasts (r, p), few enough at a time that r p² numbers are no burden."""
    most = max(1, int(2e7) // rows.shape[-1] ** 2)
    rows = np.atleast_2d(rows)
    return np.concatenate([freedom(rows[i : i + most]) for i in range(0, len(rows), most)])


def interaction_rows(design: VisitDesign, data: Sums, shown: NDArray[np.bool_]) -> Floats:
    """Return contrasts (r, p) that are zero when strata differ alike at all visits, over the cells (S, T) `shown`."""
    rows = [np.zeros((0, len(design.columns)))]
    for s in range(1, len(data.strata)):
        both = [v.name for t, v in enumerate(data.visits) if shown[s, t] and shown[0, t]]
        gaps = [
            coefficient_rows(design, [cell(data.strata[s], v)]) - coefficient_rows(design, [cell(data.strata[0], v)])
            for v in both
        ]
        rows += [gap - gaps[0] for gap in gaps[1:]]
    return np.concatenate(rows)
