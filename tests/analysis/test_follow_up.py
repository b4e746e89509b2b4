"""The day up to which a curve is worth a number."""

import numpy as np
import polars as pl

from analysis.follow_up import settled_to
from analysis.replacement import incidence_rows


def settled(day, lost, count=None):
    day = np.array(day, dtype=float)
    return settled_to(day, np.array(lost, dtype=bool), np.ones(len(day)) if count is None else np.array(count, float))


def test_a_curve_is_settled_while_five_are_followed_or_most_are_known_to_the_end():
    assert settled(range(1, 11), [0] * 10) == np.inf  # nobody lost: every event is known
    assert settled(range(1, 11), [1, 0] * 5) == np.inf  # half lost
    # Seven of ten lost: followed to day 6 are five, and more than half are lost by day 7.
    assert settled(range(1, 11), [1, 1, 1, 1, 1, 1, 1, 0, 0, 0]) == 6
    assert settled([100, 200, 300], [1, 1, 0], [40, 40, 1]) == 200


def test_a_last_event_with_hardly_anybody_left_gives_no_number_but_says_up_to_when():
    cells = pl.DataFrame({"cause": ["censored", "end", "censored", "end"], "day": [500, 600, 900, 1150],
                          "n": [150, 20, 50, 1]})  # fmt: skip
    near, far = incidence_rows("late", cells, None, np.array([730.0, 1200.0]), 0.95, {"end": "end"})
    assert 0.2 < near["estimate"] < 0.4 and near["note"] is None
    assert far["estimate"] is None and far["note"] == "settled up to day 900 only"
    whole = cells.with_columns(n=pl.Series([5, 20, 4, 1]))
    assert incidence_rows("late", whole, None, np.array([1200.0]), 0.95, {"end": "end"})[0]["estimate"] == 1.0
