"""One centre alone: its rows, all of them, and nothing of another."""

import pytest
from polars.testing import assert_frame_equal

from registry import Registry
from registry.errors import UsageError


@pytest.fixture(scope="module")
def apart(synthetic_file):
    with Registry.open(synthetic_file) as whole:
        codes = whole.sql("select distinct centre from course.profile order by 1")["centre"].to_list()
        parts = {code: Registry.open(synthetic_file, centre=code) for code in codes}
        yield whole, parts
        for part in parts.values():
            part.close()


def test_the_centres_together_are_the_registry(apart):
    whole, parts = apart
    assert len(parts) >= 3
    for table, n in whole.counts().items():
        held = [part.counts()[table] for part in parts.values()]
        # A product may be given at several centres.
        assert sum(held) >= n if table in ("product", "processing", "release_test") else sum(held) == n, table
    assert sum(part.check().height for part in parts.values()) == whole.check().height


def test_what_is_derived_of_a_centre_is_what_was_derived_of_its_patients_among_all(apart):
    whole, parts = apart
    for table in ("course.profile", "summary.course_status", "endpoint.response"):
        for code, part in parts.items():
            of_all = whole.sql(
                f"select t.* from {table} t join course.profile p using (course_id) where p.centre = '{code}' order by all"
            )
            assert of_all.height > 0
            assert_frame_equal(part.sql(f"from {table} order by all"), of_all)


def test_no_row_and_no_product_of_another_centre_is_seen(apart):
    whole, parts = apart
    for code, part in parts.items():
        assert part.sql("select distinct centre from record.centre")["centre"].to_list() == [code]
        given = whole.sql(
            "select distinct s.product_id from record.treatment_session s join record.patient p on p.id = s.patient_id "
            f"join record.centre c on c.id = p.centre_id where c.centre = '{code}'"
        )["product_id"]
        assert set(part.sql("select id from record.product")["id"]) == set(given)
        # All came in one load: of which centre a refused row was is not known.
        assert part.rejections().height == 0 and part.sql("from log.load").height == 1


def test_a_centre_that_is_not_there_is_told_with_those_that_are(synthetic_file):
    with pytest.raises(UsageError, match="ZRH"):
        Registry.open(synthetic_file, centre="Z")
    with pytest.raises(UsageError, match="One centre alone"):
        Registry.open(synthetic_file, centre="ZRH", as_of=1)
