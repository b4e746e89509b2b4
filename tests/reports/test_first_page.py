"""What a reader is told before quoting a number: short, from the data, the same of several programmes once."""

import re
from types import SimpleNamespace

import polars as pl
import pytest

from registry import Registry
from reports.first_page import read_first
from reports.flow_section import flow_section, own_flow
from reports.words import ENGLISH

STAGES = [{"code": "early", "label": "Early"}, {"code": "late", "label": "Late"}]


def section(name, *, verified=False, at_risk=(9, 8), seen=80, judged=True, withheld=(), sizes=(90, 30)):
    """A programme of the report with what the first page reads of it."""
    risk = pl.DataFrame({"stratum": ["early", "late"], "time_day": [730.0, 730.0], "n": at_risk})
    effect = pl.DataFrame({"quantity": ["difference"], "estimate": [None if withheld else 1.0]})
    return SimpleNamespace(
        programme=name.split(",")[0].lower(), label=name, evidence=None if judged else "thin", withheld=[] if judged else ["thin"],
        response=SimpleNamespace(settings={"strata": STAGES, "definition_verified": verified}, at_risk=risk) if judged else None,
        sizes=dict(zip(("early", "late"), sizes, strict=True)), booster=SimpleNamespace(withheld=withheld, frame=effect),
        completeness=pl.DataFrame({"planned_visit": ["12 months"], "n_due": [100], "n_seen": [seen]}),
    )  # fmt: skip


@pytest.fixture
def told(tmp_path):
    with Registry.create(tmp_path / "r.duckdb") as registry:
        yield lambda *sections: read_first(registry, list(sections), ENGLISH)


def words(points) -> str:
    return "\n".join(re.sub("<[^>]+>", "", p) for p in points)


def test_what_is_the_same_of_every_programme_is_said_once(told):
    points = told(section("Knee", seen=90), section("Nerve"), section("Tendon, muscle", seen=70))
    assert words(points) == (
        "Thresholds. What counts as response is not yet checked against its paper: every programme in which response is judged.\n"
        "Follow-up. Of the 12-month visits that were due, between 70 % (Tendon, muscle) and 90 % (Knee) took place.\n"
        "Late numbers. At 24 months fewer than 20 courses of a stage are still at risk: every programme in which response is judged."
    )


def test_what_is_of_some_programmes_names_them_with_their_stages(told):
    points = told(section("Knee", verified=True, at_risk=(40, 5), seen=71), section("Nerve", verified=True, at_risk=(40, 40)),
                  section("Tendon, muscle", seen=97, withheld=("few",)), section("Well", judged=False), section("Blood", sizes=(5, 0)))  # fmt: skip
    assert words(points) == (
        "Thresholds. What counts as response is not yet checked against its paper: Tendon, muscle; Blood.\n"
        "Follow-up. Of the 12-month visits that were due, between 71 % (Knee) and over 95 % (Tendon, muscle) took place.\n"
        "Late numbers. At 24 months fewer than 20 courses of a stage are still at risk: Knee (late); Tendon, muscle; Blood.\n"
        "Booster. Its effect is withheld, since too few were boosted or they were not like those who waited: Tendon, muscle.\n"
        "Not judged. Well (described only: no definition of response is agreed); Blood (nobody in stage late)."
    )
    assert all(re.search('<a href="#[a-z-]+">', p) for p in points)


def test_a_registry_without_such_matters_has_nothing_to_say(told):
    fine = section("Knee", verified=True, at_risk=(40, 40))
    fine.completeness = fine.completeness.clear()
    assert told(fine) == []


def test_courses_of_other_programmes_are_not_told_as_having_left_this_one():
    flow = pl.DataFrame(
        {"reason": ["courses", "another programme", "no stage", "no visit", "selected"], "n": [500, 300, 1, 2, 197]}
    )
    one = SimpleNamespace(response=SimpleNamespace(settings={"strata": STAGES}), courses=range(200), left=own_flow(flow),
                          sizes={"early": 100, "late": 97})  # fmt: skip
    told = flow_section(one)
    # Three few left: beside the exact end the start is a limit, or the difference would tell them.
    assert (told["start"], [x["n"] for x in told["left"]], told["end"]) == ("fewer than 202", ["<5"], "197")
