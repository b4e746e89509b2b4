"""What real files needed of the mapping language: no patient number, repeated flags, empty cells with a meaning."""

from pathlib import Path

import polars as pl
import pytest

from registry import mapping
from registry.errors import MappingError

ROWS = pl.DataFrame(
    {"who": ["a", "a", "b", "b"], "day": ["1", "2", "1", "3"], "cut": ["0", "1", "1", "1"], "line": [2, 3, 4, 5]},
    schema_overrides={"line": pl.Int32},
)
EVENT = '[[table]]\nfile = "f.csv"\ntable = "events"\n'
COLUMNS = '[table.columns]\ndate = "day"\nkind = { value = "surgery" }\n'


def entry(folder: Path, text: str) -> mapping.Entry:
    (folder / "m.toml").write_text(text)
    return mapping.load(folder / "m.toml").entries[0]


def test_the_first_row_of_each_patient_on_which_a_flag_stands_is_the_event(tmp_path):
    text = EVENT + 'where = { cut = "1" }\nfirst_of = "who"\n' + COLUMNS + 'patient = "who"\n'
    mapped = mapping.apply(entry(tmp_path, text), ROWS)
    assert mapped.frame.select("patient", "date", "line").rows() == [("a", "2", 3), ("b", "1", 4)]
    assert (mapped.left_out, mapped.ignored) == (2, [])


def test_a_file_without_patient_numbers_names_them_by_its_lines(tmp_path):
    mapped = mapping.apply(entry(tmp_path, EVENT + COLUMNS + 'patient = { line = true, prefix = "no. " }\n'), ROWS)
    assert mapped.frame["patient"].to_list() == ["no. 2", "no. 3", "no. 4", "no. 5"]


def test_an_empty_cell_can_have_a_code_and_a_code_can_stand_for_nothing(tmp_path):
    text = EVENT + COLUMNS + 'patient = "who"\nreported_by = { column = "cut", codes = { "" = "patient", 1 = "" } }\n'
    rows = ROWS.with_columns(cut=pl.Series([None, "1", "2", None], dtype=pl.String))
    mapped = mapping.apply(entry(tmp_path, text), rows)
    assert mapped.frame["reported_by"].to_list() == ["patient", None, "2 [no code in the mapping]", "patient"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [("patient = { line = 3 }\n", "write line = true"), ('patient = { prefix = "x" }\n', "value, anchor or line")],
)
def test_a_wrong_source_of_a_patient_number_is_explained(wrong, said, tmp_path):
    with pytest.raises(MappingError, match=said):
        entry(tmp_path, EVENT + COLUMNS + wrong)


def test_a_column_named_in_first_of_that_the_file_lacks_is_said(tmp_path):
    mapped = mapping.apply(entry(tmp_path, EVENT + 'first_of = "nobody"\n' + COLUMNS + 'patient = "who"\n'), ROWS)
    assert mapped.lacking == {"nobody": "first_of"}
