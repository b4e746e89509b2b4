"""Accelerated failure time for interval-censored times: exponential, Weibull, log-logistic, log-normal.

``log T = intercept + x' coefficients + scale * error``, as R's survreg: a positive coefficient stretches time. Risks,
contrasts and tests are those of `interval_regression`. In 1 / scale and coefficients / scale the log-likelihood is
concave (Burridge 1981 JRSS B 43:41), so that with one scale a certified stationary point is the maximum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, log_ndtr, ndtri

from analysis.numerics.interval import IntervalData
from analysis.numerics.interval_likelihood import (
    EXTREME,
    Bend,
    Distribution,
    Floats,
    IntervalFit,
    Ints,
    Term,
    check_support,
    checked,
    estimate,
    linear,
    refuse,
)
from analysis.numerics.interval_regression import RiskEstimate
from analysis.numerics.laws import normal_quantile

Name = Literal["exponential", "weibull", "loglogistic", "lognormal"]

LOGISTIC = Distribution(
    log_survival=lambda u: -np.logaddexp(0.0, u),
    log_density=lambda u: -np.abs(u) - 2 * np.log1p(np.exp(-np.abs(u))),
    slope=lambda u: -np.tanh(u / 2),
    bend=lambda u: -2 * expit(u) * expit(-u),
)
NORMAL = Distribution(
    log_survival=lambda u: np.asarray(log_ndtr(-u)),
    log_density=lambda u: -0.5 * u**2 - 0.5 * np.log(2 * np.pi),
    slope=lambda u: -u,
    bend=lambda u: -np.ones_like(u),
)


@dataclass(frozen=True, slots=True)
class AcceleratedModel:
    """Intercept, p coefficients, and the log scale of each of the named strata (fixed at 0 when exponential)."""

    name: Name
    strata: tuple[str, ...]

    @property
    def distribution(self) -> Distribution:
        """Distribution of the error."""
        return {"loglogistic": LOGISTIC, "lognormal": NORMAL}.get(self.name, EXTREME)

    @property
    def first(self) -> int:
        """Position of the first coefficient."""
        return 1

    @property
    def n_scales(self) -> int:
        """Number of log scales."""
        return 0 if self.name == "exponential" else len(self.strata)

    def predictor(self, time: Floats, x: Floats, code: Ints) -> tuple[Term, Term]:
        """Return (log t - mean) / scale and -log(scale) at (k,) times."""
        design = np.hstack([np.ones((time.size, 1)), x])
        own = np.eye(len(self.strata))[code][:, : self.n_scales]
        log_time, p = np.log(time), design.shape[1]

        def standardised(theta: Floats) -> tuple[Floats, Floats, Bend]:
            scaled = design * np.exp(-own @ theta[p:])[:, None]
            u = log_time * np.exp(-own @ theta[p:]) - scaled @ theta[:p]

            def bend(weight: Floats) -> Floats:
                cross = scaled.T @ (weight[:, None] * own)
                squares = np.diag((weight * u) @ own)
                return np.asarray(np.block([[np.zeros((p, p)), cross], [cross.T, squares]]))

            return u, np.hstack([-scaled, -u[:, None] * own]), bend

        return standardised, linear(np.hstack([np.zeros_like(design), -own]))

    def start(self, middle: Floats, happened: Floats, count: Floats) -> Floats:
        """Return a constant rate, or the mean and spread of log times as if all were events."""
        if self.name == "exponential":
            return np.log([count @ middle / (count @ happened)])
        mean = float(np.average(np.log(middle), weights=count))
        spread = float(np.sqrt(np.average((np.log(middle) - mean) ** 2, weights=count)))
        # Times that are all alike would start from a scale of 0.
        return np.array([mean, *[np.log(max(spread, 0.1))] * self.n_scales])

    def labels(self, columns: Sequence[str]) -> tuple[str, ...]:
        """Return the names that survreg uses."""
        marks = [""] if len(self.strata) == 1 else [f" [{label}]" for label in self.strata]
        return ("(Intercept)", *columns, *(f"Log(scale){mark}" for mark in marks[: self.n_scales]))


def fit_accelerated_failure_time(
    data: IntervalData,
    x: ArrayLike,
    distribution: Name,
    *,
    stratum: ArrayLike | None = None,
    cluster: ArrayLike | None = None,
    names: Sequence[str] | None = None,
) -> IntervalFit:
    """Fit accelerated failure time by maximum likelihood.

    Parameters
    ----------
    data
        Counts of distinct observations, n rows, as `fit_proportional_hazards` takes them.
    x
        Covariates (n, p) without a constant, with names (p,) for messages and tests; p may be 0.
    distribution
        Of the event time.
    stratum
        Labels (n,) with a scale each; a shift between strata must be among the columns, as in survreg.
    cluster
        Labels (n,), usually the patient, for the sandwich covariance; a row must not mix patients then.

    Raises
    ------
    ValueError
        For an unknown distribution, strata of an exponential model, as `checked` and `check_support`, and when a
        parameter diverges (named).

    References
    ----------
    Kalbfleisch & Prentice (2002) The Statistical Analysis of Failure Time Data, chapter 3.
    """
    refuse(distribution not in get_args(Name), f"distribution must be one of {', '.join(get_args(Name))}.")
    refuse(distribution == "exponential" and stratum is not None, "An exponential model has no scale to stratify.")
    sample = checked(data, x, stratum, cluster, names)
    model = AcceleratedModel(distribution, tuple(str(label) for label in sample.strata))
    check_support(sample, len(model.labels(sample.columns)), np.zeros_like(sample.code))
    return estimate(model, sample)


def time_quantiles(
    fit: IntervalFit, x: ArrayLike, shares: ArrayLike, *, stratum: ArrayLike | None = None, level: float = 0.95
) -> RiskEstimate:
    """Time by which each share (T,) in (0, 1) of courses with covariates (k, p) has the event: (k, T).

    The interval is on the log scale. Beyond the horizon of the fit a quantile rests on the distribution alone.

    Raises ValueError for a fit of another model, an unknown stratum, or a share outside (0, 1).
    """
    model, design, wanted = fit.model, np.atleast_2d(np.asarray(x, dtype=float)), np.asarray(shares, dtype=float)
    if not isinstance(model, AcceleratedModel):
        raise ValueError("Time quantiles are for accelerated failure time: read risks of other fits at given times.")
    refuse(not ((wanted > 0) & (wanted < 1)).all(), "A share must be between 0 and 1.")
    labels = np.broadcast_to(fit.strata[0] if stratum is None else np.asarray(stratum), len(design))
    unknown = (stratum is None and model.n_scales > 1) or not np.isin(labels, fit.strata).all()
    refuse(unknown, f"Every row needs one of the strata {', '.join(model.strata)}.")
    standard = {"loglogistic": np.log(wanted / (1 - wanted)), "lognormal": ndtri(wanted)}
    error = standard.get(model.name, np.log(-np.log1p(-wanted)))
    line = np.hstack([np.ones((len(design), 1)), design])
    own = np.eye(len(model.strata))[np.searchsorted(fit.strata, labels)][:, : model.n_scales]
    mean, log_scale = np.split(fit.parameters, [line.shape[1]])
    spread = np.exp(own @ log_scale)[:, None] * error
    log_time = (line @ mean)[:, None] + spread
    gradient = np.concatenate([np.repeat(line[:, None], wanted.size, axis=1), spread[..., None] * own[:, None]], axis=2)
    error = np.sqrt(np.einsum("ktp,pq,ktq->kt", gradient, fit.variance, gradient))
    time, factor = np.exp(log_time), np.exp(normal_quantile(0.5 + level / 2) * error)
    return RiskEstimate(time, time * error, time / factor, time * factor, time[..., None] * gradient)
