"""From the SQL cross-products of a cohort to the sums of the repeated-measures model, and its design."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.cohort import Stratum
from analysis.numerics.repeated_design import INTERCEPT, VisitDesign, dependent_columns, design_from_columns
from analysis.numerics.repeated_likelihood import cross_product, observed_diagonal
from analysis.numerics.repeated_search import DEGENERATE
from analysis.numerics.repeated_sums import PatternSums
from registry.errors import NotEstimable

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


# What may be adjusted for beside the baseline, by the column of ``reduction.trajectory_course``; stages are several.
COLUMNS = {"age": "age", "sex": "female", "bmi": "bmi"}
_STAGE = "stage "


@dataclass(frozen=True)
class Visit:
    """A planned visit: its name, its position in the programme and the day it is meant for."""

    name: str
    position: int
    day: float


@dataclass(frozen=True)
class Sums:
    """Cross-products of a cohort with P rows (stratum and pattern of visits), S strata, T visits, q covariates.

    Attributes
    ----------
    sums
        One row a stratum and pattern; covariates are the intercept, an indicator a stratum, then `covariates`.
    stratum : (P,)
        Stratum of each row, as an index into `strata`.
    strata
        Codes of the S strata that have courses.
    visits
        The T visits that can be analysed.
    covariates
        Names of the covariates beside intercept and strata, ``baseline`` first.
    n_courses : (S,)
        Courses with a baseline and every covariate, seen later or not.
    means : (S, q)
        Means of `covariates` over them.
    unseen_n : (U,), unseen_zz : (U, 1 + S + q, 1 + S + q)
        Courses that were seen at none of the visits, by stratum: they say nothing to the model, and are missing.
    returned : (P,), unseen_returned : (U,)
        Whether the courses of a row were seen after the last of `visits`: they had not gone.
    """

    sums: PatternSums
    stratum: NDArray[np.int64]
    strata: tuple[str, ...]
    visits: tuple[Visit, ...]
    covariates: tuple[str, ...]
    n_courses: Floats
    means: Floats
    unseen_n: Floats
    unseen_zz: Floats
    returned: Bools
    unseen_returned: Bools

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the covariates of `sums`, in order."""
        return (INTERCEPT, *(f"stratum={s}" for s in self.strata), *self.covariates)

    @property
    def seen(self) -> Floats:
        """Courses seen by stratum and visit, (S, T)."""
        return self.by_stratum(np.ones(len(self.stratum), dtype=bool))

    def by_stratum(self, rows: Bools) -> Floats:
        """Courses seen by stratum and visit, (S, T), over the rows (P,) chosen."""
        each = (self.sums.n * rows)[:, None] * self.sums.observed
        return np.stack([each[self.stratum == s].sum(axis=0) for s in range(len(self.strata))])

    def profiles(self, means: Floats) -> Floats:
        """Covariates of each stratum at `means` (S, q) or (q,), in the order of `labels`: (S, 1 + S + q)."""
        s = len(self.strata)
        spread = np.broadcast_to(means, (s, len(self.covariates)))
        return np.concatenate([np.ones((s, 1)), np.eye(s), spread], axis=1)

    def complete_change(self, complete: pl.DataFrame | None) -> tuple[Floats, Floats, Floats]:
        """The same of complete cases: from :func:`complete_of`, or of all `visits` where each was due for everybody."""
        if complete is None:
            return self.raw_change(np.asarray(self.sums.observed.all(axis=1)))
        n, total, square = np.zeros((3, len(self.strata), len(self.visits)))
        place = {v.position: t for t, v in enumerate(self.visits)}
        for code, position, *values in complete.select("stratum", "position", "n", "total", "square").iter_rows():
            if code in self.strata and position in place:
                at = self.strata.index(code), place[position]
                n[at], total[at], square[at] = map(float, values)
        mean = total / np.where(n > 0, n, np.nan)
        return n, mean, np.sqrt(np.maximum(square - n * mean**2, 0) / np.where(n > 1, n - 1, np.nan))

    def raw_change(self, rows: Bools) -> tuple[Floats, Floats, Floats]:
        """Number, mean and standard deviation of the observed change by stratum and visit, each (S, T)."""
        n = self.by_stratum(rows)
        mean, square = np.full_like(n, np.nan), np.full_like(n, np.nan)
        for s in range(len(self.strata)):
            mine = rows & (self.stratum == s)
            safe = np.where(n[s] > 0, n[s], np.nan)
            mean[s] = self.sums.zy[mine, 0].sum(axis=0) / safe
            square[s] = np.diagonal(self.sums.yy[mine].sum(axis=0)) - safe * mean[s] ** 2
        sd = np.sqrt(np.maximum(square, 0) / np.where(n > 1, n - 1, np.nan))
        return n, mean, sd


