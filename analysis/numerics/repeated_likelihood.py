"""Normal likelihood of repeated measures and its derivatives, from cross-products only.

With P = V^-1 - V^-1 X (X'V^-1X)^-1 X'V^-1 the formulas are those of restricted maximum likelihood; the cost depends
on the number of patterns, visits, and covariates, not on the number of patients.

References
----------
Harville DA (1977). Maximum likelihood approaches to variance component estimation. JASA, section 5.
Gilmour AR, Thompson R, Cullis BR (1995). Average information REML. Biometrics 51, equation 6.
Kenward MG, Roger JH (1997). Small sample inference for fixed effects from REML. Biometrics 53, section 2.
"""

from dataclasses import dataclass

import numpy as np

from analysis.numerics.covariance import FloatArray
from analysis.numerics.repeated_sums import PatternSums


@dataclass(frozen=True, slots=True)
class Profile:
    """The likelihood at given covariance matrices, with the coefficients at their best.

    Attributes
    ----------
    loglik : float
        Restricted or full log-likelihood, constants included.
    beta : (p,)
        Generalised least squares estimate.
    phi : (p, p)
        Inverse of X'V^-1X.
    weight : (P, T, T)
        V^-1 of each pattern, zero where not observed.
    zr : (P, q, T)
        Covariates times residuals.
    rr : (P, T, T)
        Cross-products of residuals.
    leverage : (P, T, T)
        Sum of X phi X' over patients for restricted likelihood, zero for full likelihood.
    reml : bool
        Restricted likelihood.
    """

    loglik: float
    beta: FloatArray
    phi: FloatArray
    weight: FloatArray
    zr: FloatArray
    rr: FloatArray
    leverage: FloatArray
    reml: bool


@dataclass(frozen=True, slots=True)
class Information:
    """Curvature of the likelihood in the m = G k covariance parameters.

    Attributes
    ----------
    observed : (m, m)
        Minus the Hessian.
    expected : (m, m)
        Its expectation (Fisher information).
    precision_slope : (m, p, p)
        X'V^-1 (dV) V^-1X for each parameter: minus the derivative of X'V^-1X.
    """

    observed: FloatArray
    expected: FloatArray
    precision_slope: FloatArray


def observed_cells(sums: PatternSums) -> FloatArray:
    """(P, T, T): 1 where both visits are observed."""
    return (sums.observed[:, :, None] & sums.observed[:, None, :]).astype(np.float64)


def observed_diagonal(sums: PatternSums) -> FloatArray:
    """(P, T, T): identity at observed visits, the weight of ordinary least squares."""
    return sums.observed[:, :, None] * np.eye(sums.n_visits)


def cross_product(weight: FloatArray, zz: FloatArray, maps: FloatArray) -> FloatArray:
    """Sum of X' weight X over patients, (p, p), from weight (P, T, T), zz (P, q, q), maps (T, q, p)."""
    patterns, t, _ = weight.shape
    q, p = maps.shape[1:]
    cells = weight.reshape(patterns, t * t).T @ zz.reshape(patterns, q * q)
    middle = cells.reshape(t, t, q, q).transpose(0, 2, 1, 3).reshape(t * q, t * q)
    stacked = maps.reshape(t * q, p)
    return np.asarray(stacked.T @ middle @ stacked)


