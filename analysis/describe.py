"""Who was treated: the characteristics of courses at their first session by stratum, and how far the strata differ."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from html import escape
from typing import Any, cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.cohort import By, Stratum, common_settings, place_courses, programmes_of, reduce
from analysis.result import SMALLEST_CELL, Result, check, diagnostics_of, frame_of, row
from registry import Courses
from registry.errors import NotEstimable
from registry.loadreport import html_table

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
    "route": "Route",
    "guidance": "Guidance",
    "planned_sessions": "Planned sessions",
}
_ORDER = (
    "age_year", "sex", "bmi", "diagnosis", "site", "symptom_months", "baseline_pain", "baseline_function",
    "baseline_global", "baseline_qol", "origin", "donor", "product", "dose_viable_million", "series_dose_million",
    "route", "guidance", "planned_sessions",
)  # fmt: skip
_STATISTICS = ("mean", "sd", "median", "lower quartile", "upper quartile")


@dataclass(frozen=True, repr=False)
class Description(Result):
    """The answer of :func:`describe`; :meth:`table` lays it out as rows × strata.

    Examples
    --------
    >>> describe(knees).table()["characteristic"][0]
    'Courses'
    """

    def table(self) -> pl.DataFrame:
        """Return the table as text: ``characteristic, level``, a column a stratum, ``smd``; made from `frame` alone.

        A row ``missing`` is printed where any course lacks the characteristic; the frame has it always.
        """
        cells = {(r["stratum"], r["quantity"]): r for r in self.frame.iter_rows(named=True)}
        # With a stratum hidden, what holds for all would give it away by subtraction.
        sizes = self.frame.filter(pl.col("quantity") == "courses")["denominator"]
        overall = [] if sizes.null_count() else self.settings["overall"]
        columns = [*self.settings["strata"], *overall]
        lines = [("Courses", "", "courses", "")]
        for variable in self.settings["variables"]:
            lines += _lines(variable)
        out = []
        for characteristic, level, quantity, kind in lines:
            held = [cells.get((s["code"], quantity)) for s in columns]
            if level == "missing" and all(c is None or c["n"] == 0 for c in held):
                continue
            texts = {s["label"]: _text(cells, s["code"], quantity, kind) for s in columns}
            first = quantity.removesuffix(": mean") if kind == "number" else quantity
            smd = cells.get((_ALL, f"{first}: smd")) if characteristic else None
            out.append({"characteristic": characteristic, "level": level, **texts, "smd": _smd_text(smd)})
        return pl.DataFrame(out)

    def __repr__(self) -> str:
        with pl.Config(tbl_rows=60, tbl_cols=9, tbl_width_chars=150, fmt_str_lengths=60, tbl_hide_dataframe_shape=True,
                       tbl_hide_column_data_types=True):  # fmt: skip
            return "\n".join([self.title, self._rows_used(), *self.notes, str(self.table())])

    def _repr_html_(self) -> str:
        table, notes = self.table(), "".join(f"<div><b>Note.</b> {escape(n)}</div>" for n in self.notes)
        head = f"<div><b>{escape(self.title)}</b><div>{escape(self._rows_used())}</div>{notes}"
        return f"{head}{html_table(table.columns, table.iter_rows())}</div>"

    def suppress(self, smallest: int = SMALLEST_CELL) -> Description:
        """Withhold small cells, and a second level wherever a single one could be found by subtraction."""
        hidden = super().suppress(smallest)
        shares = pl.col("quantity").str.ends_with(": share")
        variable = pl.col("quantity").str.split(" = ").list.first()
        key = ["stratum", "variable"]
        frame = hidden.frame.with_columns(variable=variable, share=shares).with_row_index("row")
        shown = frame.filter("share", pl.col("estimate").is_not_null(), pl.col("n") > 0)
        hidden_levels = frame.filter("share").group_by(key).agg(k=pl.col("estimate").is_null().sum())
        alone = hidden_levels.filter(pl.col("k") == 1)
        second = shown.join(alone, on=key).sort("n", "row").group_by(key, maintain_order=True).first()["row"]
        small = pl.int_range(pl.len()).is_in(second.cast(pl.Int64).implode())
        covered = [pl.when(~small).then(pl.col(c)).alias(c) for c in ("estimate", "n")]
        note = pl.when(small).then(pl.lit("suppressed: would reveal a small cell")).otherwise("note").alias("note")
        return cast(Description, dataclasses.replace(hidden, frame=hidden.frame.with_columns(*covered, note)))

    def _small_series(self, smallest: int) -> pl.DataFrame:
        """A rare level hides its own cell; a small stratum hides everything about it."""
        sizes = self.frame.filter(pl.col("quantity") == "courses", pl.col("denominator").is_between(1, smallest - 1))
        return self.frame.join(sizes, on="stratum", how="semi").select("stratum", "quantity").unique()


def describe(courses: Courses, *, by: By = "stage") -> Description:
    """Describe the courses at their first session by stratum, with standardised mean differences ("Table 1").

    Every number is an aggregate made in SQL. A share is of the courses for which the characteristic is known; what is
    not known has its own row, as a share of all.

    Parameters
    ----------
    courses
        From :meth:`registry.Registry.courses`.
    by
        What separates the strata; ``stage`` is the severity at baseline.

    Returns
    -------
    Description
        Quantities such as ``age_year: mean`` (also ``sd``, ``median``, ``lower quartile``, ``upper quartile``) with the
        known courses as denominator, ``sex = female: share``, ``age_year: missing``, ``courses``; by stratum and for
        ``all``. ``age_year: smd`` is the largest standardised difference between two strata: of means over the root of
        the mean variance, of categories in the multinomial form. ``.table()`` prints it.

    Raises
    ------
    NotEstimable
        When no course is selected.

    References
    ----------
    Austin 2009 Stat Med 28:3083; Yang & Dalton 2012, SAS Global Forum paper 335; Hyndman & Fan 1996 (type 7 quartiles).

    Examples
    --------
    >>> describe(knees).table().columns
    ['characteristic', 'level', ..., 'Early', 'Moderate', 'Bone-on-bone', 'All', 'smd']
    """
    strata, kept = place_courses(courses, by)
    if len(kept) == 0:
        raise NotEstimable(f"No course with a known {by} is selected: there is nobody to describe.")
    numbers, levels = reduce(kept, "reduction.profile_number", "reduction.profile_level")
    variables = _variables(kept, numbers, levels)
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
    )


def _variables(courses: Courses, numbers: pl.DataFrame, levels: pl.DataFrame) -> list[dict[str, Any]]:
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
    mean, sd = _moments(sums)
    quartiles = [_quantile(sums, k, known) for k in (2, 1, 3)]
    rows = [
        row(code, f"{name}: {statistic}", estimate=value, denominator=known)
        for statistic, value in zip(_STATISTICS, [mean, sd, *quartiles], strict=True)
        if value is not None
    ]
    return [*rows, _missing(code, name, n - known, n)]


def _moments(sums: dict[str, Any]) -> tuple[float, float | None]:
    """Mean and standard deviation from exact decimal sums; the difference is taken before rounding to binary."""
    n, total, square = int(sums["n_known"]), sums["total"], sums["square"]
    sd = float((square * n - total * total) / (n * (n - 1))) ** 0.5 if n > 1 else None
    return float(total / n), sd


def _quantile(sums: dict[str, Any], k: int, known: int) -> float:
    below, above = float(sums[f"q{k}_below"]), float(sums[f"q{k}_above"])
    place = k / 4 * (known - 1)
    return below + (place - int(place)) * (above - below)


def _smd(
    variable: dict[str, Any], strata: list[Stratum], numbers: pl.DataFrame, levels: pl.DataFrame
) -> dict[str, Any]:
    """Return the row of the largest standardised difference between two strata in which the variable is known."""
    name, found = variable["variable"], []
    present = [s for s in strata if (numbers["stratum"] == s.code).any()]
    for one, other in itertools.combinations(present, 2):
        if variable["levels"] is None:
            sums = [numbers.filter(stratum=s.code, variable=name).row(0, named=True) for s in (one, other)]
            size = number_difference(*(_moments(s) for s in sums)) if min(s["n_known"] for s in sums) > 0 else None
        else:
            held = levels.filter(pl.col("variable") == name)
            counts = [_counts(held.filter(stratum=s.code), variable["levels"]) for s in (one, other)]
            size = level_difference(*counts) if min(c.sum() for c in counts) > 0 else None
        if size is not None:
            found.append((size, f"largest between {one.label} and {other.label}"))
    if not found:
        few = "one stratum: nothing to compare" if len(present) < 2 else "known in fewer than two strata, or constant"
        return row(_ALL, f"{name}: smd", note=few)
    size, note = max(found, key=lambda f: f[0])
    infinite = note.replace("largest", "without bound") + ": they share no value"
    return row(_ALL, f"{name}: smd", estimate=size, note=note if np.isfinite(size) else infinite)


def _counts(held: pl.DataFrame, levels: list[str]) -> Floats:
    count = dict(held.select("level", "n").iter_rows())
    return np.array([count.get(level, 0) for level in levels], dtype=float)


def number_difference(one: tuple[float, float | None], other: tuple[float, float | None]) -> float | None:
    """Return |difference of means| over the root of the mean variance, of (mean, sd) pairs; null without spread."""
    (m1, s1), (m2, s2) = one, other
    if s1 is None or s2 is None:
        return None
    if s1 == s2 == 0:
        return 0.0 if m1 == m2 else float("inf")
    return float(abs(m1 - m2) / np.sqrt((s1**2 + s2**2) / 2))


def level_difference(one: Floats, other: Floats) -> float:
    """Return the multinomial standardised difference of counts (k,) in two groups; Yang & Dalton (2012).

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


