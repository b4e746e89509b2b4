"""Reporting checklists filled from a package: where each item is answered, and what is left for the authors.

STROBE: von Elm 2007 PLoS Med 4:e296, cohort form. RECORD: Benchimol 2015 PLoS Med 12:e1001885. TARGET: Cashin 2025 JAMA
334:1084. MIBO: Murray 2017 J Bone Joint Surg Am 99:809, its sections as :mod:`registry.reporting` asks them. Items are
in words of our own (``checklist_item.csv``); journals ask for the official form.
"""

from __future__ import annotations

from importlib import resources

import polars as pl

from analysis import Result, disclosure
from analysis.booster_protocol import target_checklist
from registry import Registry
from reports.methods import SETTING
from reports.tables import Table

_SOURCES = {
    "STROBE": "STROBE, cohort studies: von Elm 2007 PLoS Med 4:e296.",
    "RECORD": "RECORD, routinely collected data, beside STROBE: Benchimol 2015 PLoS Med 12:e1001885.",
    "TARGET": "TARGET, emulated trials: Cashin 2025 JAMA 334:1084.",
    "MIBO": "MIBO, mesenchymal stem cells: Murray 2017 J Bone Joint Surg Am 99:809.",
}
_OWN_WORDS = "Items are in short words of our own, to find them by; complete the official form for a submission."
_TITLES = {
    "STROBE": "Observational studies (STROBE)",
    "RECORD": "Routinely collected data (RECORD)",
    "TARGET": "Emulated target trial of a booster (TARGET)",
    "MIBO": "Stem-cell treatments (MIBO)",
}
IN_PACKAGE, IN_PART = "in the package", "in part"
AUTHORS, NOT_APPLICABLE, LEFT_OUT = "for the authors to write", "not applicable", "left out"
_FILES = {"methods": "methods.md", "definitions": "definitions.md", "manifest": "MANIFEST.json", "readme": "README.md",
          "crate": "ro-crate-metadata.json"}  # fmt: skip
_PRODUCTS = (
    "select p.product from record.treatment_session s join record.product p on p.id = s.product_id "
    "join course.course c on c.course_id = s.course_id where c.programme = ? group by 1 "
    "having count(distinct s.patient_id) >= ? order by 1"
)


def catalogue() -> pl.DataFrame:
    """Return the items of STROBE, RECORD and TARGET: ``guideline, item, topic, where, remark``, all text.

    `where` names places by kind, question and row, several apart by ``;``: ``methods:setting``, ``table:trajectories``,
    ``table:characteristics:Age``; or ``authors``, ``none`` (not applicable, and `remark` says why), ``this`` (the
    checklist itself answers). Of MIBO, whose items are those of the registry's own catalogue, only places are here.
    """
    text = resources.files("reports").joinpath("checklist_item.csv").read_bytes()
    return pl.read_csv(text, infer_schema=False).with_columns(pl.all().fill_null(""))


def checklists(
    registry: Registry, programme: str, found: dict[str, Result], left_out: dict[str, str], stems: dict[str, str]
) -> dict[str, Table]:
    """Return the filled checklists by their names: ``item, topic, answer, where``.

    Parameters
    ----------
    registry, programme
        Whose products MIBO is asked of.
    found, left_out
        Suppressed results of the package by question, and reasons of those that it leaves out.
    stems
        Files of the package without their endings, by kind and question, e.g. ``table:safety``.
    """
    filled: dict[str, Table] = {}
    for guideline in ("STROBE", "RECORD", "TARGET"):
        rows = [_row(r, found, left_out, stems) for r in catalogue().filter(guideline=guideline).to_dicts()]
        filled[guideline.lower()] = _table(guideline, rows)
    filled["mibo"] = _table("MIBO", _mibo(registry, programme, found, stems), _mibo_notes(registry, programme))
    return filled


def _table(guideline: str, rows: list[tuple[str, str, str, str]], notes: tuple[str, ...] = ()) -> Table:
    frame = pl.DataFrame(rows, schema=["item", "topic", "answer", "where"], orient="row")
    return Table(_TITLES[guideline], frame, (_SOURCES[guideline], _OWN_WORDS, *notes), prose=True)