def profile(sums: PatternSums, maps: FloatArray, sigma: FloatArray, reml: bool) -> Profile | None:
    """Evaluate the likelihood.

    Parameters
    ----------
    sums : PatternSums
    maps : (T, q, p)
    sigma : (G, T, T)
        Covariance matrix of each group.
    reml : bool

    Returns
    -------
    Profile, or None where a covariance or X'V^-1X is not positive definite.
    """
    cells = observed_cells(sums)
    # Ones on the diagonal of missing visits keep all patterns the same size and add nothing to log|V|.
    full = np.where(cells > 0, sigma[sums.group], np.eye(sums.n_visits))
    try:
        log_det = 2.0 * np.log(np.diagonal(np.linalg.cholesky(full), axis1=1, axis2=2)).sum(axis=1)
        weight = np.linalg.inv(full) * cells
        precision = cross_product(weight, sums.zz, maps)
        log_det_precision = 2.0 * float(np.log(np.diag(np.linalg.cholesky(precision))).sum())
        phi = np.linalg.inv(precision)
    except np.linalg.LinAlgError:
        return None
    phi = (phi + phi.T) / 2
    right = np.tensordot(weight, sums.zy, axes=([0, 2], [0, 2]))
    beta = np.linalg.solve(precision, np.einsum("tq,tqp->p", right, maps))
    zr, rr = residual_sums(sums, maps, beta)
    size, p = sums.n_observations, maps.shape[2]
    twice = float(sums.n @ log_det - sums.log_weight.sum() + np.sum(weight * rr)) + size * np.log(2 * np.pi)
    if reml:
        twice += log_det_precision - p * np.log(2 * np.pi)
    leverage = _leverage(sums, maps, phi) * cells if reml else np.zeros_like(weight)
    return Profile(loglik=-0.5 * twice, beta=beta, phi=phi, weight=weight, zr=zr, rr=rr, leverage=leverage, reml=reml)


