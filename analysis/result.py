"""What every question returns: one tidy frame, how it was made, who was left out, and what to mind."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from analysis.cells import safe_for_spreadsheets
from analysis.disclosure import POLICY
from analysis.disclosure.names import without_names_of_few
from analysis.disclosure.suppression import without_small_cells
from analysis.told import headline, in_words, rows_used
from registry.errors import NotEstimable, UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# One row a number; the renderers, the exports and disclosure control read these columns and nothing else.
FRAME = {
    "stratum": pl.String,
    "quantity": pl.String,
    "time_day": pl.Float64,
    "estimate": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "n": pl.Int64,
    "denominator": pl.Int64,
    "note": pl.String,
}

# Rectangles (left_day, right_day] by [low, high] in which the data do not say where a curve runs.
REGIONS = {
    "stratum": pl.String,
    "left_day": pl.Float64,
    "right_day": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
}


# One row a number of a fitted model, for whoever checks it or plans a study with it.
DETAILS = {
    "stratum": pl.String,
    "quantity": pl.String,
    "term": pl.String,
    "time_day": pl.Float64,
    "other_day": pl.Float64,
    "estimate": pl.Float64,
    "standard_error": pl.Float64,
    "degrees_of_freedom": pl.Float64,
    "t": pl.Float64,
    "p": pl.Float64,
    "denominator": pl.Int64,
    "note": pl.String,
}


@dataclass(frozen=True)
class Result:
    """The answer to a question.

    Attributes
    ----------
    question
        Name of the question, e.g. ``time_to_response``.
    title
        The question in a sentence.
    frame
        One row a number: ``stratum, quantity, time_day, estimate, low, high, n, denominator, note``; `n` counts what
        happened, `denominator` the courses it could have happened to; probabilities are shares of 1.
    settings
        Everything needed to make the numbers again: definition, policies, data cut, versions, seed.
    attrition
        One row a reason with the number of courses that left for it, in order.
    diagnostics
        One row a check: ``check, value, limit, passed, note``.
    curves
        Finer numbers for figures, in the same columns as `frame`.
    at_risk
        Courses at risk by stratum and day, in the same columns.
    regions
        Rectangles in which the data do not say where a curve runs: ``stratum, left_day, right_day, low, high``.
    details
        Of a fitted model, where the question tells them: standard error, degrees of freedom, t and two-sided p of its
        numbers, its coefficients and covariances; one row a number: ``stratum, quantity, term, time_day, other_day,
        estimate, standard_error, degrees_of_freedom, t, p, denominator, note``.
    notes
        What a reader must know before quoting a number.
    draw
        Draws the figure from this result.
    withheld
        Why numbers were withheld, empty if none were.

    Examples
    --------
    >>> response = time_to_response(knees, resamples=20)
    >>> response.frame.columns[:4]  # one row a number
    ['stratum', 'quantity', 'time_day', 'estimate']
    >>> response.say("response", "early", 365)
    '... % (95 % CI ... to ...)'
    >>> response.to_csv("response.csv")  # doctest: +SKIP
    """

    question: str
    title: str
    frame: pl.DataFrame
    settings: dict[str, Any]
    attrition: pl.DataFrame
    diagnostics: pl.DataFrame
    curves: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=FRAME))
    at_risk: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=FRAME))
    regions: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=REGIONS))
    details: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=DETAILS))
    notes: tuple[str, ...] = ()
    draw: Callable[[Result], Figure] | None = None
    withheld: tuple[str, ...] = ()

    def plot(self) -> Figure:
        """Draw the figure of this question.

        Raises
        ------
        NotEstimable
            When the question has no figure or its numbers were withheld.
        """
        if self.draw is None:
            raise NotEstimable(f"{self.question} has no figure; its numbers are in .frame.")
        from analysis.figures import at_home_in_a_cell

        at_home_in_a_cell()
        return self.draw(self)

    def plot_flow(self) -> Figure:
        """Draw the flow of courses: all there are, who left and why, who was used, by stratum where none is hidden."""
        from analysis.figures import at_home_in_a_cell
        from analysis.flow_figures import attrition

        at_home_in_a_cell()
        return attrition(self)

    def plot_states(self) -> Figure:
        """Draw what became of everybody: the shares in all states by day, stacked, a panel a stratum.

        Of a result of :func:`analysis.time_in_response`; of one with small cells hidden, states that are not told
        apart are one layer.

        Raises
        ------
        NotEstimable
            When the result is of another question, or every share is hidden.

        Examples
        --------
        >>> time_in_response(knees, horizon_day=(365,)).plot_states().alt_text
        'State of the courses over 12 months. At the end, Early: in response ... %, response lost ... %, ...
        """
        from analysis.figures import at_home_in_a_cell
        from analysis.multistate_figures import occupation

        at_home_in_a_cell()
        return occupation(self)

    def suppress(self, smallest: int = POLICY.smallest_cell) -> Result:
        """Return the result with numbers of small cells withheld: null and marked as suppressed, never zero.

        A number is withheld when fewer than `smallest` courses, but not none, had what it counts or did not, or when
        it rests on fewer than `smallest` courses altogether. A product that so few had loses its name as well.
        """
        return without_names_of_few(self, smallest)._small_cells_hidden(smallest)

    def _small_cells_hidden(self, smallest: int) -> Result:
        return without_small_cells(self, self._small_series(smallest), smallest)

    def _small_series(self, smallest: int) -> pl.DataFrame:
        """Return ``stratum, quantity`` too small to show at any time: few courses, or an event that only a few had."""
        few_courses = (pl.col("denominator").max() > 0) & (pl.col("denominator").max() < smallest)
        few_events = (pl.col("n").max() > 0) & (pl.col("n").max() < smallest)
        counted = self.frame.filter(pl.col("n").is_not_null()).group_by("stratum", "quantity")
        return counted.agg((few_courses | few_events).alias("small")).filter("small").select("stratum", "quantity")

    def say(self, quantity: str, stratum: str = "all", time_day: float | None = None) -> str:
        """Return one number as text with its interval, e.g. ``54 % (95 % CI 49 to 59)``.

        Differences of shares are said in percentage points, days as days with what is known of them.

        Raises
        ------
        UsageError
            When the frame has no such number; the message lists what it has.
        """
        rows = self.frame.filter(pl.col("quantity") == quantity, pl.col("stratum") == stratum)
        if time_day is not None:
            rows = rows.filter(pl.col("time_day") == time_day)
        if rows.height == 0:
            has = ", ".join(self.frame["quantity"].unique().sort())
            strata = ", ".join(self.frame["stratum"].unique().sort())
            raise UsageError(f"There is no {quantity!r} of {stratum!r}. Quantities: {has}. Strata: {strata}.")
        return in_words(rows.row(0, named=True), self.settings)

    def to_dict(self) -> dict[str, Any]:
        """Return the result for machines.

        Returns
        -------
        ``question, frame, details, settings, attrition, diagnostics, notes, withheld``.
        """
        return {
            "question": self.question,
            "frame": self.frame.to_dicts(),
            "details": self.details.to_dicts(),
            "settings": self.settings,
            "attrition": self.attrition.to_dicts(),
            "diagnostics": self.diagnostics.to_dicts(),
            "notes": list(self.notes),
            "withheld": list(self.withheld),
        }

    def to_json(self) -> str:
        """Return :meth:`to_dict` as JSON text; numbers that do not exist are null."""
        return json.dumps(_finite(self.to_dict()), ensure_ascii=False, default=str)

    def to_csv(self, path: str | Path, *, details: bool = False) -> None:
        """Write the frame, or the `details`, as CSV, small cells suppressed: a file is made to leave the room.

        Raises
        ------
        UsageError
            When details are asked for of a question that has none.
        """
        if details and self.details.height == 0:
            raise UsageError(f"{self.question} has no details: its numbers are in .frame. Trajectories have them.")
        shown = self.suppress()
        safe_for_spreadsheets(shown.details if details else shown.frame).write_csv(path)

    def __repr__(self) -> str:
        lines = [self.title, rows_used(self.attrition), *(f"{k}: {v}" for k, v in self._headline().items())]
        lines += [f"withheld: {w}" for w in self.withheld] + [f"note: {n}" for n in self.notes]
        return "\n".join([*lines, *headline(self)])

    def _repr_html_(self) -> str:
        said = {k.replace("_", " "): str(v) for k, v in self._headline().items()}
        head = "".join(f"<div>{escape(k)}: {escape(v)}</div>" for k, v in said.items())
        mind = "".join(f"<div><b>Withheld.</b> {escape(w)}</div>" for w in self.withheld)
        mind += "".join(f"<div><b>Note.</b> {escape(n)}</div>" for n in self.notes)
        failed = self.checks_made().filter(~pl.col("passed"))["check"].to_list()
        mind += f"<div><b>Checks not passed.</b> {escape(', '.join(failed))}</div>" if failed else ""
        columns = [c for c in self.frame.columns if c != "note" or self.frame["note"].is_not_null().any()]
        rows = "".join(
            "<tr>" + "".join(f"<td>{_cell(row[c])}</td>" for c in columns) + "</tr>" for row in self.frame.to_dicts()
        )
        names = "".join(f"<th>{escape(c)}</th>" for c in columns)
        return (
            f"<div><b>{escape(self.title)}</b><div>{escape(rows_used(self.attrition))}</div>{head}{mind}"
            f"<table><thead><tr>{names}</tr></thead><tbody>{rows}</tbody></table></div>"
        )

    @property
    def empty_strata(self) -> list[str]:
        """Codes of the strata that nobody is in; those whose numbers are suppressed are not among them."""
        somebody = (pl.col("denominator").fill_null(0) > 0) | pl.col("estimate").is_not_null()
        somebody |= pl.col("note").str.starts_with("suppressed").fill_null(False)
        told = self.frame.group_by("stratum").agg(somebody.any(), (pl.col("denominator") == 0).any().alias("nobody"))
        empty = told.filter(~pl.col("denominator"), "nobody")["stratum"].to_list()
        return [s["code"] for s in self.settings.get("strata", ()) if s["code"] in empty]

    @property
    def filled_strata(self) -> list[dict[str, Any]]:
        """The strata as the settings have them, without those that nobody is in: what a printed table shows."""
        empty = self.empty_strata
        return [s for s in self.settings.get("strata", ()) if s["code"] not in empty]

    @property
    def nobody_in(self) -> str:
        """A sentence that names the strata that nobody is in; empty if there are none."""
        empty = [s["label"] for s in self.settings.get("strata", ()) if s["code"] in self.empty_strata]
        return f"Nobody is in: {', '.join(empty)}." if empty else ""

    def checks_made(self) -> pl.DataFrame:
        """Return the diagnostics without those of strata that nobody is in, where there is nothing to check."""
        about = tuple(f" {word} {code}" for code in self.empty_strata for word in ("in", "of"))
        empty = [bool(about) and c.endswith(about) for c in self.diagnostics["check"]]
        return self.diagnostics.filter(~pl.Series(empty, dtype=pl.Boolean))

    def _headline(self) -> dict[str, Any]:
        shown = ("definition", "definition_source", "confirmation", "data_cut")
        return {k: self.settings[k] for k in shown if self.settings.get(k)}


def row(stratum: str, quantity: str, **values: Any) -> dict[str, Any]:
    """Return one row of the results frame; what is not given is null.

    Raises
    ------
    UsageError
        When a value is not a column of the frame.
    """
    unknown = values.keys() - FRAME.keys()
    if unknown:
        raise UsageError(f"The results frame has no column {', '.join(sorted(unknown))}.")
    return {**dict.fromkeys(FRAME), "stratum": stratum, "quantity": quantity, **values}


def frame_of(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Return rows made by :func:`row` as the results frame; what is not finite is null, which means not known."""
    frame = pl.DataFrame(rows, schema=FRAME)
    return frame.with_columns(
        pl.when(pl.col(c).is_finite()).then(pl.col(c)).alias(c) for c in ("time_day", "estimate", "low", "high")
    )