def complete_of(patterns: pl.DataFrame) -> pl.DataFrame:
    """Return the changes of those who were seen at every visit that was due: ``stratum, position, n, total, square``.

    Parameters
    ----------
    patterns
        ``reduction.trajectory_pattern``.
    """
    seen = patterns.filter(pl.col("visits_due") == pl.col("visits_seen"), pl.col("position") > 0)
    return seen.group_by("stratum", "position").agg(pl.col("n", "total", "square").sum()).sort("stratum", "position")


def covariates_of(products: pl.DataFrame, adjust: Sequence[str]) -> tuple[str, ...]:
    """Return the covariates that `adjust` asks for: of stages an indicator each, but for the first."""
    stages = sorted(v for v in products["left_variable"].unique() if v.startswith(_STAGE)) if "stage" in adjust else []
    return (*(COLUMNS[a] for a in adjust if a != "stage"), *stages[1:])


def by_visit(covariate: str) -> bool:
    """Say whether a covariate has a coefficient at each visit: who is worse off may gain more, and lose it sooner."""
    return covariate.startswith(_STAGE)


def sums_of(products: pl.DataFrame, strata: list[str], visits: list[Visit], adjust: tuple[str, ...]) -> Sums:
    """Assemble the rows of ``reduction.trajectory_product``; values at visits not among `visits` are left out.

    Parameters
    ----------
    products
        ``stratum, pattern, left_variable, right_variable, n, total``.
    strata
        Codes in order; those without courses are left out.
    visits
        Those to analyse.
    adjust
        Covariates beside the baseline, from :func:`covariates_of`.
    """
    covariates = ("baseline", *adjust)
    present = [s for s in strata if (products["stratum"] == s).any()]
    names = [INTERCEPT, *covariates, *(f"visit {v.position}" for v in visits)]
    keys = products.select("stratum", "pattern").unique().sort("stratum", "pattern")
    cube = _cube(products, keys, names)
    q, s = len(covariates) + 1, len(present)
    stratum = np.array([present.index(code) for code in keys["stratum"]], dtype=np.int64)
    # Lifting (intercept, covariates) to (intercept, strata, covariates): an indicator is the intercept of its stratum.
    lift = np.zeros((len(keys), 1 + s + q - 1, q))
    lift[:, 0, 0] = 1.0
    lift[np.arange(len(keys)), 1 + stratum, 0] = 1.0
    lift[:, np.arange(q - 1) + 1 + s, np.arange(q - 1) + 1] = 1.0
    attended = [{int(position) for position in pattern.split(",") if position} for pattern in keys["pattern"]]
    observed = np.array([[v.position in a for v in visits] for a in attended], dtype=bool)
    returned = np.array([max(a, default=0) > visits[-1].position for a in attended], dtype=bool)
    observed = observed.reshape(len(keys), len(visits))
    zz, n = lift @ cube[:, :q, :q] @ np.swapaxes(lift, 1, 2), cube[:, 0, 0]
    seen = observed.any(axis=1)
    totals = np.stack([cube[stratum == i, 0, :q].sum(axis=0) for i in range(s)])
    return Sums(
        sums=PatternSums(
            observed=observed[seen],
            group=np.zeros(int(seen.sum()), dtype=np.int64),
            groups=("all",),
            n=n[seen],
            zz=zz[seen],
            zy=(lift @ cube[:, :q, q:])[seen] * observed[seen][:, None, :],
            yy=cube[seen, q:, q:] * (observed[seen][:, :, None] & observed[seen][:, None, :]),
            log_weight=np.zeros(int(seen.sum())),
            n_unobserved=int(n[~seen].sum()),
        ),
        stratum=stratum[seen],
        strata=tuple(present),
        visits=tuple(visits),
        covariates=covariates,
        n_courses=totals[:, 0],
        means=totals[:, 1:] / totals[:, :1],
        unseen_n=n[~seen],
        unseen_zz=zz[~seen],
        returned=returned[seen],
        unseen_returned=returned[~seen],
    )


