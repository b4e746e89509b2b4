"""Dose and response: the truth of a world in which the sicker get more cells, and refusals where nothing can be said."""

import datetime as dt
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from analysis import dose_response, estimand
from analysis.numerics.splines import restricted_cubic
from registry import Registry, derive
from registry.errors import NotEstimable, UsageError
from registry.ingest import load
from reports.cli import app

KEY = b"an open secret of the test suite"
START = dt.date(2022, 6, 1)
VISITS = (0, 90, 180, 365, 550)
SLOPE, SICKER = 0.9, -0.7


def world(folder: Path, n: int = 3000, seed: int = 4) -> dict[str, np.ndarray]:
    """Write files of a clinic that gives the sicker more cells: dose helps, severity hinders, both act on one hazard."""
    rng = np.random.default_rng(seed)
    z = np.clip(rng.normal(size=n), -1.8, 1.8)
    dose = np.round(np.exp(rng.normal(np.log(60) + 0.45 * z, 0.5)), 1)
    hazard = 0.0016 * np.exp(SLOPE * np.log10(dose / 60) + SICKER * z)
    response = rng.exponential(1 / hazard)
    pain = 55 + 12 * z
    who = [f"P{i:05d}" for i in range(n)]
    frames = {
        "centres": pl.DataFrame({"centre": ["A"]}),
        "patients": pl.DataFrame(
            {"patient": who, "centre": "A", "birth_year": rng.integers(1940, 1985, n),
             "sex": rng.choice(["female", "male"], n), "enrolment_date": START - dt.timedelta(30)}
        ),
        "targets": pl.DataFrame({"patient": who, "site": "knee", "side": "left", "kind": "joint"}),
        "stages": pl.DataFrame(
            {"patient": who, "site": "knee", "side": "left", "date": START - dt.timedelta(10), "scheme": "KL",
             "grade": np.where(rng.random(n) < 0.5, "2", "3"), "reader": "R1"}
        ),
        "courses": pl.DataFrame(
            {"patient": who, "site": "knee", "side": "left", "course_no": 1, "programme": "osteoarthritis"}
        ),
        "products": pl.DataFrame(
            {"product": ["X"], "donor": "autologous", "origin": "bone_marrow", "separation": "centrifuge", "expanded": "no"}
        ),
        "sessions": pl.DataFrame(
            {"patient": who, "site": "knee", "side": "left", "course_no": 1, "session_no": 1, "date": START,
             "intent": "initial", "route": "intra_articular", "guidance": "ultrasound", "product": "X",
             "dose_viable_million": dose}
        ),
    }  # fmt: skip
    parts = []
    for day in VISITS:
        seen = rng.random(n) < (1.0 if day == 0 else 0.9)
        better = np.where(response <= day, 32.0, 0.0)
        for instrument, subscale, value in (
            ("KOOS", "pain", 100 - pain + better), ("KOOS", "adl", 100 - pain + better), ("PtGA", None, pain - better)
        ):  # fmt: skip
            parts.append(
                pl.DataFrame({"patient": who, "site": "knee", "side": "left", "date": START + dt.timedelta(day),
                              "instrument": instrument, "subscale": pl.Series([subscale] * n, dtype=pl.String),
                              "value": np.round(np.clip(value, 0, 100), 1)}).filter(pl.Series(seen))
            )  # fmt: skip
    frames["measurements"] = pl.concat(parts)
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in frames.items():
        frame.write_csv(folder / f"{name}.csv")
    (folder / "load.toml").write_text("extracted_on = 2024-12-31\n")
    return {"z": z, "dose": dose}


def true_risk(z: np.ndarray, dose: float, day: float = 365.0) -> float:
    return float(1 - np.exp(-0.0016 * day * np.exp(SLOPE * np.log10(dose / 60) + SICKER * z)).mean())


