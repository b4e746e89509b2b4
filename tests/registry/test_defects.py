"""Checks across rows: each row was good alone, but rows contradict each other, or one that should be there is not.

Each check is shown to find its own kind of row, and good files to have no contradiction.
"""

import datetime as dt

import pytest

from registry import Registry, catalogue, checks, ingest
from registry.errors import UsageError
from tests.registry.conftest import GOOD

S = "MRN-4711,knee,left,1,{no},{date},{intent},intra_articular,ultrasound,{product}\n"
M = "MRN-4711,knee,left,{date},{scale},{value},\n"
PAIN = "KOOS,,pain"


def session(date, no=2, intent="planned_series", product="BMAC"):
    return {"sessions": S.format(no=no, date=date, intent=intent, product=product)}


def score(*dated, scale=PAIN):
    return {"measurements": "".join(M.format(date=date, scale=scale, value=value) for date, value in dated)}


def weight(*dated):
    return {"measurements": "".join(f"MRN-4711,,,{date},body_weight,,,{value},kg\n" for date, value in dated)}


def event(date, kind, target="knee,left"):
    return {"events": f"MRN-4711,{target},{date},{kind}\n"}


DEATH = event("2023-11-01", "death", ",")
HARMS = "patient,site,side,onset_date,category,ctcae_grade,related_product\n"
DECISIONS = "patient,site,side,date,decision\n"
DOSED = (
    "patient,site,side,course_no,session_no,date,intent,route,guidance,product,dose_total_million,dose_viable_million\n"
)
VIABLE = (
    "product,donor,origin,separation,expanded,donor_is_patient,regulatory_class,viability_pct\n"
    "BMAC,autologous,bone_marrow,density_gradient,no,yes,US_same_surgical_procedure,{}\n"
)
DOSES = [60] * 20 + [60_000]
ANOTHER = "MRN-4711,knee,left,2,osteoarthritis\n"