def _cube(products: pl.DataFrame, keys: pl.DataFrame, names: list[str]) -> Floats:
    """Symmetric matrices of products, (rows of `keys`, variables, variables)."""
    numbered = keys.with_row_index("row")
    code = {name: i for i, name in enumerate(names)}
    used = products.filter(pl.col("left_variable").is_in(names), pl.col("right_variable").is_in(names))
    placed = used.join(numbered, on=["stratum", "pattern"])
    row = placed["row"].to_numpy()
    left, right = (placed[c].replace_strict(code, return_dtype=pl.Int64).to_numpy() for c in _SIDES)
    total = placed["total"].cast(pl.Float64).to_numpy()
    cube = np.zeros((len(keys), len(names), len(names)))
    cube[row, left, right] = total
    cube[row, right, left] = total
    return cube


_SIDES = ("left_variable", "right_variable")


def enough_visits(
    products: pl.DataFrame, strata: list[Stratum], visits: list[Visit], adjust: tuple[str, ...], label: str
) -> tuple[Sums, list[str]]:
    """Return the sums over visits that can be analysed, and what is to be said about the others.

    A visit needs twice as many courses as it has coefficients (one a stratum, the slope of the baseline, and stages),
    and changes that vary beside these: the model has nothing to measure a difference against where they do not.
    """
    if products.height == 0:
        raise NotEstimable(f"No course has a baseline of {label} and the covariates asked for.")
    codes = [s.code for s in strata]
    full = sums_of(products, codes, visits, adjust)
    total, needed = full.seen.sum(axis=0), 2 * ((full.seen > 0).sum(axis=0) + 1 + sum(map(by_visit, adjust)))
    varies = _varies(full)
    said = [
        f"{v.name}: {'nobody was seen' if n == 0 else f'only {n:.0f} courses were seen'}; the visit is left out."
        if n < least
        else f"{v.name}: changes do not vary beside stratum and baseline; the visit is left out."
        for v, n, least, some in zip(visits, total, needed, varies, strict=True)
        if n < least or not some
    ]
    enough = [v for v, n, least, some in zip(visits, total, needed, varies, strict=True) if n >= least and some]
    if not enough and (total >= needed).any():
        raise NotEstimable(
            f"Changes in {label} do not vary at any planned visit with enough courses, beside what stratum and "
            "baseline determine: there is no error to measure a mean against."
        )
    if not enough:
        raise NotEstimable(
            f"No planned visit has enough courses with {label} for a mean change by stratum: "
            f"at most {total.max():.0f} were seen, {needed.max():.0f} are needed."
        )
    return sums_of(products, codes, enough, adjust), said


