"""Design maps: how covariates of a patient become the model matrix of each visit.

Column k of the model matrix is ``function_k(visit) * z[covariate_k]``: a constant function gives an effect that is
the same at all visits, an indicator an effect of one visit, times of the visits a slope.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from analysis.numerics.covariance import FloatArray

INTERCEPT = "intercept"


@dataclass(frozen=True, slots=True)
class VisitDesign:
    """Linear maps from covariates z (q,) to rows of the model matrix (p,).

    Attributes
    ----------
    maps : (T, q, p)
        The row of a patient at visit t is ``z @ maps[t]``.
    visits : tuple of str
        T labels.
    covariates : tuple of str
        q labels, in the order of z.
    columns : tuple of str
        p labels of the coefficients.
    """

    maps: FloatArray
    visits: tuple[str, ...]
    covariates: tuple[str, ...]
    columns: tuple[str, ...]


def visit_design(
    covariates: Sequence[str],
    visits: Sequence[str],
    by_visit: Sequence[str],
    constant: Sequence[str] = (),
    coding: Literal["reference", "cell"] = "reference",
) -> VisitDesign:
    """Design of the usual model: visit, covariates with an effect at each visit, covariates with one effect.

    Parameters
    ----------
    covariates : q labels in the order of z
        ``"intercept"`` names the column of ones.
    visits : T labels
    by_visit : labels
        Covariates with their own effect at each visit; ``"intercept"`` here gives the visit factor.
    constant : labels
        Covariates with the same effect at all visits.
    coding : {"reference", "cell"}
        Reference: the effect at the first visit (``arm``), then differences to it (``arm:visit=3``), as R does.
        Cell: the effect at each visit (``arm:visit=1``, ...). The fit is the same.

    Raises
    ------
    ValueError
        If a label is unknown, repeated, or in both lists.
    """
    _check_known([*by_visit, *constant], covariates)
    if any(len(set(names)) < len(names) for names in ([*by_visit, *constant], covariates, visits)):
        raise ValueError("A covariate or visit is named twice.")
    eye = np.eye(len(visits))
    columns: dict[str, tuple[str, ArrayLike]] = {}
    for name in covariates:
        if name in constant or (name in by_visit and coding == "reference"):
            columns[name] = (name, np.ones(len(visits)))
    for name in [c for c in covariates if c in by_visit]:
        for t in range(1 if coding == "reference" else 0, len(visits)):
            label = f"visit={visits[t]}" if name == INTERCEPT else f"{name}:visit={visits[t]}"
            columns[label] = (name, eye[t])
    return design_from_columns(covariates, visits, columns)


def design_from_columns(
    covariates: Sequence[str], visits: Sequence[str], columns: Mapping[str, tuple[str, ArrayLike]]
) -> VisitDesign:
    """Design from any functions of the visit.

    Parameters
    ----------
    covariates : q labels in the order of z
    visits : T labels
    columns : coefficient label to (covariate, function)
        The function is given by its T values; visit times, for instance, make a linear trend.

    Raises
    ------
    ValueError
        If a covariate is unknown, a function does not have T finite values, or there is no column.
    """
    _check_known([name for name, _ in columns.values()], covariates)
    if not columns:
        raise ValueError("A design needs at least one column.")
    maps = np.zeros((len(visits), len(covariates), len(columns)))
    for k, (label, (name, function)) in enumerate(columns.items()):
        values = np.asarray(function, dtype=np.float64)
        if values.shape != (len(visits),) or not np.isfinite(values).all():
            raise ValueError(f"Column {label!r} needs one finite value per visit ({len(visits)}).")
        maps[:, list(covariates).index(name), k] = values
    return VisitDesign(maps=maps, visits=tuple(visits), covariates=tuple(covariates), columns=tuple(columns))


def _check_known(names: Sequence[str], covariates: Sequence[str]) -> None:
    unknown = sorted(set(names) - set(covariates))
    if unknown:
        raise ValueError(f"Unknown covariates {', '.join(unknown)}; z has: {', '.join(covariates)}.")


def dependent_columns(gram: FloatArray, columns: Sequence[str]) -> list[str]:
    """Columns that are combinations of the columns before them.

    Parameters
    ----------
    gram : (p, p)
        X'X.
    columns : p labels

    Returns
    -------
    list of str
        Columns of which the earlier ones leave less than 1e-10 of the sum of squares: the cross-products
        hold 16 digits, so that less cannot be told from rounding.
    """
    length = np.sqrt(np.diag(gram))
    unit = gram / np.outer(np.where(length > 0, length, 1.0), np.where(length > 0, length, 1.0))
    kept: list[int] = []
    dependent: list[str] = []
    for k, label in enumerate(columns):
        left = unit[k, k]
        if kept and left > 0:
            left -= unit[k, kept] @ np.linalg.solve(unit[np.ix_(kept, kept)], unit[kept, k])
        if left > 1e-10:
            kept.append(k)
        else:
            dependent.append(label)
    return dependent
