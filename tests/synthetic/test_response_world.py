"""The worlds of the study of response: their laws against closed forms, and what visits make of paths written by hand."""

import numpy as np
import pytest
from scipy.linalg import expm

from synthetic.response_world import _BANDS, _MARKOV, LANDMARK, SCENARIOS, STAGES, World, make, reductions, truth
from synthetic.truth import OA

RENEWAL, MARKOV, STAYING_AWAY = SCENARIOS
N = 60_000


def test_response_of_the_renewal_law_is_the_closed_form_of_the_synthetic_truth():
    """StageTruth.response_incidence: the Weibull with end and death competing, by integration."""
    known = truth(RENEWAL, N)["response"]
    for stage, found in zip(OA.stages.values(), known, strict=True):
        expected = float(stage.response_incidence(np.array([365.0]), death_per_year=OA.death_per_year)[0])
        # Five standard errors of a share in a stage of a quarter of the courses.
        assert found == pytest.approx(expected, abs=5 * np.sqrt(0.25 / (N * 0.25)))


def shares_by_matrix_exponential(stage, day):
    """State shares from day 0 of waiting, response, lost, ended, dead: the product over bands (scipy's expm)."""
    respond, lose, back, end_a_year = _MARKOV[stage]
    end, death = end_a_year / 365.25, OA.death_per_year / 365.25
    row, edges = np.eye(5)[0], [0.0, *_BANDS, np.inf]
    for b in range(4):
        q = np.zeros((5, 5))
        q[0, 1], q[1, 2], q[2, 1] = respond[b], lose[b], back
        q[[0, 2], 3], q[1, 3], q[:3, 4] = end, end / 3, death
        q -= np.diag(q.sum(axis=1))
        length = min(day, edges[b + 1]) - edges[b]
        if length > 0:
            row = row @ expm(q * length)
    return row


def test_states_of_the_markov_law_are_those_of_its_intensities():
    world = make(MARKOV, N, 3)
    for day in (120.0, 365.0, 730.0):
        state = world.state(np.full((len(world.stage), 1), day))[:, 0]
        for s, stage in enumerate(STAGES):
            here = state[world.stage == s]
            found = np.bincount(here, minlength=5) / len(here)
            error = np.sqrt(0.25 / len(here))
            assert found == pytest.approx(shares_by_matrix_exponential(stage, day), abs=5 * error)


def test_the_loss_of_the_truth_is_that_of_those_in_response_at_the_landmark():
    """In the Markov world: 1 - P(still in it or ended first), from the generator with loss made final."""
    found = truth(MARKOV, N)["loss"]
    for s, stage in enumerate(STAGES):
        _, lose, _, end_a_year = _MARKOV[stage]
        leave = end_a_year / 365.25 / 3 + OA.death_per_year / 365.25
        assert _BANDS[-1] <= LANDMARK  # one band from the landmark on
        q = lose[3] + leave
        assert found[s] == pytest.approx(lose[3] / q * (1 - np.exp(-q * 365)), abs=0.03)


def test_those_without_response_miss_more_visits_where_they_stay_away():
    for scenario, more in ((RENEWAL, False), (STAYING_AWAY, True)):
        world = make(scenario, 6000, 1)
        third = world.visit[:, 2] < np.minimum(np.minimum(world.end, world.death), world.watched)
        responding = world.state(world.visit)[:, 2] == 1
        seen = [world.seen[third & here, 2].mean() for here in (responding, ~responding)]
        assert (seen[0] - seen[1] > 0.05) == more


def hand_made(switch, end=np.inf, seen=(True,) * 6, watched=1400.0):
    visits = np.array([[30.0, 90, 180, 365, 730, 1095]])
    path = np.full((1, 4), np.inf)
    path[0, : len(switch)] = switch
    seen = np.array([seen]) & (visits < end) & (visits <= watched)
    one = np.array([0])
    return World(one, one, path, np.array([float(end)]), np.array([np.inf]), visits, seen, np.array([watched]))


def rows(world):
    made = reductions(world)
    (response,) = made["response_course"].select("kind", "left_day", "right_day").rows() or [None]
    panel = made["panel_visit"].select("day", "state").rows()
    return response, panel, made["panel_watch"].select("last_day", "ended_as").rows()


def test_a_response_lies_between_the_last_visit_without_and_the_first_with_it():
    response, panel, watch = rows(hand_made([100, 500]))
    assert response == ("response", 90, 180)
    assert panel == [(30, "no_response_yet"), (90, "no_response_yet"), (180, "in_response"), (365, "in_response"),
                     (730, "response_lost"), (1095, "response_lost")]  # fmt: skip
    assert watch == [(1400, None)]


def test_a_response_that_came_and_went_between_two_visits_is_not_seen():
    response, panel, _ = rows(hand_made([200, 300]))
    assert response == ("censored", 1095, 1400)
    assert {state for _, state in panel} == {"no_response_yet"}


def test_an_end_is_known_to_the_day_and_nothing_is_seen_from_it_on():
    response, panel, watch = rows(hand_made([], end=364.2))
    assert (response, panel[-1][0], watch) == (("end", 180, 365), 180, [(365, "ended")])


def test_a_course_of_which_nobody_saw_anything_has_no_interval_and_is_watched():
    response, panel, watch = rows(hand_made([50], seen=(False,) * 6, watched=70.0))
    assert (response, panel, watch) == (None, [], [(70, None)])
