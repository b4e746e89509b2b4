"""The same patients as five clinics would send them: one record, whatever the layout."""

import dataclasses

import pytest

from registry import Registry, derive
from registry.ingest import load
from synthetic import Design, all_programmes, simulate, sources
from synthetic.sources import DEFECTS

CENTRES = ("ZRH", "DEN", "MAD", "TYO", "GLA")
SMALL = Design(patients=30, programmes=all_programmes(), seed=3)


@pytest.fixture(scope="module")
def clinics(synthetic_patients, tmp_path_factory):
    """Load the five clinics' folders one after another; returns the registry's path and the report of each."""
    place = tmp_path_factory.mktemp("clinics")
    path = place / "clinics.duckdb"
    Registry.create(path, key=b"an open secret of the test suite").close()
    folders = sources.write_clinics(synthetic_patients, place / "files")
    reports = {folder.name: load(path, [folder]) for folder in folders}
    derive(path)
    return path, reports


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path):
    for name, design in (("a", SMALL), ("b", SMALL), ("c", dataclasses.replace(SMALL, seed=4))):
        drawn = simulate(design)
        sources.write_template(drawn, tmp_path / name / "template")
        sources.write_clinics(drawn, tmp_path / name / "clinics")
    digests = [sources.digest(tmp_path / name) for name in "abc"]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("centre", CENTRES)
def test_every_row_of_every_clinic_is_accepted_but_those_planted(clinics, centre):
    report = clinics[1][centre]
    assert report.rows_in == report.accepted + report.rejected
    assert report.rejected == (len(DEFECTS) if centre == "GLA" else 0)


@pytest.mark.parametrize(("file", "rule"), [(file, rule) for file, _, rule in DEFECTS], ids=lambda x: x)
def test_each_planted_defect_is_refused_for_its_own_reason(clinics, file, rule):
    rejections = clinics[1]["GLA"].rejections
    assert len(set(rejections["rule"])) >= len({r for _, _, r in DEFECTS})
    found = rejections.filter((rejections["file"] == f"{file}.csv") & (rejections["rule"] == rule))
    assert found.height == 1
    assert found["line"][0] > 1


@pytest.mark.parametrize(
    "query",
    [
        "select patient_key, birth_year, sex, height_cm, enrolment_date from record.patient",
        "select id, site, side, kind from record.target",
        "select id, course_no, programme, planned_sessions from record.course",
        "select id, session_no, date, intent, route, guidance, dose_viable_million from record.treatment_session",
        "select scale, date, value, unit from record.measurement",
        "select id, item, date, answer from record.item_response",
        "select id, date, kind from record.event",
        "select id, date, scheme, grade, reader from record.stage_assessment",
        "select id, date, decision, cost_barrier from record.decision",
        "select course_id, scale, day, value, worse100 from course.score",
        "select course_id, status from summary.course_status",
        "select course_id, confirmation, early_visits, left_day, right_day, status from endpoint.response",
    ],
    ids=lambda query: query.split()[-1],
)
def test_five_layouts_give_the_record_that_the_template_gives(clinics, six_programmes, query):
    with Registry.open(clinics[0]) as other:
        assert other.sql(f"{query} order by all").rows() == six_programmes.sql(f"{query} order by all").rows()


def test_both_registries_count_the_same(clinics, six_programmes):
    with Registry.open(clinics[0]) as other:
        assert other.counts() == six_programmes.counts()
        assert other.data_cut == six_programmes.data_cut
