"""The catalogues as data: they refer to what exists, every row has a source, and a name never changes its meaning."""

import duckdb
import polars as pl
import pytest

from registry import catalogue
from registry.errors import UsageError
from registry.tables import TABLES


@pytest.fixture(scope="module")
def con():
    with duckdb.connect() as con:
        catalogue.create(con)
        yield con


@pytest.mark.parametrize("name", catalogue.KEYS)
def test_the_key_of_every_catalogue_names_one_row(name):
    frame = catalogue.read(name)
    assert frame.select(catalogue.KEYS[name]).is_duplicated().sum() == 0
    optional = {"version"}
    assert frame.select(c for c in catalogue.KEYS[name] if c not in optional).null_count().row(0).count(0) == len(
        [c for c in catalogue.KEYS[name] if c not in optional]
    )


@pytest.mark.parametrize(
    ("table", "column", "to_table", "to_column"),
    [
        ("definition_arm", "definition", "definition", "definition"),
        ("definition_criterion", "definition", "definition", "definition"),
        ("definition_criterion", "scale", "scale", "scale"),
        ("definition_criterion", "domain", "programme_scale", "domain"),
        ("programme", "definition", "definition", "definition"),
        ("programme_scale", "scale", "scale", "scale"),
        ("programme_scale", "programme", "programme", "programme"),
        ("programme_scheme", "scheme", "stage_map", "scheme"),
        ("programme_visit", "programme", "programme", "programme"),
        ("programme_event", "programme", "programme", "programme"),
        ("stage", "programme", "programme", "programme"),
        ("item", "scale", "scoring", "scale"),
        ("item", "instrument", "scale", "instrument"),
        ("scoring", "scale", "scale", "scale"),
        ("unit_conversion", "scale", "scale", "scale"),
        ("loss_definition", "programme", "programme", "programme"),
        ("loss_definition", "domain", "programme_scale", "domain"),
    ],
)
def test_what_a_catalogue_refers_to_exists(con, table, column, to_table, to_column):
    missing = con.sql(
        f"select distinct {column} from catalogue.{table} where {column} is not null "
        f"and {column} not in (select {to_column} from catalogue.{to_table})"
    )
    assert missing.fetchall() == []


@pytest.mark.parametrize(
    ("what", "query"),
    [
        ("an arm has as many criteria as it needs", "select a.definition, a.arm from catalogue.definition_arm a left join catalogue.definition_criterion c using (definition, arm) group by all having count(c.criterion) < any_value(a.n_needed)"),
        ("a criterion belongs to an arm", "select definition, arm from catalogue.definition_criterion anti join catalogue.definition_arm using (definition, arm)"),
        ("every definition has an arm", "select definition from catalogue.definition anti join catalogue.definition_arm using (definition)"),
        ("a criterion names a domain or a scale", "from catalogue.definition_criterion where (domain is null) = (scale is null)"),
        ("a criterion asks for something", "from catalogue.definition_criterion where coalesce(improvement_min, relative_min, level) is null"),
        ("a basis is known", "from catalogue.definition_criterion where basis not in ('worse100', 'native')"),
        ("a stage of a programme's scheme is one of its stages", "select p.programme, m.stage from catalogue.programme_scheme p join catalogue.stage_map m using (scheme) where m.stage_map = 'default' and m.scheme <> 'self_assessment_band' and not exists (from catalogue.stage s where s.programme = p.programme and s.stage = m.stage)"),
        ("a programme without a scheme has one stage", "select programme from catalogue.stage anti join catalogue.programme_scheme using (programme) group by all having count(*) > 1"),
        ("a scoring rule knows its items", "select scale from catalogue.scoring join catalogue.item using (scale) group by scale having count(*) <> any_value(n_items)"),
        ("a rule needs no more items than there are", "from catalogue.scoring where n_needed > n_items or n_needed < 1"),
        ("a score from items lies on its scale", "select scale from catalogue.scoring join catalogue.scale using (scale) where least(score_at_low, score_at_high) <> low or greatest(score_at_low, score_at_high) <> high"),
        ("a scale has a direction", "from catalogue.scale where direction not in ('higher_better', 'lower_better', 'none') or low >= high"),
        ("an instrument, version and subscale is one scale", "select instrument, version, subscale from catalogue.scale group by all having count(*) > 1"),
        ("a visit lies in its window", "from catalogue.programme_visit where target_day not between window_low_day and window_high_day"),
        ("an event kind is a code", "from catalogue.programme_event where kind not in (select code from catalogue.vocabulary where vocabulary = 'event_kind')"),
        ("an event role is known", "from catalogue.programme_event where role not in ('end', 'death', 'switch', 'rescue', 'stop')"),
        ("a conversion is a positive factor", "from catalogue.unit_conversion where factor <= 0"),
        ("a scheme may have a stage for every grade", "from catalogue.stage_map where stage is null"),
    ],
)  # fmt: skip
def test_the_catalogues_agree_with_each_other(con, what, query):
    assert con.sql(query).fetchall() == [], what