def _lines(variable: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """Return the printed rows of a variable: characteristic, level, quantity, kind."""
    name, label = variable["variable"], variable["label"]
    missing = ("", "missing", f"{name}: missing", "share")
    if variable["levels"] is None:
        unit = variable["unit"]
        numbers = [(label, f"mean (SD), {unit}", f"{name}: mean", "number"), ("", "median [IQR]", name, "quartiles")]
        return [*numbers, missing]
    shares = [("", level.replace("_", " "), f"{name} = {level}: share", "share") for level in variable["levels"]]
    return [(label, "", name, "heading"), *shares, missing]


def _text(cells: dict[tuple[str, str], dict[str, Any]], code: str, quantity: str, kind: str) -> str:
    def value(name: str) -> str:
        found = cells.get((code, name))
        return "–" if found is None or found["estimate"] is None else f"{found['estimate']:.1f}"

    if kind == "heading":
        return ""
    if kind == "number":
        return f"{value(quantity)} ({value(quantity.replace(': mean', ': sd'))})"
    if kind == "quartiles":
        low, high = value(f"{quantity}: lower quartile"), value(f"{quantity}: upper quartile")
        return f"{value(f'{quantity}: median')} [{low}, {high}]"
    held = cells.get((code, quantity))
    if held is None:
        return "–"
    if quantity == "courses":
        return "·" if held["denominator"] is None else f"{held['denominator']:,}"
    if held["estimate"] is None:
        return "·" if "suppressed" in str(held["note"]) else "–"
    return f"{held['n']:,}/{held['denominator']:,} ({100 * held['estimate']:.0f} %)"


def _smd_text(held: dict[str, Any] | None) -> str:
    if held is None:
        return ""
    if held["estimate"] is None:
        return "∞" if "without bound" in str(held["note"]) else "–"
    return f"{held['estimate']:.2f}"
