"""The profile that an outlook is asked for: what can be named of a course, what there is of it, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np
import polars as pl

from analysis.outlook_likeness import is_tissue
from registry import Courses
from registry.errors import UsageError, choose

# Codes of the profile of a course that are named as they are, and numbers with what they may be.
CODES = ("sex", "diagnosis", "product", "donor", "route")
_NUMBERS: dict[str, tuple[Callable[[float], bool], str]] = {
    "age": (lambda v: 0 < v < 120, "in years, between 0 and 120"),
    "dose_million": (lambda v: 0 < v < np.inf, "viable cells in millions, more than 0"),
    "baseline": (lambda v: 0 <= v <= 100, "points of 100 at the first session, 0 best to 100 worst"),
}


def profiles_of(courses: Courses, domain: str) -> pl.DataFrame:
    """Return what is known of the courses placed, `baseline` of the domain that the change is told in."""
    return courses.registry.con.execute(
        "select course_id, stage, age_year, sex, diagnosis, product, origin, donor, route, "
        "dose_viable_million as dose, start.baseline from course.profile semi join cohort.course using (course_id) "
        "left join (select chosen.course_id, held.worse100 as baseline from course.domain_scale as chosen "
        "inner join course.baseline as held on chosen.course_id = held.course_id and chosen.scale = held.scale "
        "where chosen.domain = ?) as start using (course_id) order by course_id",
        [domain],
    ).pl()


def check_profile(profile: pl.DataFrame, stage: str, named: dict[str, Any], others: dict[str, object]) -> None:
    """Refuse what is no field of a profile (`others`), and values that the registry does not hold or that cannot be.

    Raises
    ------
    UsageError
        The message lists the fields, or the values there are.
    """
    for name in others:
        choose(name, ("stage", *named), "outlook: the profile field")
    choose(stage, profile["stage"].drop_nulls().unique().sort().to_list(), "stage =")
    for name in CODES:
        if named[name] is not None:
            choose(named[name], profile[name].drop_nulls().unique().sort().to_list(), f"{name} =")
    if named["tissue"] is not None:
        origins = profile["origin"].drop_nulls().unique().sort().to_list()
        stems = sorted({o.split("_")[0] for o in origins} - set(origins))
        if not any(is_tissue(o, named["tissue"]) for o in origins):
            choose(named["tissue"], [*origins, *stems], "tissue =")
    for name, (can_be, what) in _NUMBERS.items():
        value = named[name]
        # A yes or no is a number to Python, and no age.
        number = isinstance(value, Real) and not isinstance(value, bool | np.bool_)
        if value is not None and not (number and can_be(float(value))):
            raise UsageError(f"{name} = {value!r} must be {what}.")