@pytest.fixture(scope="module")
def sick_get_more(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dose")
    drawn = world(folder / "files")
    path = folder / "dose.duckdb"
    Registry.create(path, key=KEY).close()
    assert load(path, [folder / "files"]).rejected == 0
    derive(path)
    return path, drawn


@pytest.fixture
def knees(sick_get_more):
    with Registry.open(sick_get_more[0]) as registry:
        yield registry.courses(programme="osteoarthritis")


def number(result, quantity, stratum, column="estimate"):
    found = result.frame.filter(pl.col("quantity") == quantity, pl.col("stratum") == stratum)
    return found[column][0]


def test_what_each_dose_would_do_is_found_although_the_sicker_got_more(knees, sick_get_more):
    """Truth: the mean over everybody of 1 - exp(-hazard × 365) under each dose, from the law that drew them."""
    result = dose_response(knees, at_million=(30.0, 120.0), covariates=("baseline",))
    z = sick_get_more[1]["z"]
    for stage in ("early", "moderate"):
        for dose in (30, 120):
            name = f"response at {dose} million"
            low, high = number(result, name, stage, "low"), number(result, name, stage, "high")
            spread = (high - low) / 3.92
            # Three standard errors, and 0.01 for what visits ninety days apart hide.
            assert abs(number(result, name, stage) - true_risk(z, dose)) < 3 * spread + 0.01
        gain = number(result, "difference 120 - 30 million", stage)
        assert abs(gain - (true_risk(z, 120) - true_risk(z, 30))) < 0.08
        naive = number(result, "unadjusted at 120 million", stage) - number(result, "unadjusted at 30 million", stage)
        assert naive < gain - 0.06, "without the reason for the dose it looks worse than it is"
    tests = dict(result.frame.filter(pl.col("quantity") == "test").select("note", "estimate").iter_rows())
    p = {note.split(":")[0]: value for note, value in tests.items()}
    assert p["dose does not matter"] < 1e-4
    assert p["straight in log10 dose"] > 0.01 and p["dose acts alike in all strata"] > 0.01


def test_how_much_of_the_dose_the_covariates_tell_is_said(knees):
    told = dose_response(knees, covariates=("baseline",)).diagnostics.filter(
        pl.col("check").str.starts_with("dose told")
    )
    # Var(0.45 z) / (Var(0.45 z) + 0.5²), z cut at ±1.8: about 0.42.
    assert told["value"][0] == pytest.approx(0.42, abs=0.05) and told["passed"][0]


def test_bands_figure_estimand_and_command(knees, sick_get_more, tmp_path):
    result = dose_response(knees)
    bands = result.frame.filter(pl.col("quantity").str.contains("response [<>5]"), pl.col("stratum") == "early")
    assert bands["quantity"].to_list() == ["response <50 million", "response 50-100 million", "response >100 million"]
    assert (bands["n"] <= bands["denominator"]).all() and bands["estimate"].null_count() == 0
    figure = result.plot()
    assert "by dose" in figure.alt_text and "Early" in figure.alt_text
    top, below = figure.axes
    words = "thin line: not adjusted; triangles: knots of the curve"
    assert figure._supxlabel.get_text() == f"Band: 95 % CI; {words}"
    (knots,) = (line for line in top.lines if line.get_marker() == "^")
    assert knots.get_xdata().tolist() == result.settings["knots_million"]
    # A thick line a stratum, and a thin one for the same not adjusted, ending elsewhere.
    thick, thin = ([line for line in top.lines if line.get_linewidth() == width] for width in (1.8, 0.7))
    assert len(thick) == len(thin) >= 2
    assert any(abs(a.get_ydata()[-1] - b.get_ydata()[-1]) > 0.01 for a, b in zip(thick, thin, strict=True))
    heights = [bar.get_height() for bar in below.patches]
    given = result.curves.filter(pl.col("quantity").str.starts_with("doses given"))
    assert heights == given["n"].to_list() and 0.85 < sum(heights) / given["denominator"][0] < 0.95
    smallest = int(min(heights)) + 1
    few = sum(n < smallest for n in heights)
    assert few and len(result.suppress(smallest).plot().axes[1].patches) == len(heights) - few
    assert "each dose of" in estimand(result)["value"][0]
    assert result.suppress().frame.height
    out = tmp_path / "dose.png"
    done = CliRunner().invoke(app, ["analyse", str(sick_get_more[0]), "dose-response", "--figure", str(out)])
    assert done.exit_code == 0, done.output
    assert out.stat().st_size > 10_000


def test_a_dose_that_few_had_has_no_number_but_a_reason(knees):
    result = dose_response(knees, at_million=(60.0, 5000.0))
    assert number(result, "response at 5000 million", "early") is None
    assert "fewer than 10 courses" in number(result, "response at 5000 million", "early", "note")
    assert number(result, "response at 60 million", "early") is not None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dose": "total"}, "dose = 'total' is not known"),
        ({"covariates": ("stage",)}, "not 'stage', which separates the strata"),
        ({"covariates": ("age", "age")}, "names one twice"),
        ({"by": "dose_band"}, "The dose is the question"),
        ({"at_million": (0.0, 10.0)}, "above 0"),
        ({"at_million": "50"}, "millions of viable cells"),
        ({"horizon_day": (9000,)}, "Nobody was watched to day 9000"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_the_reason(knees, options, said):
    with pytest.raises((UsageError, NotEstimable), match=said):
        dose_response(knees, **options)


def test_one_dose_for_all_or_none_recorded_is_refused(tmp_path):
    world(tmp_path / "files", n=60)
    sessions = pl.read_csv(tmp_path / "files" / "sessions.csv").with_columns(dose_viable_million=pl.lit(50.0))
    sessions.write_csv(tmp_path / "files" / "sessions.csv")
    path = tmp_path / "one.duckdb"
    Registry.create(path, key=KEY).close()
    load(path, [tmp_path / "files"])
    derive(path)
    with Registry.open(path) as registry, pytest.raises(NotEstimable, match="all are the same"):
        dose_response(registry.courses())


def test_a_dose_of_0_leaves_with_that_reason_and_the_flow_adds_up(tmp_path):
    world(tmp_path / "files", n=400)
    path = tmp_path / "sessions.duckdb"
    sessions = pl.read_csv(tmp_path / "files" / "sessions.csv")
    none = pl.int_range(pl.len()) % 5 == 0
    sessions = sessions.with_columns(dose_viable_million=pl.when(none).then(0.0).otherwise("dose_viable_million"))
    sessions.write_csv(tmp_path / "files" / "sessions.csv")
    Registry.create(path, key=KEY).close()
    load(path, [tmp_path / "files"])
    derive(path)
    with Registry.open(path) as registry:
        result = dose_response(registry.courses(), covariates=("age",))
    assert dict(result.attrition.iter_rows())["dose is 0"] == 80
    assert result.attrition["n"][0] - result.attrition["n"][1:-1].sum() == result.attrition["n"][-1]
    test = result.frame.filter(pl.col("quantity") == "test")["denominator"][0]
    assert test == result.attrition["n"][-1]


def test_a_restricted_cubic_spline_is_straight_beyond_its_outer_knots_and_smooth_between():
    knots = np.array([1.0, 2.0, 4.0, 7.0])
    outside = restricted_cubic(np.array([-3.0, -2.0, -1.0, 8.0, 9.0, 10.0]), knots)
    assert outside.shape == (6, 3)
    np.testing.assert_allclose(np.diff(outside[:3], 2, axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(np.diff(outside[3:], 2, axis=0), 0, atol=1e-9)
    # By hand (Harrell, eq. 2.25) at x = 3: ((3-1)^3 - (3-4)+^3 ... ) / (7-1)^2 with the terms of later knots zero.
    inside = restricted_cubic(np.array([3.0]), knots)[0]
    np.testing.assert_allclose(inside, [3.0, 8 / 36, 1 / 36])
    with pytest.raises(ValueError, match="two or more increasing knots"):
        restricted_cubic(np.array([1.0]), np.array([1.0]))