# Rows added to the good files (a value with a header of its own replaces the file), by the check that must find them.
CASES = {
    "failed_product_given": {"release_tests": "BMAC,sterility,2022-01-20,fail,,,,,2022-01-30\n"},
    "release_test_pending": {"release_tests": "BMAC,sterility,2022-02-01,pending,,,,,\n"},
    "score_after_replacement": score(("2023-07-30", 60)),
    "session_after_replacement": session("2023-08-01"),
    "booster_without_decision": session("2022-09-01", intent="booster_regression"),
    "course_without_session": {"courses": ANOTHER},
    "product_donor_conflict": {"products": "WJ,autologous,whartons_jelly,mechanical,no,yes,US_361\n"},
    "item_and_score_disagree": {"items": "".join(f"MRN-4711,knee,left,2022-05-03,KOOS,,P{i},4\n" for i in range(1, 10))},
    "after_death": {**DEATH, "visits": "MRN-4711,knee,left,2023-12-01,,done\n"},
    "score_after_death": {**DEATH, **score(("2023-12-01", 60))},
    "session_after_death": {**DEATH, **session("2023-12-01")},
    "overlapping_courses": {
        "courses": ANOTHER,
        "sessions": session("2022-03-15")["sessions"] + S.replace(",1,{no}", ",2,1").format(date="2022-03-01", intent="initial", product="BMAC"),
    },
    "course_without_stage": {"stages": "patient,site,side,date,scheme,grade,reader\nMRN-4711,knee,left,2019-01-10,KL,3,R1\n"},
    "course_without_baseline": {"measurements": GOOD["measurements"].split("\n")[0] + "\n" + score(("2022-05-03", 72))["measurements"]},
    "course_without_follow_up": {"measurements": GOOD["measurements"].split("\n")[0] + "\n" + score(("2022-01-20", 41))["measurements"]},
    "target_without_condition": {},
    "target_without_course": {},
    "product_never_given": {"products": "SVF,autologous,adipose_SVF,enzymatic,no,yes,US_IND\n"},
    "scale_of_another_programme": score(("2022-05-03", 50), scale="VISA-A,,"),
    "unit_not_given": score(*((f"2022-05-{day:02d}", 6.1) for day in range(1, 11)), scale="PtGA,,"),
    "unknown_planned_visit": {"visits": "MRN-4711,knee,left,2022-06-03,17 weeks,done\n"},
    "session_numbers_with_gaps": session("2022-03-15", no=4),
    "duration_and_onset_disagree": {"conditions": "patient,site,side,diagnosis,onset_date,symptom_months\nMRN-4711,knee,left,primary_OA,2020-01,120\n"},
    "viability_and_doses_disagree": {
        "products": VIABLE.format(95),
        "sessions": DOSED + "MRN-4711,knee,left,1,1,2022-02-01,initial,intra_articular,ultrasound,BMAC,100,50\n",
    },
    "possible_duplicate_patient": {"patients": "MRN-4713,ZRH,1960,female,165,2022-01-01\n"},
    "two_deaths": {"events": DEATH["events"] + event("2023-12-01", "death", ",")["events"]},
    "two_replacements": event("2023-09-01", "TKA"),
    "two_sessions_on_a_day": session("2022-02-01"),
    "two_versions_on_a_day": {"measurements": "MRN-4711,knee,left,2022-05-03,WOMAC,LK3.1,pain,5,\nMRN-4711,knee,left,2022-05-03,WOMAC,NRS3.1,pain,40,\n"},
    "replaced_before_treatment": event("2022-01-15", "UKA"),
    "harm_before_treatment": {"adverse_events": HARMS + "MRN-4711,knee,left,2022-01-15,swelling,1,unlikely\n"},
    "harm_without_relatedness": {"adverse_events": HARMS + "MRN-4711,knee,left,2022-02-15,swelling,1,\n"},
    "decision_before_treatment": {"decisions": DECISIONS + "MRN-4711,knee,left,2022-01-15,booster\n"},
    "booster_decided_not_given": {
        "events": "patient,site,side,date,kind\n",
        "decisions": DECISIONS + "MRN-4711,knee,left,2022-09-15,booster\n",
    },
    "sessions_too_close": session("2022-02-03"),
    "series_too_slow": session("2022-10-03"),
    "recorded_after_withdrawal": {
        "patients": GOOD["patients"].replace("enrolment_date", "enrolment_date,withdrawn_date,withdrawal_scope").replace("165,2022-01-01", "165,2022-01-01,2022-03-01,future_data").replace("180,2022-01-01", "180,2022-01-01,,"),
    },
    "visit_outside_its_window": {"visits": "MRN-4711,knee,left,2022-12-03,3 months,done\n"},
    "visit_without_score": {"visits": "MRN-4711,knee,left,2022-08-03,6 months,done\n"},
    "sudden_change": score(("2022-05-20", 100), ("2022-06-01", 10)),
    "same_value_again_and_again": score(("2022-06-20", 50), ("2022-07-20", 50), ("2022-08-20", 50), ("2022-09-20", 50)),
    "body_weight_jumps": weight(("2022-02-01", 80), ("2022-05-01", 120)),
    "body_mass_not_believable": weight(("2022-02-01", 30)),
    "age_not_believable": {"patients": GOOD["patients"].replace("1960", "1915")},
    "dose_far_from_others": {
        "sessions": DOSED + "".join(f"MRN-4711,knee,left,1,{k},2022-{k // 28 + 3:02d}-{k % 28 + 1:02d},planned_series,intra_articular,ultrasound,BMAC,,{dose}\n" for k, dose in enumerate(DOSES, 1)),
    },
    "grade_improved": {"stages": "MRN-4711,knee,left,2022-06-10,KL,1,R1\n", "events": "patient,site,side,date,kind\n"},
    "nothing_to_gain": {"measurements": GOOD["measurements"].replace("41.5", "95")},
    "session_without_dose": {},
    "product_without_viability": {},
    "patient_without_consent": {},
    "questionnaire_too_incomplete": {},
    "treatment_before_target_enrolled": None,
}  # fmt: skip


