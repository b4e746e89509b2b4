"""Multiple imputation of repeated measures from cross-products: proper, exact, and without a row of a patient.

Given the parameters, a missing value is ``z'g + y_o'h + e`` with normal e, and the analysis of the completed visit
needs only sums of z z', z y and y². So the imputed values themselves need not be drawn: their sums with z and y_o are
normal given the sums of what was observed, and the rest of their squares is chi-squared. Drawing these is drawing the
same distribution, and costs as much for a million patients as for ten.

References
----------
Rubin 1987, Multiple Imputation for Nonresponse in Surveys, ch. 3; Barnard & Rubin 1999 Biometrika 86:948 (degrees of
freedom); Carpenter, Roger & Kenward 2013 J Biopharm Stat 23:1352 (reference-based imputation).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from analysis.numerics.laws import t_quantile

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

Rule = Literal["missing_at_random", "return_to_baseline", "jump_to_reference", "copy_reference"]


@dataclass(frozen=True, slots=True)
class Rows:
    """Sums of patients alike in the visits seen (and in stratum, or not), P rows, T visits, q covariates.

    Attributes
    ----------
    observed : (P, T)
    n : (P,)
    zz : (P, q, q); zy : (P, q, T); yy : (P, T, T)
        Sums over the patients of a row, zero at visits not observed. Rows without any visit seen are among them.
    returned : (P,), optional
        Whether they were seen after the T visits: what is missing before is between visits seen.
    """

    observed: Bools
    n: Floats
    zz: Floats
    zy: Floats
    yy: Floats
    returned: Bools | None = None

    def last(self) -> NDArray[np.int64]:
        """Return the last visit seen, -1 for none, T for one after them, (P,)."""
        t = self.observed.shape[1]
        last = np.where(self.observed.any(axis=1), t - 1 - np.argmax(self.observed[:, ::-1], axis=1), -1)
        return last if self.returned is None else np.where(self.returned, t, last)


def together(rows: Rows) -> Rows:
    """Return the rows with those of one pattern of visits added: their stratum is among the covariates."""
    returned = np.zeros(len(rows.n), dtype=bool) if rows.returned is None else rows.returned
    key, at = np.unique(np.column_stack([rows.observed, returned]), axis=0, return_inverse=True)

    def added(values: Floats) -> Floats:
        total = np.zeros((len(key), *values.shape[1:]))
        np.add.at(total, at.ravel(), values)
        return total

    return Rows(key[:, :-1], added(rows.n), added(rows.zz), added(rows.zy), added(rows.yy), key[:, -1])


@dataclass(frozen=True, slots=True)
class Completed:
    """Sums of one visit after imputation.

    Attributes
    ----------
    zz : (q, q)
    zy : (..., q); yy : (...)
        Once, or M times by :func:`stacked`.
    imputed
        How many values were imputed.
    gone_zz : (q, q); gone_zy : (..., q)
        The part of these sums that is of values after the last visit seen.
    """

    zz: Floats
    zy: Floats
    yy: Floats
    imputed: float
    gone_zz: Floats
    gone_zy: Floats

    def moved(self, by: Floats) -> Completed:
        """Return the sums had every value after the last visit seen been higher by ``z @ by``, by (q,): exactly so."""
        add = self.gone_zz @ by
        yy = self.yy + by @ add + 2 * self.gone_zy @ by
        return Completed(self.zz, self.zy + add, yy, self.imputed, self.gone_zz, self.gone_zy + add)


def stacked(made: list[Completed]) -> Completed:
    """Return M imputations of the same rows as one, sums along the first axis."""
    zy, yy, gone_zy = (np.array([getattr(m, name) for m in made]) for name in ("zy", "yy", "gone_zy"))
    return Completed(made[0].zz, zy, yy, made[0].imputed, made[0].gone_zz, gone_zy)


# Of each row in which a visit is missing: the visits seen, the sums of w w' with w = (z, y seen), and a root of them.
Blocks = dict[int, tuple[NDArray[np.int64], Floats, Floats]]


def blocks_of(rows: Rows, visit: int) -> Blocks:
    """Return what completing `visit` needs of the rows whatever the parameters."""
    out: Blocks = {}
    for r in np.flatnonzero(~rows.observed[:, visit]):
        o = np.flatnonzero(rows.observed[r])
        inner = np.block([[rows.zz[r], rows.zy[r][:, o]], [rows.zy[r][:, o].T, rows.yy[r][np.ix_(o, o)]]])
        values, vectors = np.linalg.eigh(inner)
        good = values > 1e-10 * max(values[-1], 1e-300)
        out[int(r)] = (o, inner, vectors[:, good] * np.sqrt(values[good]))
    return out


def complete(
    rows: Rows,
    mean: Floats,
    sigma: Floats,
    visit: int,
    rng: np.random.Generator,
    *,
    rule: Rule = "missing_at_random",
    delta: float = 0.0,
    swap: Floats | None = None,
    blocks: Blocks | None = None,
) -> Completed:
    """Return the sums of visit `visit` with its missing values imputed once.

    Parameters
    ----------
    mean : (T, q)
        Mean of visit t given z is ``z @ mean[t]``.
    sigma : (T, T)
        Covariance between visits.
    rule
        For values after the last visit seen. Values missing between visits seen are missing at random under every rule.
        ``return_to_baseline``: change zero on average, with the marginal variance; ``jump_to_reference``: the mean of
        the reference from then on, given how the patient had been before; ``copy_reference``: the mean of the reference
        from the start, given how far from it the patient had been before.
    delta
        Added to every value after the last visit seen.
    swap : (q, q)
        Takes z to that of the same patient in the reference stratum; needed to jump to it or copy it.
    blocks
        From :func:`blocks_of`, where the same rows are completed many times.
    """
    seen = rows.observed[:, visit]
    blocks = blocks_of(rows, visit) if blocks is None else blocks
    zz = rows.zz.sum(axis=0)
    zy = rows.zy[seen, :, visit].sum(axis=0)
    yy = float(rows.yy[seen, visit, visit].sum())
    gone_zz, gone_zy = np.zeros_like(zz), np.zeros_like(zy)
    last = rows.last()
    for r in np.flatnonzero(~seen).tolist():
        o, inner, root = blocks[r]
        gone = bool(last[r] < visit)
        weight, spread = _regression(sigma, visit, o)
        g = mean[visit] - weight @ mean[o]
        if gone and rule == "return_to_baseline":
            g, weight, spread = np.zeros_like(g), np.zeros_like(weight), float(sigma[visit, visit])
        elif gone and rule in ("jump_to_reference", "copy_reference"):
            assert swap is not None, "the reference must be known"
            before = weight @ mean[o]
            g = swap @ mean[visit] - (before if rule == "jump_to_reference" else swap @ before)
        h = np.concatenate([g, weight])
        noise, square = _noise(root, float(rows.n[r]), spread, rng)
        own = inner[: len(g)] @ h + noise[: len(g)]
        zy = zy + own
        yy += float(h @ inner @ h + 2 * h @ noise) + square
        if gone:
            gone_zz, gone_zy = gone_zz + rows.zz[r], gone_zy + own
    made = Completed(zz, zy, np.asarray(yy), float(rows.n[~seen].sum()), gone_zz, gone_zy)
    return made.moved(delta * _intercept(len(zy))) if delta else made


def _intercept(q: int) -> Floats:
    out = np.zeros(q)
    out[0] = 1.0
    return out


def _regression(sigma: Floats, visit: int, o: NDArray[np.int64]) -> tuple[Floats, float]:
    """Return the slopes of a visit on those seen, and the variance that is left."""
    if not len(o):
        return np.zeros(0), float(sigma[visit, visit])
    weight = np.linalg.solve(sigma[np.ix_(o, o)], sigma[o, visit])
    return weight, float(sigma[visit, visit] - weight @ sigma[o, visit])


def _noise(root: Floats, n: float, variance: float, rng: np.random.Generator) -> tuple[Floats, float]:
    """Draw the sums of e with w, whose sums of w w' have `root`, and of e², for n patients."""
    u: Floats = np.asarray(rng.normal(size=root.shape[1]))
    noise = np.sqrt(variance) * (root @ u)
    left = max(n - len(u), 0.0)
    square = variance * (float(u @ u) + (float(rng.chisquare(left)) if left > 0 else 0.0))
    return np.asarray(noise), square


