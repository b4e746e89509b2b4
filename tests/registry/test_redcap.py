"""REDCap: exports of every shape are read by one mapping, a project is proposed and created, a fetch is complete."""

import http.server
import json
import threading
import urllib.parse

import polars as pl
import pytest

from analysis import time_to_response
from registry import Registry, ingest, redcap, redcap_api, redcap_export, redcap_project, redcap_propose
from registry.derivation import derive
from registry.errors import CatamnesisError, MappingError, UsageError
from synthetic import Design, simulate
from synthetic.redcap_files import write_redcap
from synthetic.sources import write_template

HEADER = ",".join(f'"{name}"' for name in redcap.HEADER.values())
FIELDS = [
    # field, form, type, label, choices, validation, identifier
    ("study_id", "enrolment", "text", "Study ID", "", "", ""),
    ("first_name", "enrolment", "text", "First name", "", "", "y"),
    ("consent_date", "enrolment", "text", "Date of consent", "", "date_dmy", ""),
    ("yob", "enrolment", "text", "Year of birth", "", "integer", ""),
    ("gender", "enrolment", "radio", "Sex at birth", "1, Female | 2, Male | 3, Prefer not to say", "", ""),
    ("knee_side", "enrolment", "radio", "Treated side", "1, Right | 2, Left", "", ""),
    ("kl_grade", "enrolment", "dropdown", "Kellgren-Lawrence grade", "2, KL 2 | 3, KL 3 | 4, KL 4", "", ""),
    ("xray_date", "enrolment", "text", "Date of the x-ray", "", "date_dmy", ""),
    ("inj_date", "injection", "text", "Injection date", "", "datetime_dmy", ""),
    ("inj_route", "injection", "dropdown", "Route", "1, Intra-articular | 2, Intra-osseous", "", ""),
    ("inj_guidance", "injection", "radio", "Image guidance", "1, Ultrasound | 2, Fluoroscopy", "", ""),
    ("inj_volume", "injection", "text", "Volume injected (mL)", "", "number_comma_decimal", ""),
    ("inj_lot", "injection", "text", "Product lot number", "", "", ""),
    ("fu_date", "followup", "text", "Date of visit", "", "date_dmy", ""),
    ("koos_pain", "followup", "text", "KOOS <b>pain</b> subscale (0-100)", "", "number", ""),
    ("vas_pain", "followup", "slider", "Pain VAS, 0-100", "", "", ""),
    ("ae_list", "followup", "checkbox", "Adverse events since then", "1, Pain flare | 2, Swelling | 3, Else", "", ""),
]  # fmt: skip
EVENTS = """event_name,arm_num,unique_event_name
Baseline,1,baseline_arm_1
"3 months",1,3_months_arm_1
"""
RAW = """study_id,redcap_event_name,redcap_repeat_instrument,redcap_repeat_instance,first_name,consent_date,yob,gender,knee_side,kl_grade,xray_date,enrolment_complete,inj_date,inj_route,inj_guidance,inj_volume,inj_lot,injection_complete,fu_date,koos_pain,vas_pain,ae_list___1,ae_list___2,ae_list___3,followup_complete
7,baseline_arm_1,,,Ada,2022-01-10,1960,1,2,3,2022-01-05,2,,,,,,,2022-01-20,41.7,70,0,0,0,2
7,baseline_arm_1,injection,1,,,,,,,,,2022-02-01 09:30,1,1,"4,5",LOT-1,2,,,,,,,
7,baseline_arm_1,injection,3,,,,,,,,,2022-03-01 10:00,1,1,"5,0",LOT-1,0,,,,,,,
7,3_months_arm_1,,,,,,,,,,,,,,,,,2022-05-02,-99,35,1,1,0,2
8,baseline_arm_1,,,Bo,2022-02-10,1955,2,1,4,2022-02-05,2,,,,,,,2022-02-20,30.6,80,0,0,1,2
"""
LABELS = """Study ID,Event Name,Repeat Instrument,Repeat Instance,First name,Date of consent,Year of birth,Sex at birth,Treated side,Kellgren-Lawrence grade,Date of the x-ray,Complete?,Injection date,Route,Image guidance,Volume injected (mL),Product lot number,Complete?,Date of visit,KOOS pain subscale (0-100),"Pain VAS, 0-100",Adverse events since then (choice=Pain flare),Adverse events since then (choice=Swelling),Adverse events since then (choice=Else),Complete?
7,Baseline,,,Ada,2022-01-10,1960,Female,Left,KL 3,2022-01-05,Complete,,,,,,,2022-01-20,41.7,70,Unchecked,Unchecked,Unchecked,Complete
7,Baseline,Injection,1,,,,,,,,,2022-02-01 09:30,Intra-articular,Ultrasound,"4,5",LOT-1,Complete,,,,,,,
7,Baseline,Injection,3,,,,,,,,,2022-03-01 10:00,Intra-articular,Ultrasound,"5,0",LOT-1,Incomplete,,,,,,,
7,3 months,,,,,,,,,,,,,,,,,2022-05-02,-99,35,Checked,Checked,Unchecked,Complete
8,Baseline,,,Bo,2022-02-10,1955,Male,Right,KL 4,2022-02-05,Complete,,,,,,,2022-02-20,30.6,80,Unchecked,Unchecked,Checked,Complete
"""
TICKED = LABELS.replace("Checked,Checked,Unchecked", "Pain flare,Swelling,").replace("Unchecked", "").replace(
    ",,,Checked", ",,,Else"
)  # fmt: skip
DECIDED = {
    'kind = { value = "CHOOSE" }': 'kind = { value = "joint" }',
    'intent = { value = "CHOOSE" }': 'intent = { value = "initial" }',
    'donor = { value = "CHOOSE" }': 'donor = { value = "autologous" }',
    'origin = { value = "CHOOSE" }': 'origin = { value = "bone_marrow" }',
    'separation = { value = "CHOOSE" }': 'separation = { value = "centrifuge" }',
    'expanded = { value = "CHOOSE" }': 'expanded = { value = "false" }',
    'ctcae_grade = { value = "CHOOSE" }': 'ctcae_grade = { value = "1" }',
}