def found(clinic, rows):
    """Load the good files with `rows` added, or put in place of them, and return what the checks find."""
    clinic.write_good()
    for name, text in rows.items():
        whole = text.startswith(("patient,", "product,"))
        clinic.write(name, text if whole else GOOD[name] + text)
    clinic.load()
    with Registry.open(clinic.path) as registry:
        return registry.check()


def test_every_check_of_the_catalogue_has_its_case():
    assert CASES.keys() == set(catalogue.read("defect")["defect"])


@pytest.mark.parametrize("defect", [d for d, rows in CASES.items() if rows is not None])
def test_each_check_finds_its_own_kind_of_row_and_leads_to_its_line(clinic, defect):
    here = found(clinic, CASES[defect]).filter(defect=defect)
    assert here.height >= 1, f"{defect} was not found"
    assert here.select("message", "load", "file", "line").null_count().row(0) == (0, 0, 0, 0)


def test_good_files_have_no_contradiction_and_only_the_gaps_they_have(clinic):
    gaps = found(clinic, {})
    assert set(gaps["severity"]) == {"warning"}
    assert set(gaps["category"]) <= {"completeness", "conformance"}


def in_centimetres(values, unit=""):
    rows = "".join(f"MRN-4711,knee,left,2022-05-{d:02d},PtGA,,,{v},{unit}\n" for d, v in enumerate(values, 1))
    return {"measurements": rows}


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (in_centimetres([6.1] * 19 + [24]), True),  # the typing error of the tutorial among them
        (in_centimetres([6.1] * 18 + [24, 60]), False),
        (in_centimetres([6.1] * 9), False),  # too few to tell
        (in_centimetres([6.1] * 20, "mm"), False),  # said to be so
    ],
)
def test_only_values_without_a_unit_that_nearly_all_look_ten_times_too_small_are_found(clinic, rows, told):
    here = found(clinic, rows).filter(defect="unit_not_given")
    assert here.height == told
    if told:
        assert here["message"][0] == (
            "PtGA: 19 of 20 values without a unit, of centre ZRH, are at most 10.0 mm, a tenth of the scale; in cm?"
        )
        assert (here["file"][0], here["line"][0]) == ("measurements.csv", 5)


def test_a_load_says_which_unit_it_took_where_none_was_given(clinic):
    clinic.write_good()
    clinic.write("measurements", GOOD["measurements"] + in_centimetres([6.1, 5.9])["measurements"])
    (note,) = [n for n in clinic.load().notes if "unit" in n]
    assert note == (
        "measurements.csv: no unit was given for 2 values of PtGA, taken as mm; if they are in cm, say so in the "
        "column unit"
    )
    assert not any("unit" in n for n in clinic.load().notes)  # held already: nothing new was taken


def test_a_session_before_enrolment_is_refused_by_the_loader_already(clinic, refusals):
    """The check stays for records that came in before the loader knew the rule."""
    clinic.write_good()
    clinic.spoil("sessions", "2022-02-01", "2021-12-01")
    assert "before_enrolment" in {r[3] for r in refusals(clinic.load())}


def test_the_catalogue_covers_the_kinds_of_the_framework_with_limits_that_can_be_set(clinic):
    rules = catalogue.read("defect")
    kinds = {tuple(r) for r in rules.select("category", "kind").iter_rows()}
    assert kinds >= {
        ("conformance", "value"), ("conformance", "relational"), ("conformance", "computational"),
        ("completeness", "value"), ("completeness", "record"), ("plausibility", "uniqueness"),
        ("plausibility", "atemporal"), ("plausibility", "temporal"),
    }  # fmt: skip
    assert rules.height >= 24
    for limit, n in ((75, 0), (25, 1)):
        clinic.write_good()
        clinic.write("measurements", GOOD["measurements"] + score(("2022-06-01", 40))["measurements"])
        clinic.load()
        with Registry.open(clinic.path) as registry:
            assert registry.check({"sudden_change": limit}).filter(defect="sudden_change").height == n
            with pytest.raises(UsageError, match="Check with a limit 'two_deaths' is not known"):
                registry.check({"two_deaths": 3})


