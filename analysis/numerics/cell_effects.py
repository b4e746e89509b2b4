"""What interval-censored times say of an effect for each cell of a cohort, beside a proportional hazards model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.numerics.interval import IntervalData
from analysis.numerics.interval_likelihood import Likelihood, Model, split_rows

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class CellInformation:
    """The log-likelihood of K cells' effects (log hazard ratios), expanded where it was asked for.

    Attributes
    ----------
    theta : (q,) parameters of the model at the expansion; effects : (K,) where it is
    information, said : S (K, K) and h (K,) of ``b' h - b' S b / 2``, the model's parameters at their best for each b
    covariance : (q, q) of theta given the effects; moves : (q, K), how theta goes with them
    inflation : how much more scores vary by patient than as if each course were a patient's only one, 1 or more, times
        patients over their number less q; all of the above allow for it
    """

    theta: Floats
    effects: Floats
    information: Floats
    said: Floats
    covariance: Floats
    moves: Floats
    inflation: float


def cell_information(
    model: Model, cells: Sequence[tuple[IntervalData, Floats, Ints]], patients: Sequence[Ints], rest: Likelihood | None,
    theta: Floats, precision: Floats,
) -> CellInformation:  # fmt: skip
    """Return the likelihood of the cells' effects about its mode under a normal prior.

    Parameters
    ----------
    model
        Whose u(t) an effect is added to, before covariates.
    cells
        For each cell its rows, their covariates (n, p) and stratum codes (n,).
    patients
        For each cell whose rows they are, (n,).
    rest
        Rows that are in no cell.
    theta
        Parameters (q,) to start from.
    precision
        Of the normal prior about 0, (K, K): it only says where to expand.

    Raises
    ------
    ValueError
        When Newton's steps do not settle.
    """
    # A cell's effect is the coefficient of a column of ones in its own rows: no matrix has a column for each cell.
    parts = [split_rows(model, data, np.column_stack([x, np.ones(len(x))]), code) for data, x, code in cells]
    q, k = len(theta), len(parts)
    at = np.concatenate([theta, np.zeros(k)])

    def value(point: Floats) -> float:
        total = sum(part.loglik(np.append(point[:q], b)) for part, b in zip(parts, point[q:], strict=True))
        total += 0.0 if rest is None else rest.loglik(point[:q])
        return float(total) - 0.5 * float(point[q:] @ precision @ point[q:])

    def slopes(point: Floats) -> tuple[Floats, Floats, list[Floats]]:
        score, curve = np.zeros(q + k), np.zeros((q + k, q + k))
        own = []
        if rest is not None:
            rows, hessian = rest.derivatives(point[:q])
            score[:q], curve[:q, :q] = rows.sum(axis=0), -hessian
        for j, part in enumerate(parts):
            rows, hessian = part.derivatives(np.append(point[:q], point[q + j]))
            here = np.append(np.arange(q), q + j)
            score[here] += rows.sum(axis=0)
            curve[np.ix_(here, here)] -= hessian
            own.append(rows[:, q])
        return score, curve, own

    here = value(at)
    for _ in range(60):
        score, curve, own = slopes(at)
        slope = score - np.concatenate([np.zeros(q), precision @ at[q:]])
        bent = curve.copy()
        bent[q:, q:] += precision
        values, vectors = np.linalg.eigh(bent)
        step = vectors @ ((vectors.T @ slope) / np.maximum(np.abs(values), 1e-10 * np.abs(values).max()))
        if float(slope @ step) < 1e-9:
            break
        for _ in range(40):
            then = value(at + step)
            if then >= here - 1e-10:
                break
            step = step / 2
        at, here = at + step, max(then, here)
    else:
        raise ValueError("The effects of the cells could not be fitted: fewer factors, or fewer covariates, may help.")
    people = len(np.unique(np.concatenate([np.asarray(who) for who in patients])))
    # What so many parameters leave of scores is too small (as of HC1).
    wide = _by_patient(parts, own, patients) * (people / (people - q) if people > 2 * q else 1.0)
    of_theta: Floats = np.asarray(np.linalg.inv(curve[:q, :q]), dtype=np.float64)
    between = curve[:q, q:]
    information = curve[q:, q:] - between.T @ of_theta @ between
    said = information @ at[q:] + score[q:] - between.T @ of_theta @ score[:q]
    return CellInformation(
        at[:q], at[q:], information / wide, said / wide, of_theta * wide, -of_theta @ between, wide
    )  # fmt: skip


def _by_patient(parts: Sequence[Likelihood], own: Sequence[Floats], patients: Sequence[Ints]) -> float:
    """Return by how much the sum of scores varies more than if all rows were of different patients, 1 or more."""
    whose = np.concatenate([who[part.position] for part, who in zip(parts, patients, strict=True)])
    scores = np.concatenate(own)
    _, code = np.unique(whose, return_inverse=True)
    return max(float((np.bincount(code, scores) ** 2).sum() / (scores**2).sum()), 1.0)