def as_page(fields=FIELDS):
    rows = []
    for name, form, kind, label, choices, validation, identifier in fields:
        cells = [name, form, "", kind, label, choices, "", validation, "", "", identifier, *[""] * 7]
        rows.append(",".join(f'"{c}"' for c in cells))
    return "\n".join([HEADER, *rows]) + "\n"


@pytest.fixture
def project(clinic):
    """A longitudinal project with a repeating form, and the mapping that its dictionary proposes, decided upon."""
    dictionary = clinic.write("dictionary.csv", as_page())
    events = clinic.write("events.csv", EVENTS)
    made = redcap_propose.propose(
        dictionary,
        events,
        programme="osteoarthritis",
        site="knee",
        centre="ZRH",
        missing_codes="-99, Refused | -98, Unknown",
        export="export.csv",
    )
    text = made.text
    for open_, decided in DECIDED.items():
        text = text.replace(open_, decided)
    clinic.write("load.toml", text)
    return made


def loaded(clinic, export, change=lambda text: text):
    mapping = clinic.folder / "load.toml"
    mapping.write_text(change(mapping.read_text()))
    return clinic.load(clinic.write("export.csv", export), mapping_file=mapping)


@pytest.mark.parametrize("export", [RAW, LABELS, TICKED], ids=["raw", "labels", "labels of ticks"])
def test_raw_and_labelled_exports_load_alike_by_the_proposed_mapping(clinic, project, export):
    report = loaded(clinic, export)
    assert report.rejected == 0, report.rejections.to_dicts()
    reg = Registry.open(clinic.path)
    assert {name: n for name, n in reg.counts().items() if n} == {
        "centre": 1, "patient": 2, "target": 2, "stage_assessment": 2, "product": 1, "course": 2,
        "treatment_session": 2, "visit": 3, "measurement": 6, "adverse_event": 2,
    }  # fmt: skip
    sessions = reg.con.sql("select session_no, date::varchar, volume_ml from record.treatment_session order by 1")
    assert sessions.fetchall() == [(1, "2022-02-01", 4.5), (3, "2022-03-01", 5)]
    assert (
        reg.con.sql("select side from record.target join record.adverse_event a on a.target_id = target.id").fetchall()
        == [("left",)] * 2
    )
    refused = reg.con.sql("select value, missing_reason from record.measurement where missing_reason is not null")
    assert refused.fetchall() == [(None, "refused")]
    assert reg.con.sql("select planned_visit from record.visit order by date").fetchall()[-1] == ("3 months",)
    # The account of the export: what a user can hold against the project.
    notes = "\n".join(report.notes)
    assert "5 rows of 2 records, 2 events" in notes
    assert "form injection: 2 rows say something, 2 were taken; 1 are not marked complete" in notes
    assert "form injection: 1 instances are lacking in the numbering" in notes
    assert "Ada" not in notes