def details_of(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Return rows of some of the columns of the details as that frame; what is not given or not finite is null."""
    frame = pl.DataFrame([{**dict.fromkeys(DETAILS), **r} for r in rows], schema=DETAILS)
    numbers = [c for c, kind in DETAILS.items() if kind == pl.Float64]
    return frame.with_columns(pl.when(pl.col(c).is_finite()).then(pl.col(c)).alias(c) for c in numbers)


def check(name: str, value: float | None, limit: str, passed: bool, note: str = "") -> dict[str, Any]:
    """Return one row of the diagnostics frame.

    A value that counts people, or what happened to them, has a limit in whole numbers (``>= 10``) or is ``a count``:
    it is hidden when few. All else has another: ``>= 0.01`` of a p, ``at least 5`` of a ratio.
    """
    return {"check": name, "value": value, "limit": limit, "passed": passed, "note": note}


def diagnostics_of(checks: list[dict[str, Any]]) -> pl.DataFrame:
    """Return checks as the diagnostics frame."""
    types = {"check": pl.String, "value": pl.Float64, "limit": pl.String, "passed": pl.Boolean, "note": pl.String}
    return pl.DataFrame(checks, schema=types)


def versions() -> dict[str, str]:
    """Return the versions that a number depends on."""
    return {name: importlib.metadata.version(name) for name in ("catamnesis", "duckdb", "numpy", "scipy")}


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        # Days are whole, shares are not.
        return f"{value:,.0f}" if value.is_integer() and abs(value) > 1 else f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else escape(str(value))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_finite(v) for v in value]
    if isinstance(value, float) and value != value:
        return None
    return None if value in (float("inf"), float("-inf")) else value