@pytest.mark.parametrize("defect", ["release_test_pending", "booster_decided_not_given"])
def test_whether_somebody_waits_is_judged_by_the_day_of_their_own_centre(clinic, defect):
    """A later file of another centre tells nothing of what happened in this one since."""
    clinic.write_good()
    clinic.write("decisions", DECISIONS + "MRN-4711,knee,left,2022-09-15,booster\n")
    clinic.write("release_tests", GOOD["release_tests"] + "BMAC,sterility,2022-09-15,pending,,,,,\n")
    clinic.write("events", "patient,site,side,date,kind\n")
    other = clinic.path.parent / "other"
    other.mkdir()
    for name in ("centres", "patients", "targets", "visits"):
        (other / f"{name}.csv").write_text(GOOD[name].replace("ZRH", "DEN").replace("MRN", "DEN"))
    waits = []
    for day, folder in (("2022-09-30", clinic.folder), ("2024-01-01", other), ("2024-01-02", clinic.folder)):
        ingest.load(clinic.path, [folder], extracted_on=dt.date.fromisoformat(day))
        with Registry.open(clinic.path) as registry:
            waits.append(defect in registry.check()["defect"].to_list())
    assert waits == [False, False, True]


def states(clinic):
    with Registry.open(clinic.path) as registry:
        rows = registry.sql(
            "select defect, state, reason from log.finding where defect = 'score_after_replacement'"
        ).rows()
        return rows, registry.check().filter(defect="score_after_replacement").height


def test_a_finding_is_open_then_waived_with_its_reason_and_open_again_when_the_row_changes(clinic):
    found(clinic, score(("2023-07-30", 60)))
    assert checks.keep(clinic.path)["open"] > 0
    assert states(clinic) == ([("score_after_replacement", "open", None)], 1)
    first_seen = clinic.sql("select distinct first_load, first_seen from log.finding").row(0)
    checks.waive(clinic.path, "score_after_replacement", "measurements.csv", 5, reason="the other knee's form, agreed")
    assert clinic.sql("select first_load, first_seen from log.finding where state = 'waived'").row(0) == first_seen
    assert states(clinic) == ([("score_after_replacement", "waived", "the other knee's form, agreed")], 0)
    assert checks.keep(clinic.path)["waived"] == 1 and states(clinic)[1] == 0
    clinic.spoil("events", "2023-06", "2023-07")
    clinic.write("events", "patient,site,side,date,kind\nMRN-4711,knee,left,2023-07-01,UKA\n")
    clinic.load()
    assert states(clinic)[1] >= 1


def test_a_finding_that_is_mended_is_fixed_and_the_numbers_are_followed_over_time(clinic):
    found(clinic, score(("2023-07-30", 60)))
    checks.keep(clinic.path)
    from registry.history import retract

    retract(clinic.path, "measurements.csv", [5], reason="wrong knee")
    assert checks.keep(clinic.path)["fixed"] >= 1
    with Registry.open(clinic.path) as registry:
        told = (
            checks.over_time(registry.con)
            .filter(defect="score_after_replacement")
            .select("load_id", "n_open", "n_fixed")
        )
        assert told.rows() == [(1, 1, 0), (2, 0, 1)]
        assert registry.sql("select state from log.finding where defect = 'score_after_replacement'")[
            "state"
        ].to_list() == ["fixed"]
        assert registry.verify().problems == ()


def test_what_cannot_be_waived_is_said(clinic):
    found(clinic, {})
    for arguments, why in (
        (("score_after_replacement", "measurements.csv", 2, "x"), "has no open finding at measurements.csv, line 2"),
        (("score_after_replacement", "measurements.csv", 2, " "), "Say why the finding"),
        (("no_such_check", "measurements.csv", 2, "x"), "Check 'no_such_check' is not known"),
    ):
        with pytest.raises(UsageError, match=why):
            checks.waive(clinic.path, *arguments[:3], reason=arguments[3])
