"""The incidence of the end of a target: its test between strata against R, and where there is nothing to tell."""

import numpy as np
import pytest

from analysis import joint_replacement, loss_of_response, time_in_response
from analysis.numerics.clustered_log_rank import clustered_log_rank
from analysis.numerics.resampling import clusters
from analysis.numerics.survival_counts import log_rank
from registry.errors import NotEstimable

PATIENT = np.array([1, 1, 2, 2, 3, 3, 4, 5, 5, 6, 7, 8, 8, 9, 10, 10, 11, 12, 12, 13]) - 1
GROUP = np.array([0, 1, 0, 0, 1, 2, 1, 2, 2, 0, 1, 2, 1, 0, 2, 2, 1, 0, 1, 2])
DAY = np.array([120, 340, 200, 200, 90, 400, 310, 60, 75, 500, 220, 45, 130, 365, 80, 95, 260, 410, 150, 55.0])
EVENT = np.array([0, 1, 0, 1, 1, 0, 1, 1, 1, 0, 1, 1, 1, 0, 1, 0, 0, 0, 1, 1])


def test_the_log_rank_test_clustered_by_patient_is_the_robust_score_test_of_r():
    # coxph(Surv(day, event) ~ factor(group), cluster = patient, method = "breslow")$rscore; survival 3.5.3, R 4.2.2.
    ones = np.ones(20)
    people = clusters(PATIENT, np.arange(20), ones, ones, 20)
    assert clustered_log_rank(DAY, EVENT, GROUP, ones, people) == (pytest.approx(6.01630463553, rel=1e-10), 2)
    # Every course a patient of its own: near the plain test (7.008 in R), not equal to it.
    alone = clusters(np.arange(20), np.arange(20), ones, ones, 20)
    assert clustered_log_rank(DAY, EVENT, GROUP, ones, alone)[0] != pytest.approx(6.016, abs=0.01)
    assert log_rank(DAY, EVENT, GROUP).statistic == pytest.approx(7.00813104733, rel=1e-10)


def test_patients_that_are_alike_count_as_often_as_there_are_of_them():
    people = clusters(PATIENT, np.arange(20), np.ones(20), np.full(20, 3.0), 20)
    twice = clusters(np.concatenate([PATIENT + 13 * k for k in range(3)]), np.tile(np.arange(20), 3), np.ones(60),
                     np.ones(60), 20)  # fmt: skip
    three = np.full(20, 3.0)
    one, other = (clustered_log_rank(DAY, EVENT, GROUP, three, c)[0] for c in (people, twice))
    # Three times as many alike: three times the statistic.
    assert one == pytest.approx(other) and one == pytest.approx(3 * 6.01630463553)


def test_a_programme_that_no_event_ends_has_no_incidence_of_one(six_programmes):
    with pytest.raises(NotEstimable, match="No event ends the target"):
        joint_replacement(six_programmes.courses(programme="wellness"))


@pytest.mark.parametrize("question", [joint_replacement, loss_of_response, time_in_response])
def test_a_figure_whose_every_curve_is_hidden_is_not_drawn_empty(six_programmes, question):
    found = question(six_programmes.courses(programme="osteoarthritis"))
    assert found.suppress(1).plot().axes
    with pytest.raises(NotEstimable, match="Every curve is hidden"):
        found.suppress(10_000).plot()