def _row(
    item: dict[str, str], found: dict[str, Result], left_out: dict[str, str], stems: dict[str, str]
) -> tuple[str, str, str, str]:
    remark, asked = item["remark"], item["where"].split(";")
    if item["guideline"] == "TARGET" and "booster_effect" not in found:
        why = f"{NOT_APPLICABLE}: no effect of a booster is in the package"
        return item["item"], item["topic"], why, "methods.md § Not estimated" if "booster_effect" in left_out else ""
    if asked == ["none"]:
        return item["item"], item["topic"], f"{NOT_APPLICABLE}: {remark}", ""
    if asked == ["authors"]:
        return item["item"], item["topic"], f"{AUTHORS}: {remark}" if remark else AUTHORS, ""
    if asked[0] == "this":
        said = dict(target_checklist(found["booster_effect"]).select("item", "answer").iter_rows())[item["item"]]
        told = f"{IN_PART}: {said}; left to the authors: {remark}" if remark else f"{IN_PACKAGE}: {said}"
        also = [place for name in asked[1:] if (place := _place(name, found, stems))]
        return item["item"], item["topic"], told, "; ".join(["checklists/target.csv", *also])
    places = [place for name in asked if (place := _place(name, found, stems))]
    if not places:
        missing = [left_out.get(name.partition(":")[2], "not asked") for name in asked]
        return item["item"], item["topic"], f"{LEFT_OUT}: {'; '.join(dict.fromkeys(missing))}", ""
    answer = f"{IN_PART}; left to the authors: {remark}" if remark else IN_PACKAGE
    return item["item"], item["topic"], answer, "; ".join(places)


def _place(name: str, found: dict[str, Result], stems: dict[str, str]) -> str | None:
    """Return where something stands as ``file § section``, or nothing when the package has no such thing."""
    kind, _, rest = name.partition(":")
    if kind in _FILES and not rest:
        return _FILES[kind]
    if kind != "methods":
        question, _, row = rest.partition(":")
        file = stems.get(f"{kind}:{question}")
        return f"{file} § {row}" if file and row else file
    if rest == "setting":
        return f"methods.md § {SETTING}"
    return f"methods.md § {found[rest].title}" if rest in found else None


def _mibo(
    registry: Registry, programme: str, found: dict[str, Result], stems: dict[str, str]
) -> list[tuple[str, str, str, str]]:
    """Return one row an item: whether a file tells it, and of how many it is in the record, small counts hidden."""
    stated = registry.reporting().filter(pl.col("product").is_in(_products(registry, programme)))
    sums = stated.group_by("section", "position", "item", "meaning", "unit").agg(
        pl.col("n").sum(), pl.col("stated").sum()
    )
    told_by = dict(catalogue().filter(guideline="MIBO").select("item", "where").iter_rows())
    rows = [("study design", "design of the study", AUTHORS, "")]
    for r in sums.sort("position", "item").to_dicts():
        place = _place(told_by[r["item"]], found, stems) if r["item"] in told_by and r["stated"] else None
        rows.append((r["section"], r["meaning"], f"{IN_PACKAGE if place else AUTHORS}: {_stated(r)}", place or ""))
    return rows


def _stated(r: dict[str, object]) -> str:
    n, stated = int(str(r["n"])), int(str(r["stated"]))
    if stated == 0:
        return "not in the record"
    if r["unit"] == "product":
        return f"in the record of {stated} of {n} {'product' if n == 1 else 'products'}"
    return f"in the record of {disclosure.share(stated, n)} of {r['unit']}s"


def _mibo_notes(registry: Registry, programme: str) -> tuple[str, ...]:
    shown = _products(registry, programme)
    return (
        f"Asked of {', '.join(shown) or 'no product'}: products of this programme given to "
        f"{disclosure.POLICY.smallest_cell} patients or more, in all their courses in the registry.",
    )


def _products(registry: Registry, programme: str) -> list[str]:
    return [str(r[0]) for r in registry.con.execute(_PRODUCTS, [programme, disclosure.POLICY.smallest_cell]).fetchall()]
