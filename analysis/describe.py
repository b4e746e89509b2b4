"""Who was treated: the characteristics of courses at their first session by stratum, and how far the strata differ."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.cohort import By, Stratum, check_left, common_settings, place_courses, programmes_of, reduce
from analysis.description import Description
from analysis.flow_figures import attrition
from analysis.result import check, diagnostics_of, frame_of, row
from analysis.weighted_description import group_rows, number_moments, place_weights
from registry import Courses

Floats = NDArray[np.float64]

MISSING = "(missing)"
_ALL = "all"
# Order, label and unit of the rows; what the programme does not measure is left out.
_NUMBERS = {
    "age_year": ("Age", "years"),
    "bmi": ("Body-mass index", "kg/m²"),
    "symptom_months": ("Duration of symptoms", "months"),
    "baseline_pain": ("Baseline pain", "0 best to 100 worst"),
    "baseline_function": ("Baseline function", "0 best to 100 worst"),
    "baseline_global": ("Baseline global assessment", "0 best to 100 worst"),
    "baseline_qol": ("Baseline quality of life", "0 best to 100 worst"),
    "dose_viable_million": ("Dose of the first session", "million viable cells"),
    "series_dose_million": ("Dose of the planned series", "million viable cells"),
}
_LEVELS = {
    "sex": "Sex",
    "diagnosis": "Diagnosis",
    "site": "Anatomical site",
    "origin": "Cell source",
    "donor": "Donor",
    "product": "Product",
    "separation": "Separation of cells",
    "expanded": "Expansion in culture",
    "route": "Route",
    "guidance": "Guidance",
    "planned_sessions": "Planned sessions",
}
_ORDER = (
    "age_year", "sex", "bmi", "diagnosis", "site", "symptom_months", "baseline_pain", "baseline_function",
    "baseline_global", "baseline_qol", "origin", "donor", "product", "separation", "expanded",
    "dose_viable_million", "series_dose_million", "route", "guidance", "planned_sessions",
)  # fmt: skip
_STATISTICS = ("mean", "sd", "median", "lower quartile", "upper quartile")


def describe(courses: Courses, *, by: By = "stage", weights: pl.DataFrame | None = None) -> Description:
    """Describe the courses at their first session by stratum, with standardised mean differences ("Table 1").

    Every number is an aggregate made in SQL. A share is of the courses for which the characteristic is known; what is
    not known has its own row, as a share of all. With `weights` the table stands before and after weighting.

    Parameters
    ----------
    courses
        From :meth:`registry.Registry.courses`.
    by
        What separates the strata; ``stage`` is the severity at baseline.
    weights
        A frame ``course_id, weight``: how many courses like itself each stands for, e.g. from another program. With a
        column ``group`` the groups are compared instead of the strata of `by`, and a course may be in several, or
        several times in one if a further column tells its rows apart: :func:`analysis.seen_weights`,
        :func:`analysis.booster_weights`. Further columns of numbers are described as well.

    Returns
    -------
    Description
        Quantities such as ``age_year: mean`` (also ``sd``, ``median``, ``lower quartile``, ``upper quartile``) with the
        known courses as denominator, ``sex = female: share``, ``age_year: missing``, ``courses``; by stratum and for
        ``all``. ``age_year: smd`` is the largest standardised difference between two strata: of means over the root of
        the mean variance, of categories in the multinomial form. With `weights` also ``age_year: weighted mean``,
        ``sex = female: weighted share``, ``age_year: weighted smd`` and so on, ``sum_of_weights`` and
        ``effective_sample_size``, and no quartiles; `n` and `denominator` count rows, never weights. ``.table()``
        prints it, ``.plot()`` draws who was selected and who left.

    Raises
    ------
    NotEstimable
        When no course is selected.
    UsageError
        When a weight is missing, negative or not finite, a row is of no course selected or of a group there twice, or
        there is none.

    References
    ----------
    Austin 2009 Stat Med 28:3083; Austin & Stuart 2015 Stat Med 34:3661 (weighted); Yang & Dalton 2012, SAS Global Forum
    paper 335; Hyndman & Fan 1996 (type 7 quartiles).

    Examples
    --------
    >>> describe(knees).table().columns
    ['characteristic', 'level', ..., 'Early', 'Moderate', 'Bone-on-bone', 'All', 'smd']
    >>> describe(knees, weights=seen_weights(knees, visit="6 months")).table().columns[2:]
    ['Everybody due', 'Seen', 'Seen, weighted', 'smd', 'smd, weighted']
    """
    if weights is not None:
        return _weighted(courses, by, weights)
    strata, kept = place_courses(courses, by)
    check_left(kept)
    numbers, levels = reduce(kept, "reduction.profile_number", "reduction.profile_level")
    variables = _variables(kept, levels)
    overall = [] if [s.code for s in strata] == [_ALL] else [{"code": _ALL, "label": "All"}]
    rows = []
    for code in [*(s.code for s in strata), *(s["code"] for s in overall)]:
        rows += _stratum_rows(code, numbers, levels, variables, total=bool(overall) and code == _ALL)
    smds = [_smd(v, strata, numbers, levels) for v in variables]
    return Description(
        question="describe",
        title=f"Characteristics of the courses by {by}",
        frame=frame_of(rows + smds),
        settings={**common_settings(kept, strata, "describe", by), "overall": overall, "variables": variables},
        attrition=kept.flow(),
        diagnostics=_diagnostics(rows),
        notes=(
            "Shares are of courses for which the characteristic is known.",
            "Standardised differences are the largest between any two strata; they describe, and test nothing.",
        ),
        draw=attrition,
    )


def _weighted(courses: Courses, by: By, weights: pl.DataFrame) -> Description:
    """Describe groups before and after weighting."""
    made = place_weights(courses, by, weights)
    variables = [
        *_variables(made.kept, made.levels),
        *({"variable": name, "label": name[:1].upper() + name[1:], "unit": "", "levels": None} for name in made.added),
    ]
    rows = [r for s in made.groups for r in group_rows(s.code, made, variables)]
    smds = [_smd(v, made.groups, made.numbers, made.levels, p) for p in ("", "weighted ") for v in variables]
    by_groups = "group" in weights.columns
    of = f"by group ({', '.join(s.code for s in made.groups)})" if by_groups else f"of the courses by {by}"
    return Description(
        question="describe",
        title=f"Characteristics {of}, before and after weighting",
        frame=frame_of(rows + smds),
        settings={
            **common_settings(made.kept, made.groups, "describe", "group" if by_groups else by),
            "overall": [],
            "variables": variables,
            "weighted": made.varying,
            "nested": [list(pair) for pair in made.nested],
        },
        attrition=made.kept.flow(),
        diagnostics=_diagnostics([r for r in rows if "weighted" not in r["quantity"]]),
        notes=(
            "Counts are of rows, never of weights; shares are of those for which the characteristic is known.",
            "Standardised differences are the largest between any two groups, before and after weighting, each over "
            "its own variances; they describe, and test nothing.",
        ),
        draw=attrition,
    )


def _variables(courses: Courses, levels: pl.DataFrame) -> list[dict[str, Any]]:
    """Return what is described, in order, with labels and levels; domains that the programmes offer, levels met."""
    con = courses.registry.con
    offered = con.execute(
        "select distinct domain from catalogue.programme_scale where list_contains(?, programme)",
        [programmes_of(courses)],
    ).fetchall()
    domains = {f"baseline_{d}" for (d,) in offered}
    codes = con.sql("select vocabulary, code, min(position) as position from catalogue.vocabulary group by all").pl()
    out: list[dict[str, Any]] = []
    for name in _ORDER:
        if name in _NUMBERS and (not name.startswith("baseline_") or name in domains):
            label, unit = _NUMBERS[name]
            out.append({"variable": name, "label": label, "unit": unit, "levels": None})
        elif name in _LEVELS:
            order = dict(codes.filter(vocabulary=name).select("code", "position").iter_rows())
            met = levels.filter(pl.col("variable") == name, pl.col("level") != MISSING)["level"].unique().to_list()
            met.sort(key=lambda level: (order.get(level, 1_000), level))
            out.append({"variable": name, "label": _LEVELS[name], "unit": None, "levels": met})
    return out


def _stratum_rows(
    code: str, numbers: pl.DataFrame, levels: pl.DataFrame, variables: list[dict[str, Any]], total: bool
) -> list[dict[str, Any]]:
    mine = numbers.filter(pl.col("stratum") == ("" if total else code))
    if mine.height == 0:
        return [row(code, "courses", denominator=0, note="nobody in this stratum")]
    of = int(mine["n"][0])
    held = levels if total else levels.filter(pl.col("stratum") == code)
    rows = [row(code, "courses", estimate=float(of), denominator=of)]
    for variable in variables:
        name = variable["variable"]
        if variable["levels"] is None:
            rows += _number_rows(code, name, mine.filter(variable=name).row(0, named=True))
            continue
        count = dict(held.filter(variable=name).group_by("level").agg(pl.col("n").sum()).iter_rows())
        known = of - int(count.get(MISSING, 0))
        for level in variable["levels"]:
            n = int(count.get(level, 0))
            share = n / known if known else None
            rows.append(row(code, f"{name} = {level}: share", estimate=share, n=n, denominator=known))
        rows.append(_missing(code, name, of - known, of))
    return rows


def _missing(code: str, name: str, n: int, of: int) -> dict[str, Any]:
    return row(code, f"{name}: missing", estimate=n / of, n=n, denominator=of)


def _number_rows(code: str, name: str, sums: dict[str, Any]) -> list[dict[str, Any]]:
    n, known = int(sums["n"]), int(sums["n_known"])
    if known == 0:
        return [row(code, f"{name}: mean", denominator=0, note="never recorded"), _missing(code, name, n, n)]
    mean, sd = number_moments(sums, "")
    quartiles = [_quantile(sums, k, known) for k in (2, 1, 3)]
    rows = [
        row(code, f"{name}: {statistic}", estimate=value, denominator=known)
        for statistic, value in zip(_STATISTICS, [mean, sd, *quartiles], strict=True)
        if value is not None
    ]
    return [*rows, _missing(code, name, n - known, n)]


def _quantile(sums: dict[str, Any], k: int, known: int) -> float:
    below, above = float(sums[f"q{k}_below"]), float(sums[f"q{k}_above"])
    place = k / 4 * (known - 1)
    return below + (place - int(place)) * (above - below)


def _smd(
    variable: dict[str, Any], strata: list[Stratum], numbers: pl.DataFrame, levels: pl.DataFrame, prefix: str = ""
) -> dict[str, Any]:
    """Return the row of the largest standardised difference between two strata in which the variable is known.

    With the `prefix` ``weighted`` counts are sums of weights, and means and variances are weighted.
    """
    name, found = variable["variable"], []
    present = [s for s in strata if (numbers["stratum"] == s.code).any()]
    for one, other in itertools.combinations(present, 2):
        if variable["levels"] is None:
            sums = [numbers.filter(stratum=s.code, variable=name).row(0, named=True) for s in (one, other)]
            pairs = [number_moments(s, prefix) for s in sums]
            size = number_difference(*pairs) if min(s["n_known"] for s in sums) > 0 else None
        else:
            held = levels.filter(pl.col("variable") == name)
            column = "weight" if prefix else "n"
            counts = [_counts(held.filter(stratum=s.code), variable["levels"], column) for s in (one, other)]
            size = level_difference(*counts) if min(c.sum() for c in counts) > 0 else None
        if size is not None:
            found.append((size, f"largest between {one.label} and {other.label}"))
    if not found:
        few = "one stratum: nothing to compare" if len(present) < 2 else "known in fewer than two strata, or constant"
        return row(_ALL, f"{name}: {prefix}smd", note=few)
    size, note = max(found, key=lambda f: f[0])
    infinite = note.replace("largest", "without bound") + ": they share no value"
    return row(_ALL, f"{name}: {prefix}smd", estimate=size, note=note if np.isfinite(size) else infinite)


def _counts(held: pl.DataFrame, levels: list[str], column: str) -> Floats:
    count = dict(held.select("level", column).iter_rows())
    return np.array([count.get(level, 0) for level in levels], dtype=float)


def number_difference(one: tuple[float | None, float | None], other: tuple[float | None, float | None]) -> float | None:
    """Return |difference of means| over the root of the mean variance, of (mean, sd) pairs; null without spread."""
    (m1, s1), (m2, s2) = one, other
    if m1 is None or m2 is None or s1 is None or s2 is None:
        return None
    if s1 == s2 == 0:
        return 0.0 if m1 == m2 else float("inf")
    return float(abs(m1 - m2) / np.sqrt((s1**2 + s2**2) / 2))


def level_difference(one: Floats, other: Floats) -> float:
    """Return the multinomial standardised difference of counts, or sums of weights, (k,) in two groups.

    Yang & Dalton (2012).

    The Mahalanobis distance of the shares under the mean of the two multinomial covariances; the last level is implied
    by the others. Infinite when the groups share no level.
    """
    met = (one + other) > 0
    p, q = (c[met][1:] / c.sum() for c in (one, other))
    if not (one * other).any():
        return float("inf")
    covariance = (np.diag(p) - np.outer(p, p) + np.diag(q) - np.outer(q, q)) / 2
    gap = p - q
    return float(np.sqrt(max(gap @ np.linalg.pinv(covariance, hermitian=True) @ gap, 0.0)))


def _diagnostics(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Characteristics that are often missing; that strata differ is no defect."""
    often = [r for r in rows if r["quantity"].endswith(": missing") and (r["estimate"] or 0) > 0.1]
    named = [(f"{r['quantity']} in {r['stratum']}", r["estimate"], f"{r['n']} of {r['denominator']}") for r in often]
    return diagnostics_of([check(name, share, "<= 0.1", False, note) for name, share, note in named])
