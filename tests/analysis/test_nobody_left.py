"""Where a selection leaves nobody, every question says the same: how many left, and why."""

import inspect

import polars as pl
import pytest

import analysis
from registry.errors import NotEstimable

QUESTIONS = [
    name
    for name in analysis.__all__
    if inspect.isfunction(f := getattr(analysis, name)) and next(iter(inspect.signature(f).parameters)) == "courses"
]
# What a question cannot do without.
NEEDS = {"outlook": {"stage": "early"}, "reduce_for": {"question": "joint_replacement"}}
# A reduction of nobody is counts of nobody, of a centre that had none; weights are asked of a result that is there.
ANSWERED = {"reduce_for", "booster_weights", "estimand"}


@pytest.mark.parametrize("name", [n for n in QUESTIONS if n not in ANSWERED])
def test_of_nobody_every_question_says_who_left_for_what(six_programmes, name):
    courses = six_programmes.courses(programme="osteoarthritis")
    nobody = courses.exclude(courses.ids.to_frame().with_columns(reason=pl.lit("asked to be left out")))
    with pytest.raises(NotEstimable, match=r"No course is left to analyse\. .*\d+ asked to be left out"):
        getattr(analysis, name)(nobody, **NEEDS.get(name, {}))