def least_squares(made: Completed, columns: NDArray[np.int64], contrasts: Floats) -> tuple[Floats, Floats]:
    """Return contrasts (c, k) of the regression of the completed visit on covariates `columns`, and their variances.

    Returns
    -------
    Two arrays (..., c), of one imputation or of those stacked.
    """
    gram, right = made.zz[np.ix_(columns, columns)], made.zy[..., columns]
    bread = np.linalg.inv(gram)
    beta = right @ bread
    n = float(made.zz[0, 0])
    variance = np.maximum(made.yy - np.sum(beta * right, axis=-1), 0.0) / (n - len(columns))
    return beta @ contrasts.T, variance[..., None] * np.einsum("ck,kl,cl->c", contrasts, bread, contrasts)


@dataclass(frozen=True, slots=True)
class Combined:
    """Estimates over imputations by Rubin's rules: each (c,)."""

    estimate: Floats
    error: Floats
    df: Floats
    missing_information: Floats

    def limits(self, confidence: float) -> tuple[Floats, Floats]:
        """Return the limits by the t distribution."""
        reach = t_quantile(0.5 + confidence / 2, self.df) * self.error
        return self.estimate - reach, self.estimate + reach


def combine(estimate: Floats, variance: Floats, df: float) -> Combined:
    """Combine M imputations of c numbers.

    Parameters
    ----------
    estimate, variance : (M, c)
    df
        Degrees of freedom had nothing been missing.

    Raises
    ------
    ValueError
        With fewer than two imputations.

    References
    ----------
    Rubin 1987, eq. 3.1.2 to 3.1.6; Barnard & Rubin 1999, eq. 3 to 5.
    """
    m = len(estimate)
    if m < 2:
        raise ValueError("One imputation says nothing of what was missing: two or more are needed, 100 are usual.")
    within, between = variance.mean(axis=0), estimate.var(axis=0, ddof=1)
    total = within + (1 + 1 / m) * between
    share = np.clip((1 + 1 / m) * between / np.maximum(total, 1e-300), 1e-12, 1 - 1e-12)
    old = (m - 1) / share**2
    observed = (df + 1) / (df + 3) * df * (1 - share)
    return Combined(estimate.mean(axis=0), np.sqrt(total), old * observed / (old + observed), share)
