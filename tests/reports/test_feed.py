"""The numbers file: all that the page tells, in the form that its schema says, and what is hidden null and marked."""

import copy
import dataclasses
import json
import re

import jsonschema
import pytest
from earlier_report import earlier_report, with_edits

from registry import Registry
from reports.changed_section import changed_section
from reports.changes import changes
from reports.feed import cell, feed, schema, whole_of
from reports.hidden import SAID, TABLES, hidden_section
from reports.printed import write_pdf
from reports.sections import programmes, section_of
from reports.summary import render
from reports.words import ENGLISH, words_of


@pytest.fixture(scope="module")
def made(synthetic_file):
    """Numbers, page and log of two programmes, after a report before."""
    with Registry.open(synthetic_file) as registry:
        rows = [r for r in programmes(registry) if r[0] in ("osteoarthritis", "wellness")]
        sections, whole = [section_of(registry, *row) for row in rows], whole_of(registry)
        before = earlier_report(feed(registry, sections, whole))
        found = with_edits(json.loads(json.dumps(feed(registry, sections, whole, before), default=str)))
        html = render(registry, sections, changed_section(before, found, ENGLISH), None, ENGLISH, whole)
        return before, found, html, sections


def wrong(found) -> list[str]:
    check = jsonschema.Draft202012Validator(json.loads(schema()), format_checker=jsonschema.FormatChecker())
    check.check_schema(check.schema)
    return [f"{'/'.join(map(str, e.absolute_path))}: {e.message}" for e in check.iter_errors(found)]


def test_the_numbers_have_the_form_that_their_schema_says(made):
    assert wrong(made[1]) == [] and wrong(made[0]) == []


def test_the_schema_refuses_what_is_not_in_it_and_numbers_that_should_be_hidden(made):
    for path, value in (
        (("level",), "row-level"), (("patients",), []), (("defects",), None),
        (("programmes", "osteoarthritis", "status", 0, "courses"), {"n": 3, "suppressed": True, "told": "<5"}),
        (("programmes", "osteoarthritis", "results", "describe", "frame"), [{"stratum": "early"}]),
        (("moved", 0, "why"), ["somebody said so"]),
    ):  # fmt: skip
        found = held = copy.deepcopy(made[1])
        for key in path[:-1]:
            held = held[key]
        held[path[-1]] = value
        assert len(wrong(found)) >= 1, path


def test_the_numbers_tell_all_that_the_page_tells(made):
    _, found, html, _ = made
    knee = found["programmes"]["osteoarthritis"]
    assert {"time_to_response", "time_in_response", "trajectories", "describe", "safety", "safety_serious",
            "safety_by_grade"} <= set(knee["results"])  # fmt: skip
    assert found["level"] == "aggregate" and found["$schema"] == "numbers.schema.json"
    table = re.search(r'aria-label="Osteoarthritis: Course status, table">(.*?)</table>', html, re.DOTALL)[1]
    told = re.findall(r'scope="row">(.*?)</th><td>(.*?)</td><td>(.*?)</td>', table)
    assert len(told) > 2
    for (status, n, missed), row in zip(told, knee["status"], strict=True):
        assert row["status"].replace("_", " ") == status
        for text, held in ((n, row["courses"]), (missed, row["with_missed_visits"])):
            assert held == cell(text.replace("&lt;", "<"))
    table = re.search(r'aria-label="Osteoarthritis: Follow-up due, table">(.*?)</table>', html, re.DOTALL)[1]
    lines = [re.findall(r"<td>(.*?)</td>", line) for line in table.split("<tr>")[2:]]
    for line, row in zip(lines, knee["due"], strict=True):
        assert [cell(t.replace("&lt;", "<")) for t in line] == [v for k, v in row.items() if k != "visit"]
    shares = [r["took_place"] for r in knee["completeness"]]
    assert any(s["share"] is not None for s in shares) and any(s["suppressed"] for s in shares)
    table = re.search(r'aria-label="Defects, table">(.*?)</table>', html, re.DOTALL)[1]
    assert len(re.findall(r'scope="row"', table)) == len(found["defects"]) > 0
    assert [r["product"] for r in found["product_quality"]] == re.findall(
        r'scope="row" translate="no">(.*?)</th>', re.search(r"Release tests of products, table.*?</table>", html, re.DOTALL)[0]
    )  # fmt: skip
    assert found["loads"] and found["refused"] is not None


def test_goals_that_were_named_are_among_the_numbers(made):
    knee = made[3][0]
    named = dataclasses.replace(knee.harms[0], question="goals")
    assert named in dataclasses.replace(knee, goals=named).results and knee.goals is None


