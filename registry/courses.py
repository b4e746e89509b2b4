"""Which courses of treatment a question is asked of, and who left the selection and why."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, TypedDict

import duckdb
import polars as pl

from registry.errors import UsageError, choose

if TYPE_CHECKING:
    from registry.store import Registry

# What a course can be selected by: argument, column of course.course, and the reason given to those who leave.
_EQUAL = {
    "programme": "another programme",
    "site": "another anatomical site",
    "side": "the other side",
    "diagnosis": "another diagnosis",
    "centre": "another centre",
    "origin": "another cell source",
    "donor": "another donor relation",
    "product": "another product",
    "route": "another route",
    "guidance": "another guidance",
    "dose_band": "another dose",
    "sex": "another sex",
}


class Selection(TypedDict, total=False):
    """What courses can be selected by: values, or lists of them; limits in days and years."""

    programme: str | list[str] | None
    site: str | list[str] | None
    side: str | list[str] | None
    diagnosis: str | list[str] | None
    stage: str | list[str] | None
    centre: str | list[str] | None
    origin: str | list[str] | None
    donor: str | list[str] | None
    product: str | list[str] | None
    route: str | list[str] | None
    guidance: str | list[str] | None
    dose_band: str | list[str] | None
    sex: str | list[str] | None
    min_potential_follow_up_day: int | None
    min_age: int | None
    max_age: int | None
    first_course_only: bool


@dataclass(frozen=True)
class Courses:
    """A selection of courses with its attrition.

    Made by :meth:`registry.Registry.courses`, and what every question of :mod:`analysis` is asked of. In a cell it
    shows the flow: how many courses there are, who left and why, how many are selected.

    Examples
    --------
    >>> knees = reg.courses(programme="osteoarthritis", site="knee", min_potential_follow_up_day=180)
    >>> knees.flow().columns
    ['reason', 'n']
    >>> len(knees) == int(knees.attrition["kept"].sum())
    True

    Attributes
    ----------
    registry
        Where they come from.
    selection
        The arguments, as given.
    attrition
        One row a course: ``course_id, patient_id, kept, reason`` (the first rule that excluded it; null if kept).
    """

    registry: Registry
    selection: dict[str, Any]
    attrition: pl.DataFrame

    @classmethod
    def select(
        cls,
        registry: Registry,
        *,
        min_potential_follow_up_day: int | None = None,
        stage: str | list[str] | None = None,
        min_age: int | None = None,
        max_age: int | None = None,
        first_course_only: bool = False,
        **equal: Any,
    ) -> Courses:
        """Select courses of treatment.

        Parameters
        ----------
        programme, site, side, diagnosis, centre, origin, donor, product, route, guidance, dose_band, sex
            Keep courses whose value is this (or one of these, as a list); facts are those of the first session.
        min_potential_follow_up_day
            Days from the first session to the data cut. Never *attended* follow-up: that keeps who came back.
        stage
            Severity stage at baseline.
        min_age, max_age
            Age in years at the first session.
        first_course_only
            Leave out later courses of the same target.

        Raises
        ------
        UsageError
            When an argument or a value is not known to the registry; the message lists the values held.
        """
        for name in equal:
            choose(name, _EQUAL, "Selection")
        rules: list[tuple[str, str, list[Any]]] = [
            ("consent withdrawn for all data", "not withdrawn_all", []),
            ("no session recorded", "index_date is not null", []),
        ]
        for name, value in {**equal, "stage": stage}.items():
            if value is not None:
                values = [value] if isinstance(value, str) else list(value)
                held = [
                    r[0] for r in registry.con.sql(f"select distinct {name} from course.profile order by 1").fetchall()
                ]
                if not held:
                    raise UsageError("The registry holds no course yet: load files first (catamnesis load).")
                for v in values:
                    choose(v, [h for h in held if h is not None], f"{name} in this registry:")
                marks = ", ".join("?" * len(values))
                rules.append(
                    (_EQUAL.get(name, "another severity stage"), f"coalesce({name} in ({marks}), false)", values)
                )
        if first_course_only:
            rules.append(("a later course of the same target", "course_no = 1", []))
        if min_age is not None:
            rules.append((f"younger than {min_age}", "coalesce(age_year >= ?, false)", [min_age]))
        if max_age is not None:
            rules.append((f"older than {max_age}", "coalesce(age_year <= ?, false)", [max_age]))
        if min_potential_follow_up_day is not None:
            reason = f"treated less than {min_potential_follow_up_day} days before the data cut"
            rules.append((reason, "coalesce(potential_follow_up_day >= ?, false)", [min_potential_follow_up_day]))
        limits = {
            "min_potential_follow_up_day": min_potential_follow_up_day,
            "min_age": min_age,
            "max_age": max_age,
            "first_course_only": first_course_only or None,
        }
        chosen = {k: v for k, v in {**equal, "stage": stage, **limits}.items() if v is not None}
        return cls(registry, chosen, _attrition(registry.con, rules))

    @property
    def ids(self) -> pl.Series:
        """Identifiers of the courses kept."""
        return self.attrition.filter(pl.col("kept"))["course_id"]

    def __len__(self) -> int:
        return int(self.attrition["kept"].sum())

    def flow(self) -> pl.DataFrame:
        """Return the flow of courses: one row a reason, with the number that left for it, then the number kept."""
        left = self.attrition.filter(~pl.col("kept")).group_by("reason", maintain_order=True).len("n")
        ends = [("courses", self.attrition.height), ("selected", len(self))]
        head, tail = (pl.DataFrame([e], schema={"reason": pl.String, "n": pl.UInt32}, orient="row") for e in ends)
        return pl.concat([head, left.cast({"n": pl.UInt32}), tail])

    def reasons(self) -> str:
        """Return why courses left, in a line: number and reason of each, "" if none did."""
        return "; ".join(f"{n} {reason}" for reason, n in self.flow()[1:-1].iter_rows())

    def exclude(self, ids: pl.DataFrame) -> Courses:
        """Return the selection without the courses of `ids` (``course_id, reason``), the reason in the attrition."""
        if {"course_id", "reason"} - set(ids.columns):
            raise UsageError("exclude needs a frame with the columns course_id and reason.")
        joined = self.attrition.join(ids.select("course_id", pl.col("reason").alias("new")), on="course_id", how="left")
        now = joined.with_columns(
            kept=pl.col("kept") & pl.col("new").is_null(),
            reason=pl.when(pl.col("kept")).then(pl.col("new")).otherwise(pl.col("reason")),
        ).drop("new")
        return Courses(self.registry, self.selection, now)

    def __repr__(self) -> str:
        lines = [f"Courses: {len(self):,} of {self.attrition.height:,} selected"]
        lines += [f"  − {n:,} {reason}" for reason, n in self.flow()[1:-1].iter_rows()]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><td>{escape(r)}</td><td>{n:,}</td></tr>" for r, n in self.flow().iter_rows())
        chosen = ", ".join(f"{k} = {v}" for k, v in self.selection.items()) or "all"
        return f"<b>{len(self):,} courses</b> selected: {escape(chosen)}<table>{rows}</table>"


def signature(of: type) -> inspect.Signature:
    """Return the signature ``(self, *, ...)`` of the keys of a TypedDict, so that editors complete them."""
    kinds = inspect.Parameter
    keys = [kinds(k, kinds.KEYWORD_ONLY, default=None, annotation=t) for k, t in of.__annotations__.items()]
    return inspect.Signature([kinds("self", kinds.POSITIONAL_OR_KEYWORD), *keys], return_annotation="Courses")


def _attrition(con: duckdb.DuckDBPyConnection, rules: list[tuple[str, str, list[Any]]]) -> pl.DataFrame:
    arms = " ".join(f"when not ({condition}) then ?" for _, condition, _ in rules)
    arguments = [a for text, _, values in rules for a in (*values, text)]
    query = f"select course_id, patient_id, case {arms} end as reason from course.profile order by course_id"
    return con.execute(query, arguments).pl().with_columns(kept=pl.col("reason").is_null())