def residual_sums(sums: PatternSums, maps: FloatArray, beta: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Sums of z r' (P, q, T) and r r' (P, T, T) with residuals r = y - X beta, zero where not observed."""
    effect = np.einsum("tqp,p->qt", maps, beta)
    mask = sums.observed[:, None, :]
    fitted = (sums.zz @ effect) * mask
    zr = sums.zy - fitted
    cross = np.swapaxes(sums.zy, 1, 2) @ effect * mask
    rr = sums.yy - cross - np.swapaxes(cross, 1, 2) + (effect.T @ fitted) * observed_cells(sums)
    return zr, (rr + np.swapaxes(rr, 1, 2)) / 2


def _leverage(sums: PatternSums, maps: FloatArray, phi: FloatArray) -> FloatArray:
    """Sum of X phi X' over the patients of each pattern, (P, T, T)."""
    t, q, p = maps.shape
    stacked = maps.reshape(t * q, p)
    middle = (stacked @ phi @ stacked.T).reshape(t, q, t, q).transpose(1, 3, 0, 2).reshape(q * q, t * t)
    return np.asarray((sums.zz.reshape(len(sums.n), q * q) @ middle).reshape(-1, t, t))


def score(sums: PatternSums, at: Profile, slope: FloatArray) -> FloatArray:
    """Gradient of the log-likelihood, (m,), from the derivatives of Sigma, slope (G, k, T, T)."""
    gap = _gap(sums, at)
    parts = [np.tensordot(slope[g], gap[sums.group == g].sum(axis=0), axes=2) for g in range(len(slope))]
    return -0.5 * np.concatenate(parts)


def _gap(sums: PatternSums, at: Profile) -> FloatArray:
    """V^-1 (n V - residual products - leverage) V^-1, whose sum is zero at an unstructured optimum: (P, T, T)."""
    return sums.n[:, None, None] * at.weight - at.weight @ (at.rr + at.leverage) @ at.weight


def _pair_sums(left: FloatArray, right: FloatArray, slope: FloatArray) -> FloatArray:
    """Sum over patterns of tr(slope_h left slope_j right), (k, k), from (P, T, T) and slope (k, T, T)."""
    t = left.shape[1]
    cells = (right.reshape(-1, t * t).T @ left.reshape(-1, t * t)).reshape(t, t, t, t)
    flat = slope.reshape(len(slope), t * t)
    return np.asarray(flat @ cells.transpose(1, 2, 3, 0).reshape(t * t, t * t) @ flat.T)


def _blocks(sums: PatternSums, left: FloatArray, right: FloatArray, slope: FloatArray) -> FloatArray:
    """`_pair_sums` of each group on the diagonal of an (m, m) matrix."""
    groups, k = slope.shape[:2]
    total = np.zeros((groups * k, groups * k))
    for g in range(groups):
        mine = sums.group == g
        total[g * k : (g + 1) * k, g * k : (g + 1) * k] = _pair_sums(left[mine], right[mine], slope[g])
    return total


def _residual_slopes(sums: PatternSums, maps: FloatArray, at: Profile, slope: FloatArray) -> FloatArray:
    """X'V^-1 (dV) V^-1 r for each parameter, (m, p)."""
    t, q, p = maps.shape
    weighted = at.weight @ np.swapaxes(at.zr, 1, 2)
    rows = []
    for g in range(len(slope)):
        mine = sums.group == g
        cells = at.weight[mine].reshape(-1, t * t).T @ weighted[mine].reshape(-1, t * q)
        by_cell = cells.reshape(t, t, t, q).transpose(1, 2, 0, 3).reshape(t * t, t * q)
        rows.append(slope[g].reshape(-1, t * t) @ by_cell @ maps.reshape(t * q, p))
    return np.concatenate(rows)


def average_information(sums: PatternSums, maps: FloatArray, at: Profile, slope: FloatArray) -> FloatArray:
    """Half of y'P dV P dV P y, (m, m): the mean of observed and expected information when Sigma is linear.

    Gilmour, Thompson & Cullis (1995), equation 6: it needs no trace, so it is the cheap matrix of the iterations.
    """
    sandwich = at.weight @ at.rr @ at.weight
    b = _residual_slopes(sums, maps, at, slope)
    return 0.5 * (_blocks(sums, at.weight, sandwich, slope) - b @ at.phi @ b.T)


def information(sums: PatternSums, maps: FloatArray, at: Profile, slope: FloatArray, bend: FloatArray) -> Information:
    """Exact observed and expected information.

    Parameters
    ----------
    sums, maps, at
        As for `profile`.
    slope : (G, k, T, T)
    bend : (G, k, k, T, T)
        First and second derivatives of Sigma.
    """
    w, n = at.weight, sums.n[:, None, None]
    spread, lever = w @ at.rr @ w, w @ at.leverage @ w
    b = _residual_slopes(sums, maps, at, slope)
    p_h = precision_slopes(sums, maps, at, slope)
    traces = _precision_traces(at.phi, p_h) if at.reml else np.zeros((len(p_h), len(p_h)))
    expected = _blocks(sums, w, n * w - 2 * lever, slope) + traces
    observed = _blocks(sums, w, 2 * spread + 2 * lever - n * w, slope) - traces - 2 * b @ at.phi @ b.T
    gap, k = _gap(sums, at), slope.shape[1]
    for g in range(len(slope)):
        mine = slice(g * k, (g + 1) * k)
        observed[mine, mine] += np.tensordot(bend[g], gap[sums.group == g].sum(axis=0), axes=2)
    return Information(observed=(observed + observed.T) / 4, expected=(expected + expected.T) / 4, precision_slope=p_h)


def precision_slopes(sums: PatternSums, maps: FloatArray, at: Profile, slope: FloatArray) -> FloatArray:
    """X'V^-1 (dV) V^-1X for each parameter, (m, p, p)."""
    found: list[FloatArray] = []
    for g in range(len(slope)):
        mine = sums.group == g
        w, zz = at.weight[mine], sums.zz[mine]
        found.extend(cross_product(w @ one @ w, zz, maps) for one in slope[g])
    return np.stack(found)


def _precision_traces(phi: FloatArray, p_h: FloatArray) -> FloatArray:
    """tr(phi P_h phi P_j), (m, m)."""
    flat = (phi @ p_h).reshape(len(p_h), -1)
    turned = np.swapaxes(phi @ p_h, 1, 2).reshape(len(p_h), -1)
    return np.asarray(flat @ turned.T)