def test_a_project_is_proposed_without_identifiers_and_with_what_only_a_person_knows(project):
    assert project.identifiers == ("first_name",)
    assert project.unmatched == ()
    assert project.undecided == 8
    assert "first_name" not in project.matched
    assert "# no code of ours for: Prefer not to say" in project.text


def test_a_mapping_that_still_says_choose_is_not_read(clinic, project):
    clinic.write("load.toml", project.text)
    with pytest.raises(MappingError, match="still says CHOOSE"):
        loaded(clinic, RAW)


def test_rows_that_say_something_and_that_nothing_takes_are_named(clinic, project):
    notes = loaded(
        clinic,
        RAW,
        lambda text: text.replace(
            'filled = ["inj_date", ', 'where = { study_id = "8" }\nfilled = ["inj_date", '
        ).replace('filled = ["inj_lot"]', 'where = { study_id = "8" }\nfilled = ["inj_lot"]'),
    ).notes
    assert any(
        "form injection: 2 rows say something, 0 were taken, 2 were not (the first is line 3)" in n for n in notes
    )


def test_an_export_without_all_records_is_refused_when_their_number_is_stated(clinic, project):
    with pytest.raises(UsageError, match="The export holds 2 records, the mapping states 3"):
        loaded(clinic, RAW, lambda text: text.replace("# records = 120", "records = 3"))
    assert Registry.open(clinic.path).counts()["patient"] == 0


def test_what_one_row_of_a_record_says_holds_for_all_and_two_answers_are_refused(clinic, project):
    twice = RAW.replace("7,3_months_arm_1,,,,,,,,,", "7,3_months_arm_1,,,,,,,1,,")
    report = loaded(clinic, twice)
    # A record with both sides: each row keeps its own, those without are refused.
    assert set(report.rejections["column"]) <= {"side", "course_no"}
    assert "2 [other rows of the record say otherwise] [no code in the mapping]" in report.rejections["value"].to_list()


def test_codes_and_labels_in_one_export_are_refused(clinic, project):
    with pytest.raises(UsageError, match="codes in some columns and labels in others"):
        loaded(clinic, RAW.replace("1960,1,2", "1960,Female,2").replace("1955,2,1", "1955,Male,1"))


def test_a_label_that_two_choices_share_is_refused_not_guessed(clinic, project):
    again = [(*f[:4], "1, Right | 2, Left | 3, Left", *f[5:]) if f[0] == "knee_side" else f for f in FIELDS]
    clinic.write("dictionary.csv", as_page(again))
    report = loaded(clinic, LABELS)
    assert any("two choices have this label" in v for v in report.rejections["value"].drop_nulls())


def test_the_headers_of_a_labelled_export_come_twice_and_are_told_apart_by_order(clinic, project):
    plan = redcap.Project(redcap.read_dictionary(clinic.folder / "dictionary.csv"))
    labels = next(iter(pl.read_csv(LABELS.encode(), has_header=False, infer_schema=False, n_rows=1).rows()))
    assert redcap_export.named(plan, list(labels)) == RAW.splitlines()[0].split(",")


@pytest.mark.parametrize(
    ("label", "arm", "name"),
    # Events of a real project in the public test data of the R package REDCapR (projects/longitudinal/event.csv).
    [
        ("Enrollment", "1", "enrollment_arm_1"),
        ("Dose 1", "1", "dose_1_arm_1"),
        ("Deadline to opt out of study", "2", "deadline_to_opt_ou_arm_2"),
        ("Deadline to return feedback", "2", "deadline_to_return_arm_2"),
    ],
)
def test_events_are_called_as_redcap_calls_them(label, arm, name):
    assert redcap.unique_name(label, arm) == name


