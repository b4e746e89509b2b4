"""How completely products are described: what is stated, asked of what it applies to, by hand from a few rows."""

import json

import polars as pl
import pytest
from typer.testing import CliRunner

from registry import Registry, catalogue
from registry.reporting import sections
from reports.cli import app

PRODUCTS = (
    "product,donor,origin,separation,expanded,donor_is_patient,regulatory_class,passage,viability_pct\n"
    "BMAC,autologous,bone_marrow,density_gradient,no,yes,US_same_surgical_procedure,,\n"
    "CELLS,allogeneic_unrelated,umbilical_cord_tissue,plastic_adherence,yes,no,US_IND,3,91\n"
)


@pytest.fixture
def described(clinic):
    """Two products: one given twice, once with its volume; one cultured and never given."""
    clinic.write_good()
    files = {
        "products": PRODUCTS,
        "processing": (
            "product,harvest_site,medium,serum,culture_days,donor_age\n"
            "BMAC,iliac_posterior,,,,\nCELLS,,DMEM,hPL,14,30\n"
        ),
        "sessions": (
            "patient,site,side,course_no,session_no,date,intent,route,guidance,product,volume_ml,dose_viable_million\n"
            "MRN-4711,knee,left,1,1,2022-02-01,initial,intra_articular,ultrasound,BMAC,4,\n"
            "MRN-4711,knee,left,1,2,2022-03-01,planned_series,intra_articular,ultrasound,BMAC,,\n"
        ),
    }
    for name, content in files.items():
        clinic.write(name, content)
    report = clinic.load()
    assert report.rejected == 0, report.rejections.to_dicts()
    return Registry.open(clinic.path)


def shares(found, product):
    return {r["item"]: (r["n"], r["stated"]) for r in found.filter(product=product).iter_rows(named=True)}


def test_each_item_is_counted_on_its_own_unit(described):
    found = shares(described.reporting(), "BMAC")
    # Two sessions, one course, one product.
    assert found["volume"] == (2, 1) and found["dose"] == (2, 0) and found["guidance"] == (2, 2)
    assert found["age_and_sex"] == (1, 1) and found["earlier_treatment"] == (1, 1) and found["care_after"] == (1, 1)
    assert found["harvest_site"] == (1, 1) and found["anticoagulant"] == (1, 0)
    # The product's own column is empty; a release test says 92 %. No other test was done.
    assert found["viability"] == (1, 1) and found["sterility"] == (1, 0) and found["markers"] == (1, 0)


def test_what_does_not_apply_is_not_asked(described):
    frame = described.reporting()
    own, cells = shares(frame, "BMAC"), shares(frame, "CELLS")
    # The donor is the patient; nothing was cultured.
    assert not {"donor_age_and_sex", "donor_screening", "oxygen", "time_in_culture"} & own.keys()
    assert cells["medium_and_serum"] == (1, 1) and cells["oxygen"] == (1, 0) and cells["time_in_culture"] == (1, 1)
    assert cells["donor_age_and_sex"] == (1, 0)  # the age without the sex
    # Never given: nothing is asked of recipients and deliveries.
    assert not {"age_and_sex", "diagnosis", "dose", "score_before"} & cells.keys()


def test_items_of_a_section_count_the_same(described):
    table = sections(described.reporting())
    found = dict(table.filter(product="CELLS").select("section", "share").iter_rows())
    # Donor: relation yes, age and sex no, screening no. Characteristics: viability yes; markers, CFU, sterility no.
    assert found["donor"] == pytest.approx(1 / 3) and found["characteristics"] == pytest.approx(1 / 4)
    assert found["culture"] == pytest.approx(2 / 3)
    # DOSES: relation, origin, separation, viability; not age and sex, not markers.
    assert found["DOSES"] == pytest.approx(4 / 6)
    assert "delivery" not in found
    # Abed 2024: the mean of all items of 27 trials; of no section by itself.
    assert dict(table.filter(product="CELLS").select("section", "published").iter_rows())["all"] == 0.705
    assert (
        table.filter(pl.col("section") != "all")["published"].null_count()
        == table.filter(pl.col("section") != "all").height
    )


def test_every_section_of_mibo_but_the_design_is_asked_and_every_item_says_what_it_means():
    asked = catalogue.read("reporting_item")
    assert asked["section"].n_unique() == 11
    assert asked.select("unit", "meaning", "stated").null_count().row(0) == (0, 0, 0)
    assert set(asked["guideline"].unique()) == {"MIBO", "DOSES and MIBO"}


def test_the_command_shows_sections_by_product_and_what_is_never_stated(described):
    shown = CliRunner().invoke(app, ["reporting", str(described.path)])
    assert shown.exit_code == 0
    line = next(line for line in shown.output.splitlines() if line.startswith("donor"))
    assert line.split() == ["donor", "100", "%", "33", "%"]
    every = next(line for line in shown.output.splitlines() if line.startswith("all"))
    assert every.endswith("(trials: 70.5 %)") and "70.5 % (30.2 to 90.6 %) of a 53-point MIBO list" in shown.output
    assert "Never stated:" in shown.output and "anticoagulant" in shown.output
    rows = json.loads(CliRunner().invoke(app, ["reporting", str(described.path), "--json"]).output)["reporting"]
    assert pl.DataFrame(rows).height == described.reporting().height