def test_what_is_hidden_is_null_and_marked_and_never_zero(made):
    rows = [r for p in made[1]["programmes"].values() for q in p["results"].values() for r in q["frame"]]
    hidden = [r for r in rows if str(r["note"]).startswith("suppressed")]
    assert len(hidden) > 50 and all(r["suppressed"] and r["estimate"] is None and r["n"] is None for r in hidden)
    assert not [r for r in rows if r["n"] is not None and 0 < r["n"] < 5 and not r["quantity"].startswith("events")]
    cells = [json.loads(c) for c in re.findall(r'\{"n": [^{}]*\}', json.dumps(made[1]["programmes"]))]
    cells = [c for c in cells if "suppressed" in c]
    assert any(c["suppressed"] for c in cells) and not [c for c in cells if c["n"] is not None and 0 < c["n"] < 5]
    # Never is a cell that the page hides a number.
    assert cell("<5") == {"n": None, "suppressed": True, "told": "<5"} and cell("0")["n"] == 0


def test_the_log_counts_marks_of_the_numbers_file_and_says_no_number_of_people(made):
    _, found, html, _ = made
    logged = {(e["file"], e["told"]): e["n"] for e in found["hidden"] if e["done"] == "withheld"}
    for code, programme in found["programmes"].items():
        for question, result in programme["results"].items():
            marks = sum(str(r["note"]).startswith("suppressed") for r in result["frame"])
            told = logged.get((f"{code}/{question}", "Of few, or what would give such a number away."))
            assert (told or 0) == marks, (code, question)
        for table in ("status", "due", "completeness"):
            marks = json.dumps(programme[table]).count('"suppressed": true')
            assert logged.get((f"{code}/{table}", "Of few, or what would give such a number away."), 0) == marks
    assert {e["level"] for e in found["hidden"]} == {"aggregate"}
    assert not [e for e in found["hidden"] if re.search(r"\d", e["told"])]
    # It is on the page and on paper, near the provenance.
    log = html[html.index('id="provenance"') :].split('id="hidden"')[1].split("</table>")[0]
    assert "Osteoarthritis" in log and "Response by severity stage" in log and "What changed" in log


def test_the_log_is_told_in_german_and_knows_every_place(made):
    from analysis.disclosure.log import Entry

    german = words_of("de")
    assert [text for text in (*SAID, *TABLES.values()) if not german.knows(text)] == []
    entries = [Entry(**e) for e in made[1]["hidden"]]
    labels = {s.programme: s.label for s in made[3]}
    rows = hidden_section(entries, labels, german)
    assert [g["label"] for g in rows] == ["Arthrose", "Wellness, Prävention", "Insgesamt"]
    text = " ".join(v for g in rows for r in g["rows"] for v in r.values())
    assert not re.search(r"\b(of|the|few|withheld|numbers|courses)\b", text), text


def test_of_a_registry_that_hides_nothing_that_is_said(tmp_path):
    with Registry.create(tmp_path / "r.duckdb") as registry:
        assert "Nothing had to be hidden." in render(registry, [])


def rows_of(before, now, **which):
    from reports.changes import moved

    return [r for r in moved(before, now) if all(r[k] == v for k, v in which.items())]


def test_each_number_that_moved_has_before_now_difference_and_why(made):
    before, now, html, _ = made
    (patients,) = rows_of(before, now, programme="osteoarthritis", number="patients")
    assert patients["difference"] == 20 == patients["now"] - patients["before"] and not patients["suppressed"]
    assert patients["why"] == ["patients", "courses", "version"]
    (share, few) = rows_of(before, now, number="in_response_at_12_months")
    assert (
        share["stage"] == "early"
        and share["before"] == 0.01
        and share["difference"] == pytest.approx(share["now"] - 0.01)
    )
    assert {"visits", "corrected", "catalogue", "version"} <= set(share["why"])
    # Three courses more make the other: what was before would tell whether they responded.
    assert few["suppressed"] and few["before"] is few["difference"] is None and few["now"] is not None
    table = re.search(r'aria-label="What changed, table">(.*?)</table>', html, re.DOTALL)[1]
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in table.split("<tr ")]
    line = next(c for c in cells if c and c[0] == "Early: In response at 12 months")
    assert line[1] == "1 %" and line[3].startswith("+") and line[3].endswith(" points") and "visits reached" in line[4]
    assert ["Events", "suppressed"] in [c[:2] for c in cells]
    heads = re.findall(r'scope="col"[^>]*>(.*?)<', table)
    assert heads == ["Number", "Before", "Now", "Difference", "Why"]
    assert "What changed" in html and "Early: In response at 12 months" in html