def test_events_named_by_label_and_arm_are_told_apart():
    fields = (redcap.Variable("record_id", "a", "text", "Record ID"),)
    events = {"first_arm_1": "First", "first_arm_2": "First"}
    frame = pl.DataFrame({"record_id": ["1", "2"], "redcap_event_name": ["First (Arm 1: Drug)", "First (Arm 2: No)"]})
    made = redcap_export.coded(redcap.Project(fields, events), frame)
    assert made["redcap_event_name"].to_list() == ["first_arm_1", "first_arm_2"]


def test_choices_may_have_commas_and_a_dictionary_comes_from_the_page_or_the_api(clinic):
    assert redcap.choices("1, Yes | 2, No, never | x") == {"1": "Yes", "2": "No, never", "x": "x"}
    page = clinic.write("page.csv", as_page())
    api = clinic.write("api.csv", as_page().replace(HEADER, ",".join(redcap.HEADER)))
    assert redcap.read_dictionary(page) == redcap.read_dictionary(api)
    with pytest.raises(UsageError, match="no REDCap data dictionary: it lacks the columns"):
        redcap.read_dictionary(clinic.write("none.csv", "a,b\n1,2\n"))


@pytest.mark.parametrize(
    "programme", ["osteoarthritis", "tendon", "systemic", "transplant", "neurological", "wellness"]
)
def test_the_project_of_every_programme_is_one_that_redcap_takes(programme, tmp_path):
    paths = redcap_project.write(programme, tmp_path)
    fields = redcap.read_dictionary(paths[0])
    names = [f.name for f in fields]
    assert len(set(names)) == len(names)
    assert all(pl.Series(names).str.contains(r"^[a-z][a-z0-9_]*$"))
    codes = [code for f in fields for code in f.choices]
    assert all(pl.Series(codes).str.contains(r"^\w+$"))
    events = redcap.read_events(paths[1])
    assert len(set(events)) == len(events)
    forms = pl.read_csv(paths[2])
    assert set(forms["form"]) == {f.form for f in fields}
    assert set(forms["unique_event_name"]) == set(events)
    assert "CHOOSE" not in paths[-1].read_text().split("\n\n", 1)[1]


@pytest.fixture(scope="module")
def same_patients(tmp_path_factory):
    """The same patients loaded from the template, a raw export and a labelled export of our own project."""
    folder = tmp_path_factory.mktemp("same")
    made = simulate(Design(patients=120, seed=3, programmes={"osteoarthritis": 1.0}, details=True))
    # A clinic's operators are in no patient's record.
    del made.tables["operators"]
    write_template(made, folder / "template")
    write_redcap(made, folder / "raw")
    write_redcap(made, folder / "labels", labels=True)
    found, key = {}, None
    for name in ("template", "raw", "labels"):
        path = folder / f"{name}.duckdb"
        Registry.create(path).close()
        key = key or (folder / "template.duckdb.key").read_bytes()
        (folder / f"{name}.duckdb.key").write_bytes(key)
        here = folder / name
        paths, plan = ([here], None) if name == "template" else ([here / "export.csv"], here / "load.toml")
        report = ingest.load(path, paths, mapping_file=plan)
        assert report.rejected == 0, report.rejections.to_dicts()
        derive(path)
        found[name] = Registry.open(path)
    return found


@pytest.mark.parametrize("shape", ["raw", "labels"])
def test_a_project_created_from_our_dictionary_gives_back_the_same_record(same_patients, shape):
    ours, theirs = same_patients["template"], same_patients[shape]
    assert ours.counts() == theirs.counts()
    for table in ("patient", "target", "stage_assessment", "product", "course", "treatment_session", "decision",
                  "event", "adverse_event", "item_response", "consent", "comorbidity", "habit", "prior_treatment",
                  "supportive_treatment", "goal", "processing", "release_test", "imaging_detail",
                  "laboratory_detail"):  # fmt: skip
        assert ours.counts()[table] > 0 or table == "event"
        hashes = f"select id, row_hash from record.{table} order by id"
        assert ours.con.sql(hashes).fetchall() == theirs.con.sql(hashes).fetchall(), table
    # REDCap asks for the scale's own unit and for the mode once a visit: the values are the same.
    scores = "select id, scale, value from record.measurement order by id"
    assert ours.con.sql(scores).fetchall() == theirs.con.sql(scores).fetchall()
    assert time_to_response(ours.courses()).frame.equals(time_to_response(theirs.courses()).frame)


