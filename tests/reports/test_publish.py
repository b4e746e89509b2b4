"""The report on a schedule: unchanged is said, a failure breaks nothing and is seen, and changes have their reason."""

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from registry import Registry, checks, derive, ingest
from registry.errors import RegistryBusy, UsageError
from reports import publish as module
from reports.changes import changes
from reports.publish import publish
from reports.quality_section import loads_of, refused_rows
from reports.words import words_of
from synthetic import Design, simulate, sources

GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "publish-on-a-schedule.md"


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A registry with one clinic in it, the files of a second, and its first report."""
    folder = tmp_path_factory.mktemp("publish")
    design = Design(patients=160, seed=4, programmes={"osteoarthritis": 1.0})
    sources.write_clinics(simulate(design), folder / "clinics")
    Registry.create(folder / "r.duckdb", key=b"k" * 32).close()
    ingest.load(folder / "r.duckdb", [min((folder / "clinics").iterdir())])
    derive(folder / "r.duckdb")
    assert publish(folder / "r.duckdb", folder / "out").state == "published"
    return folder


@pytest.fixture
def case(start, tmp_path):
    shutil.copytree(start, tmp_path / "case", symlinks=True)
    return tmp_path / "case"


def state(out: Path) -> dict:
    return json.loads((out / "status.json").read_text("utf-8"))


def test_with_the_same_record_and_code_nothing_is_written_again(case):
    before = (case / "out" / "latest" / "index.html").read_bytes()
    done = publish(case / "r.duckdb", case / "out")
    assert done.state == state(case / "out")["state"] == "unchanged"
    assert (case / "out" / "latest" / "index.html").read_bytes() == before


def test_a_new_load_gives_a_new_report_that_says_what_changed(case):
    first = (case / "out" / "latest").readlink()
    ingest.load(case / "r.duckdb", [max((case / "clinics").iterdir())])
    derive(case / "r.duckdb")
    done = publish(case / "r.duckdb", case / "out")
    assert done.state == "published" and (case / "out" / "latest").readlink() != first
    with Registry.open(case / "r.duckdb") as registry:
        assert any(line.startswith(f"{registry.counts()['patient']:,} patients, before ") for line in done.changes)
    (why,) = [line for line in done.changes if line.startswith("Osteoarthritis, why: ")]
    assert "new patients; " in why and "new courses" in why
    html = done.page.read_text("utf-8")
    assert (done.page.parent / "report.pdf").read_bytes().startswith(b"%PDF-1.7")
    assert "What changed since the report before" in html
    assert publish(case / "r.duckdb", case / "out").state == "unchanged"


def test_a_waived_finding_is_another_report_without_it(case):
    with Registry.open(case / "r.duckdb") as registry:
        before, one = registry.check().height, registry.check().row(0, named=True)
    checks.waive(case / "r.duckdb", one["defect"], one["file"], one["line"], reason="agreed")
    done = publish(case / "r.duckdb", case / "out")
    assert done.state == "published"
    with Registry.open(case / "r.duckdb") as registry:
        assert registry.check().height < before
    assert publish(case / "r.duckdb", case / "out").state == "unchanged"


def test_a_run_that_was_cut_off_has_said_that_it_was_running(case, monkeypatch):
    class CutOff(BaseException):
        pass

    def cut_off(*_, **__):
        raise CutOff

    monkeypatch.setattr(module, "_publish", cut_off)
    with pytest.raises(CutOff):
        publish(case / "r.duckdb", case / "out")
    assert state(case / "out")["state"] == "running"
    monkeypatch.undo()
    assert publish(case / "r.duckdb", case / "out").state == state(case / "out")["state"] == "unchanged"


def test_a_report_that_lost_its_pdf_is_made_again(case):
    (case / "out" / "latest" / "report.pdf").unlink()
    assert publish(case / "r.duckdb", case / "out").state == "published"
    assert (case / "out" / "latest" / "report.pdf").exists()


def test_few_refused_rows_are_not_counted_on_the_page(case):
    for clinic in sorted((case / "clinics").iterdir())[1:]:
        ingest.load(case / "r.duckdb", [clinic])
    with Registry.open(case / "r.duckdb") as registry:
        refused = registry.rejections().select("file", "line").unique().height
        loads, told = loads_of(registry), refused_rows(registry)
        held = registry.sql("select accepted, rejected from log.load order by load_id").rows()
    assert refused > 0 and len(loads) > 1 and told
    assert not [r["n"] for r in told if r["n"].isdigit() and 0 < int(r["n"]) < 5]
    for load, (accepted, rejected) in zip(loads, held, strict=True):
        exact = load["rejected"] == f"{rejected:,}"
        assert exact == (load["accepted"] == f"{accepted:,}") and not (exact and 0 < rejected < 5)


@pytest.mark.slow
def test_each_centre_has_a_report_of_its_own_patients_beside_that_of_all(case):
    ingest.load(case / "r.duckdb", [max((case / "clinics").iterdir())])
    derive(case / "r.duckdb")
    done = publish(case / "r.duckdb", case / "out", by_centre=True)
    assert done.state == "published" and done.refused == state(case / "out")["centres_without_report"] == {}
    latest = case / "out" / "latest"
    told = json.loads((latest / "centres" / "centres.json").read_text("utf-8"))
    whole = json.loads((latest / "numbers.json").read_text("utf-8"))["counts"]["patient"]
    parts = 0
    for centre, entry in told.items():
        folder = latest / "centres" / entry["folder"]
        numbers = json.loads((folder / "numbers.json").read_text("utf-8"))
        page, parts = (folder / "index.html").read_text("utf-8"), parts + numbers["counts"]["patient"]
        assert f"<h1>Outcomes after regenerative treatment: centre {centre}</h1>" in page
        assert (folder / "report.pdf").exists() and f"<b>{numbers['counts']['patient']}</b><span>patients" in page
    assert len(told) == 2 and parts == whole and (latest / "centres").stat().st_mode & 0o777 == 0o700
    assert publish(case / "r.duckdb", case / "out", by_centre=True).state == "unchanged"


def test_a_failure_leaves_the_last_good_report_with_a_banner_and_a_reason_and_heals(case, monkeypatch):
    good = (case / "out" / "latest").readlink()
    ingest.load(case / "r.duckdb", [max((case / "clinics").iterdir())])
    with pytest.raises(UsageError, match="catamnesis derive"):
        publish(case / "r.duckdb", case / "out")
    page = case / "out" / "latest" / "index.html"
    for _ in range(2):
        assert (case / "out" / "latest").readlink() == good and state(case / "out")["state"] == "failed"
        assert page.read_text("utf-8").count('role="alert"') == 1
        derive(case / "r.duckdb")
        monkeypatch.setattr(module, "write_report", broken)
        with pytest.raises(ZeroDivisionError):
            publish(case / "r.duckdb", case / "out")
    assert state(case / "out")["why"] == "ZeroDivisionError; see the log of the run"
    assert "patient 17" not in page.read_text("utf-8")
    monkeypatch.undo()
    publish(case / "r.duckdb", case / "out")
    assert not list((case / "out").glob(".*.part")) and state(case / "out")["state"] == "published"
    assert 'role="alert"' not in page.read_text("utf-8")


def test_who_looks_at_the_status_knows_what_is_shown_since_when_runs_fail_and_why(case, monkeypatch):
    out, name = case / "out", (case / "out" / "latest").readlink().name
    first = state(out)
    assert first["latest"] == name == first["report"] and re.fullmatch(r"\d{4}-\d\d-\d\d", first["latest_data_to"])
    assert not {"failures", "failing_since", "process"} & set(first)
    told = []
    for error in (OSError(28, "No space left on device", "x"), ModuleNotFoundError("No module", name="typst"),
                  UsageError(f"{case / 'r.duckdb'} cannot be read."), PermissionError(13, "Permission denied")):  # fmt: skip
        monkeypatch.setattr(module, "_publish", lambda *_, e=error: (_ for _ in ()).throw(e))
        with pytest.raises(type(error)):
            publish(case / "r.duckdb", out)
        told.append(state(out))
    assert [t["failures"] for t in told] == [1, 2, 3, 4] and len({t["failing_since"] for t in told}) == 1
    assert {(t["state"], t["latest"], t["latest_data_to"]) for t in told} == {("failed", name, first["latest_data_to"])}
    assert told[0]["why"].startswith("There is no room on the disk.") and "typst is missing" in told[1]["why"]
    # Who reads the page learns nothing of the server's folders.
    assert told[2]["why"] == "r.duckdb cannot be read." and told[3]["why"].startswith("Permission denied")
    assert str(case) not in (out / "latest" / "index.html").read_text("utf-8")
    monkeypatch.undo()
    publish(case / "r.duckdb", out)
    assert "failures" not in state(out) and "failing_since" not in state(out)


def test_a_run_that_was_killed_is_told_by_the_next_one_on_the_page_too(case, monkeypatch):
    out, page = case / "out", case / "out" / "latest" / "index.html"
    killed = {"state": "running", "at": "2026-01-01T05:00:00+00:00", "process": 4711}
    (out / "status.json").write_text(json.dumps(killed), "utf-8")
    seen = {}

    def watched(*_, **__):
        seen.update(state(out), page=page.read_text("utf-8"))
        raise UsageError("Not this time.")

    monkeypatch.setattr(module, "_publish", watched)
    with pytest.raises(UsageError):
        publish(case / "r.duckdb", out)
    assert seen["state"] == "running" and seen["process"] == os.getpid()
    assert seen["before"] == {"state": "cut off", "at": "2026-01-01T05:00:00+00:00"}
    assert "The report of 2026-01-01 05:00 UTC was cut off, so this is the last good one." in seen["page"]
    after = state(out)
    assert (after["failures"], after["failing_since"]) == (2, "2026-01-01T05:00:00+00:00")
    monkeypatch.undo()
    assert publish(case / "r.duckdb", out).state == "unchanged"
    assert 'role="alert"' not in page.read_text("utf-8") and "before" not in state(out)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_told_to_stop_says_so_and_leaves_nothing_half_done(case, monkeypatch, number):
    def stopped(registry, out, before, language):
        out.mkdir()
        (out / "index.html").write_text("half a pa")
        os.kill(os.getpid(), number)
        time.sleep(5)

    held = signal.getsignal(number)
    monkeypatch.setattr(module, "write_report", stopped)
    (case / "out" / "latest" / "report.pdf").unlink()
    with pytest.raises(module.run_state.Stopped):
        publish(case / "r.duckdb", case / "out")
    assert state(case / "out")["why"] == f"The run was stopped before it was done ({number.name})."
    assert not list((case / "out").glob(".*.part")) and signal.getsignal(number) is held


def test_a_language_that_is_not_known_is_seen_on_the_schedule_too(case):
    with pytest.raises(UsageError, match="xx"):
        publish(case / "r.duckdb", case / "out", language="xx")
    assert state(case / "out")["state"] == "failed" and "'xx'" in state(case / "out")["why"]


def test_where_the_status_cannot_be_written_the_failure_itself_is_still_told(case, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.run_state, "replace_file", full)
    with pytest.raises(OSError, match="No space") as found:
        publish(case / "r.duckdb", case / "out")
    # Of the status only: the page was to have a banner as well.
    assert len(found.value.__notes__) == 2 and "could not be told of it: No space left" in found.value.__notes__[0]


def test_deriving_first_spares_a_command_and_its_failure_is_seen_as_well(case, monkeypatch):
    ingest.load(case / "r.duckdb", [max((case / "clinics").iterdir())])
    monkeypatch.setattr(module, "derive", lambda path: (_ for _ in ()).throw(UsageError("The disk is full.")))
    with pytest.raises(UsageError, match="disk is full"):
        publish(case / "r.duckdb", case / "out", derived=False)
    page = case / "out" / "latest" / "index.html"
    assert state(case / "out")["why"] == "The disk is full." in page.read_text("utf-8")
    monkeypatch.undo()
    assert publish(case / "r.duckdb", case / "out", derived=False).state == "published"
    assert 'role="alert"' not in page.read_text("utf-8")


def broken(registry, out, before, language):
    out.mkdir()
    (out / "index.html").write_text("half a pa")
    raise ZeroDivisionError("patient 17")


def test_the_banner_of_a_failure_is_in_the_language_of_the_report_and_its_reason_marked(case):
    ingest.load(case / "r.duckdb", [max((case / "clinics").iterdir())])
    with pytest.raises(UsageError, match="catamnesis derive"):
        publish(case / "r.duckdb", case / "out", language="de")
    page = (case / "out" / "latest" / "index.html").read_text("utf-8")
    assert re.search(r'role="alert">Der Bericht vom \d\d\.\d\d\.\d{4}, \d\d:\d\d UTC ist fehl', page)
    assert '<span lang="en">' in page and "Run: catamnesis derive" in state(case / "out")["why"]


@pytest.mark.slow
def test_another_language_is_another_report_with_the_same_numbers(case):
    first = json.loads((case / "out" / "latest" / "numbers.json").read_text("utf-8"))
    done = publish(case / "r.duckdb", case / "out", language="de")
    assert done.state == "published" and '<html lang="de">' in done.page.read_text("utf-8") and done.changes == ()
    assert json.loads((done.page.parent / "numbers.json").read_text("utf-8"))["programmes"] == first["programmes"]
    assert publish(case / "r.duckdb", case / "out", language="de").state == "unchanged"


def test_two_runs_do_not_meet(case):
    with (case / "out" / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(RegistryBusy, match="Another run"):
            publish(case / "r.duckdb", case / "out")
    assert state(case / "out")["state"] == "published"


def test_old_reports_go_and_the_one_shown_stays(case):
    for day in range(1, 5):
        (case / "out" / f"2020-01-0{day}T000000Z-{day:08x}").mkdir()
    (case / "out" / "notes of the clinic").mkdir()
    ingest.load(case / "r.duckdb", [max((case / "clinics").iterdir())])
    derive(case / "r.duckdb")
    publish(case / "r.duckdb", case / "out", keep=2)
    left = sorted(p.name for p in (case / "out").iterdir() if p.is_dir() and not p.is_symlink())
    assert len(left) == 3 and left[-1] == "notes of the clinic"
    assert (case / "out" / "latest").readlink().name == left[1]


def test_a_folder_that_is_not_ours_is_not_touched(case, tmp_path):
    (tmp_path / "theirs" / "latest").mkdir(parents=True)
    with pytest.raises(UsageError, match="not made by this command"):
        publish(case / "r.duckdb", tmp_path / "theirs")


def report(share: float, definition: str = "OO-2004", **more) -> dict:
    row = {"stratum": "early", "quantity": "response", "time_day": 365.0, "estimate": share}
    results = {"time_to_response": {"definition": definition, "frame": [row]}}
    return {"data_cut": "2026-01-01", "counts": {"patient": 100}, "versions": {"catamnesis": "0.1.0"},
            "programmes": {"oa": {"label": "Osteoarthritis", "results": results}}, **more}  # fmt: skip


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (report(0.50), []),
        (report(0.53), ["Osteoarthritis, early: 53 % in response within 12 months, before 50 %."]),
        (report(0.50, "MCII"), ["Osteoarthritis: time to response is now by MCII, before by OO-2004."]),
        (report(0.50, counts={"patient": 140}), ["140 patients, before 100."]),
        (report(0.50, counts={"patient": None}), []),
        (report(0.50, versions={"catamnesis": "0.2.0"}), ["Versions: catamnesis 0.1.0 → 0.2.0."]),
        (report(0.50, data_cut="2026-02-01"), ["The data now reach to 2026-02-01; before, to 2026-01-01."]),
        (report(0.50, data_cut=None), ["The data now reach to –; before, to 2026-01-01."]),
        (report(0.50, programmes={}), ["Osteoarthritis is no longer in the report."]),
    ],
)
def test_what_changed_is_told_with_its_reason(now, told):
    assert changes(report(0.50), now) == told


def test_every_headline_number_that_moved_is_told():
    moving = {"time_in_response": ("share_in_response", 365.0), "joint_replacement": ("end", 730.0)}

    def with_all(share):
        made = report(0.50)
        for question, (quantity, day) in moving.items():
            row = {"stratum": "early", "quantity": quantity, "time_day": day, "estimate": share}
            made["programmes"]["oa"]["results"][question] = {"frame": [row]}
        return made

    assert changes(with_all(0.10), with_all(0.20)) == [
        "Osteoarthritis, early: 20 % in response at 12 months, before 10 %.",
        "Osteoarthritis, early: 20 % at the end event within 24 months, before 10 %.",
    ]


def test_what_changed_is_told_in_the_language_of_the_report():
    now = report(0.53, data_cut="2026-02-01", counts={"patient": 1140}, versions={"catamnesis": "0.2.0"})
    assert changes(report(0.50), now, words_of("de")) == [
        "Der Datenstand ist jetzt der 01.02.2026; zuvor war es der 01.01.2026.",
        "1.140 Patienten, zuvor 100.",
        "Versionen: catamnesis 0.1.0 → 0.2.0.",
        "Arthrose, Früh: 53 % Ansprechen innerhalb von 12 Monaten, zuvor 50 %.",
    ]


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)


def test_the_timer_of_the_guide_is_one_that_systemd_takes(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    for text in blocks("ini"):
        name = text.splitlines()[0].removeprefix("# ").strip()
        (tmp_path / name).write_text(re.sub(r"ExecStart=\S+", "ExecStart=/bin/true", text), encoding="utf-8")
    found = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *sorted(map(str, tmp_path.iterdir()))], capture_output=True, text=True
    )
    assert found.returncode == 0 and str(tmp_path) not in found.stderr, found.stderr
    for text in blocks("ini"):
        for when in re.findall(r"OnCalendar=(.*)", text):
            assert subprocess.run(["systemd-analyze", "calendar", when], capture_output=True).returncode == 0


def test_the_service_of_the_guide_runs_as_an_ordinary_account_that_writes_only_where_it_must(tmp_path):
    text = next(t for t in blocks("ini") if "[Service]" in t)
    held = [line.split("=", 1) for line in text.splitlines() if "=" in line]
    said = dict(held)
    assert len(said) == len(held) and said["User"] not in ("", "root", "0") and said["Group"] == said["User"]
    _, _, registry, _, out, _ = said["ExecStart"].split()
    assert said["ReadWritePaths"].split() == [str(Path(registry).parent), out] and said["ProtectSystem"] == "strict"
    # The account is made with these folders, and cron uses the same one.
    guide = GUIDE.read_text("utf-8")
    (made,) = [t for t in blocks("sh") if "useradd" in t]
    assert made.splitlines()[0].endswith(f"nologin {said['User']}") and f"crontab -u {said['User']}" in guide
    assert re.findall(rf"install -d -o {said['User']} -g {said['User']} -m \d+ (\S+)", made) == [
        str(Path(registry).parent), out
    ]  # fmt: skip
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    unit = tmp_path / "catamnesis.service"
    unit.write_text(re.sub(r"ExecStart=\S+", "ExecStart=/bin/true", text), encoding="utf-8")
    # Of 100, where a unit without any protection has 96.
    limit = ["systemd-analyze", "security", "--offline=true", "--threshold=15", "--no-pager", str(unit)]
    found = subprocess.run(limit, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout[-300:] + found.stderr


def test_the_commands_of_the_guide_are_those_of_the_program(case, monkeypatch, capsys):
    from reports import cli

    lines = re.findall(r"catamnesis (?:derive|publish) [^&\n]*", "\n".join(blocks("ini") + blocks("cron")))
    assert len(lines) == 2 and all("--derive" in line for line in lines)
    (cron,) = blocks("cron")
    minute, hour, day, month, weekday = cron.split()[:5]
    assert 0 <= int(minute) < 60 and 0 <= int(hour) < 24 and 1 <= int(day) <= 28 and month == weekday == "*"
    monkeypatch.chdir(case)
    for line in lines:
        words = line.replace("/srv/registry/knees.duckdb", "r.duckdb").replace("/srv/www/outcomes", "out").split()
        monkeypatch.setattr("sys.argv", words)
        with pytest.raises(SystemExit) as stop:
            cli.main()
        assert not stop.value.code
    assert "unchanged" in capsys.readouterr().out