def test_something_of_weight_is_the_first_thing_to_read_and_else_nothing_is_said_of_it(made):
    _, now, html, _ = made
    points = re.findall(r"<li>(.*?)</li>", re.search(r'class="first".*?</div>', html, re.DOTALL)[0])
    assert len(points) <= 6 and points[0].startswith("<b>Changed.</b> Since the report before (data to 2020-01-31)")
    assert "criteria of response" in points[0] and "Early: In response at 12 months: 1 % →" in points[0]
    assert '<a href="#changed">' in points[0] and 'id="changed"' in html
    quiet = copy.deepcopy(now)
    quiet["counts"]["patient"] -= 20
    assert changed_section(quiet, now, ENGLISH)["point"] is None
    assert changed_section(quiet, now, ENGLISH)["groups"] != []


def told(courses, stages, *, total=None):
    """Numbers of two programmes: courses of each, of the stages of the first, and in all."""
    frame = [{"stratum": s, "quantity": "courses", "denominator": n} for s, n in stages.items()]
    return {
        "data_cut": None, "versions": {}, "counts": {"course": sum(courses) if total is None else total},
        "programmes": {c: {"label": c, "patients": 50, "courses": n, "results": {"describe": {"frame": frame}} if c == "a" else {}}
                       for c, n in zip("ab", courses, strict=True)},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("before", "now", "shown"),
    [
        # Enough everywhere: all is told.
        (told([40, 40], {"x": 20, "y": 20}), told([60, 50], {"x": 30, "y": 30}), {"course": 30, "a": 20, "b": 10, "x": 10, "y": 10}),
        # Two of b: with all it would be what a leaves.
        (told([40, 40], {"x": 20, "y": 20}), told([60, 42], {"x": 30, "y": 30}), {"course": 22, "a": None, "b": None, "x": None, "y": None}),
        # Two of a stage: the other stage goes too; the programme's is known, of which part is not.
        (told([40, 40], {"x": 20, "y": 20}), told([52, 50], {"x": 30, "y": 22}), {"course": 22, "a": 12, "b": 10, "x": None, "y": None}),
        # Two in a stage alone: nothing of it is left to be subtracted.
        (told([40, 40], {"x": 20, "y": 20}), told([42, 50], {"x": 22, "y": 20}), {"course": 12, "a": None, "b": None, "x": None}),
        # Hidden before: seven now are not told as a difference, from all less the others.
        (told([40, None], {"x": 20, "y": 20}, total=43), told([60, 9], {"x": 30, "y": 30}), {"course": 26, "a": None, "b": None, "x": None, "y": None}),
        # One programme alone of few: what is of all is it.
        (told([40, 40], {"x": 40}), told([40, 43], {"x": 40}), {"course": None, "b": None}),
    ],
    ids=["all", "a programme", "a stage", "a stage alone", "hidden before", "all that moved"],
)  # fmt: skip
def test_no_difference_gives_back_a_few(before, now, shown):
    found = {r["stage"] or r["programme"] or r["number"]: r for r in rows_of(before, now) if r["number"] != "patients"}
    assert {k: r["difference"] for k, r in found.items()} == shown
    assert all((r["before"] is None) == (r["difference"] is None) == r["suppressed"] for r in found.values())
    # Neither do the sentences: each exact number in them is one of the table.
    sentences = " ".join(changes(before, now))
    new = {int(n) for n in re.findall(r"(?<!fewer than )\b(\d+) new course", sentences)}
    assert new <= {shown[c] for c in "ab" if c in shown}


def test_a_row_that_was_edited_explains_only_what_rests_on_it():
    before, now = told([40, 40], {"x": 20, "y": 20}), told([60, 50], {"x": 30, "y": 30})
    now["programmes"]["a"]["edited"] = {"retracted": {"n": 9, "files": ["adverse_events"]}}
    assert [r["why"] for r in rows_of(before, now, programme="a", number="courses")] == [["courses"]] * 3
    now["programmes"]["a"]["edited"] = {"retracted": {"n": 9, "files": ["sessions"]}}
    assert rows_of(before, now, programme="a", stage=None, number="courses")[0]["why"] == ["courses", "retracted"]


def test_what_changed_and_what_is_hidden_are_on_paper_too(made):
    import pdf_pages

    words = " ".join(pdf_pages.words(write_pdf(made[2], when=None, mark="m")).split())
    assert "Log of disclosure control" in words and "What changed since the report before" in words
    assert "Early: In response at 12 months" in words