class StandIn(http.server.BaseHTTPRequestHandler):
    """Speaks the documented protocol: a POST with token, content, format; it can be told to leave records out."""

    token = "0123456789ABCDEF0123456789ABCDEF"
    hidden: frozenset[str] = frozenset()
    hidden_in_batches: frozenset[str] = frozenset()

    def do_POST(self):
        asked = dict(urllib.parse.parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
        if asked["token"] != self.token:
            said = f"You do not have permissions to use the API: {asked['token']}"
            return self._say(f"ERROR: {said}" if asked["format"] == "csv" else json.dumps({"error": said}), 403)
        records = [v for k, v in asked.items() if k.startswith("records[")]
        return self._say(self._answer(asked, records))

    def _answer(self, asked, records):
        if asked["content"] == "metadata":
            if asked["format"] == "json":
                return json.dumps([{"field_name": f[0], "form_name": f[1], "field_type": f[2]} for f in FIELDS])
            return as_page().replace(HEADER, ",".join(redcap.HEADER))
        if asked["content"] == "event":
            return EVENTS
        if asked["content"] == "project":
            return '{"missing_data_codes": "-99, Refused", "is_longitudinal": 1}'
        header, *rows = RAW.splitlines()
        if not any(k.startswith("forms[") for k in asked):
            return "\n".join(["study_id", *(r.split(",")[0] for r in rows)])
        kept = [r for r in rows if (not records or r.split(",")[0] in records) and r.split(",")[0] not in self.hidden]
        if len(records) > 1:
            kept = [r for r in kept if r.split(",")[0] not in self.hidden_in_batches]
        return "\n".join([header, *kept]) if kept else ""

    def _say(self, text, code=200):
        self.send_response(code)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv(redcap_api.TOKEN, StandIn.token)
    kind = type("Told", (StandIn,), {})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        kind.url = f"http://127.0.0.1:{running.server_port}/api/"
        yield kind
        running.shutdown()


def test_a_project_is_fetched_whole_and_its_export_loads(clinic, server):
    n, made = redcap_api.fetch(server.url, clinic.folder / "got", programme="osteoarthritis", centre="ZRH")
    assert n == 2 and made is not None
    assert (clinic.folder / "got" / "export.csv").read_text() == RAW
    text = (clinic.folder / "got" / "load.toml").read_text()
    assert "records = 2 " in text and 'missing_codes = "-99, Refused"' in text
    # A mapping that a person has corrected is kept.
    assert redcap_api.fetch(server.url, clinic.folder / "got")[1] is None


def test_records_left_out_of_a_batch_are_asked_for_again(clinic, server):
    server.hidden_in_batches = frozenset({"8"})
    assert redcap_api.fetch(server.url, clinic.folder / "got")[0] == 2
    assert "\n8,baseline" in (clinic.folder / "got" / "export.csv").read_text()


def test_records_that_the_server_lists_and_does_not_give_end_the_fetch(clinic, server):
    server.hidden = frozenset({"8"})
    with pytest.raises(CatamnesisError, match="REDCap left out 1 of 2 records"):
        redcap_api.fetch(server.url, clinic.folder / "got")
    assert not (clinic.folder / "got" / "export.csv").exists()


def test_a_token_is_never_shown(clinic, server, monkeypatch):
    monkeypatch.setenv(redcap_api.TOKEN, "F" * 32)
    with pytest.raises(CatamnesisError, match="REDCap refused") as refused:
        redcap_api.fetch(server.url, clinic.folder / "got")
    monkeypatch.setenv(redcap_api.TOKEN, "my secret token")
    with pytest.raises(UsageError, match="32 hexadecimal digits") as malformed:
        redcap_api.fetch(server.url, clinic.folder / "got")
    assert "FFFF" not in str(refused.value) and "secret" not in str(malformed.value)


def test_a_server_that_is_not_there_is_said_so(clinic, monkeypatch):
    monkeypatch.setenv(redcap_api.TOKEN, StandIn.token)
    with pytest.raises(CatamnesisError, match="REDCap did not answer"):
        redcap_api.fetch("http://127.0.0.1:9/api/", clinic.folder / "got")