def _varies(data: Sums) -> Bools:
    """Return at which visits (T,) something of the changes is left that strata and covariates do not determine."""
    left = []
    for t in range(len(data.visits)):
        seen = data.sums.observed[:, t]
        gram, right = data.sums.zz[seen].sum(axis=0), data.sums.zy[seen, :, t].sum(axis=0)
        whole = float(data.sums.yy[seen, t, t].sum())
        beta = np.linalg.lstsq(gram, right, rcond=None)[0]
        left.append(whole - float(beta @ right) > DEGENERATE * whole)
    return np.array(left, dtype=bool)


def design_of(data: Sums) -> tuple[VisitDesign, list[str]]:
    """Return the design and the names of covariates that had to be left out.

    One coefficient a stratum and visit, for those that anybody attended; baseline × visit, stage × visit; one of each
    other covariate. A covariate that the others determine (everybody is female, say) is left out.
    """
    eye = np.eye(len(data.visits))
    seen = data.seen
    columns: dict[str, tuple[str, Floats]] = {}
    for s, code in enumerate(data.strata):
        for t, visit in enumerate(data.visits):
            if seen[s, t] > 0:
                columns[cell(code, visit.name)] = (f"stratum={code}", eye[t])
    for t, visit in enumerate(data.visits):
        columns[f"baseline:{visit.name}"] = ("baseline", eye[t])
    for name in data.covariates[1:]:
        each = {f"{name}:{v.name}": eye[t] for t, v in enumerate(data.visits)} if by_visit(name) else {}
        columns |= {label: (name, at) for label, at in (each or {name: np.ones(len(data.visits))}).items()}
    names = [v.name for v in data.visits]
    full = design_from_columns(data.labels, names, columns)
    gram = cross_product(observed_diagonal(data.sums), data.sums.zz, full.maps)
    dropped = dependent_columns(gram, full.columns)
    if not dropped:
        return full, []
    return design_from_columns(data.labels, names, {k: v for k, v in columns.items() if k not in dropped}), dropped


def returned_of(values: pl.DataFrame, courses: pl.DataFrame, data: Sums) -> Bools:
    """Return which courses were seen after the last visit of `data`, in the order of :func:`rows_of`; shape (n,)."""
    later = values.filter(pl.col("position") > data.visits[-1].position)["course_id"]
    return np.asarray(courses.sort("course_id")["course_id"].is_in(later.implode()).to_numpy())


def cell(stratum: str, visit: str) -> str:
    """Return the label of the coefficient of a stratum at a visit."""
    return f"{stratum} at {visit}"


def rows_of(values: pl.DataFrame, courses: pl.DataFrame, data: Sums) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Return covariates z, outcomes y and patient number of the courses, for the variance clustered by patient.

    Parameters
    ----------
    values, courses
        ``reduction.trajectory_value`` and the rows of ``reduction.trajectory_course`` that can be analysed.
    data
        From :func:`sums_of`.

    Returns
    -------
    z : (n, 1 + S + q), y : (n, T) with NaN where not seen, patient : (n,)
    """
    order = courses.sort("course_id").with_row_index("row")
    y = np.full((order.height, len(data.visits)), np.nan)
    column = {v.position: t for t, v in enumerate(data.visits)}
    placed = values.filter(pl.col("position").is_in(list(column))).join(
        order.select("course_id", "row"), on="course_id"
    )
    at = placed["position"].replace_strict(column, return_dtype=pl.Int64).to_numpy()
    y[placed["row"].to_numpy(), at] = placed["change"].cast(pl.Float64).to_numpy()
    stratum = [(order["stratum"] == code).to_numpy().astype(float) for code in data.strata]
    staged = {c: (pl.col("stage") == c.removeprefix(_STAGE)).fill_null(False) for c in data.covariates if by_visit(c)}
    order = order.with_columns(**staged)
    others = [order[c].cast(pl.Float64).to_numpy() for c in data.covariates]
    z = np.column_stack([np.ones(order.height), *stratum, *others])
    patient = order["patient_id"].rank("dense").to_numpy().astype(np.int64) - 1
    return z, y, patient