@pytest.mark.parametrize(
    "name", ["scale", "scoring", "unit_conversion", "stage_map", "programme", "definition", "loss_definition"]
)
def test_every_row_that_claims_something_has_a_source(name):
    assert catalogue.read(name)["source"].null_count() == 0


@pytest.mark.parametrize("name", ["scale", "scoring", "stage_map", "definition", "loss_definition"])
def test_whether_a_source_was_checked_is_said(name):
    assert set(catalogue.read(name)["verified"]) <= {"true", "false"}
    to_verify = pl.col("source").str.contains("to verify") & (pl.col("verified") == "true")
    assert catalogue.read(name).filter(to_verify).height == 0


def test_every_list_that_a_column_names_exists(con):
    lists = {c.info["vocabulary"] for t in TABLES for c in t.__table__.columns if c.info.get("vocabulary")}
    held = set(catalogue.read("vocabulary")["vocabulary"])
    other = {f"{name}.{c}" for name in catalogue.KEYS for c in catalogue.read(name).columns}
    assert lists <= held | other
    assert held - lists == set(), "a list that no column uses"


def test_every_rule_and_defect_names_a_table_and_column_of_the_record():
    columns = {str(t.__tablename__): {c.name for c in t.__table__.columns} | set(t.__source__.key) for t in TABLES}
    for table, column in catalogue.read("load_rule").select("table_name", "column_name").iter_rows():
        assert column in columns[table] | {"site", "side"}
    assert set(catalogue.read("defect")["table_name"]) <= columns.keys()


HEADER = ",".join(catalogue.read("scale").columns)


def extend(tmp_path, con, text, name="scale"):
    (tmp_path / f"{name}.csv").write_text(text)
    return catalogue.extend(con, tmp_path)


def test_a_clinic_adds_scales_of_its_own_once(tmp_path, con):
    text = f"{HEADER}\nours,Ours,,,Our scale,pain,mm,0,100,lower_better,free,,our clinic,false\n"
    con.execute("begin")
    assert extend(tmp_path, con, text) == {"scale": 1}
    assert extend(tmp_path, con, text) == {"scale": 0}
    assert con.sql("select label, high from catalogue.scale where scale = 'ours'").fetchall() == [("Our scale", 100)]
    con.execute("rollback")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("scale", f"{HEADER}\nPtGA,PtGA,,,Another,global,mm,0,50,lower_better,free,,our clinic,false\n", "already in the catalogue with other content"),
        ("scale", "scale,label\nours,Ours\n", "Make the header the same"),
        ("scales", f"{HEADER}\n", "There is no catalogue 'scales'"),
    ],
)  # fmt: skip
def test_a_name_that_means_something_else_here_is_refused(tmp_path, con, name, text, said):
    before = con.sql("from catalogue.scale").fetchall()
    with pytest.raises(UsageError, match=said):
        extend(tmp_path, con, text, name)
    assert con.sql("from catalogue.scale").fetchall() == before


def test_a_mapping_brings_its_catalogue_and_a_scale_of_its_own_can_be_loaded(clinic, refusals):
    clinic.write_good("centres", "patients", "targets")
    (clinic.folder / "ours").mkdir()
    clinic.write(
        "ours/scale.csv", f"{HEADER}\nours,Ours,,,Our scale,pain,mm,0,100,lower_better,free,,our clinic,false\n"
    )
    clinic.load()
    scores = clinic.write("x.csv", "p,d,v\nMRN-4711,2022-05-03,40\n")
    mapping = clinic.write(
        "map.toml",
        """
        catalogue = "ours"
        [[table]]
        file = "x.csv"
        table = "measurements"
        columns = { patient = "p", date = "d", value = "v", instrument = { value = "Ours" } }
    """,
    )
    assert refusals(clinic.load(scores, mapping_file=mapping)) == []
    assert clinic.sql("select scale from record.measurement")["scale"].to_list() == ["ours"]
