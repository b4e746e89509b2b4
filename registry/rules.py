"""The rules by which a row is accepted or refused, made from the schema and the catalogues as SQL over whole columns.

Each rule knows its column, when it fails (an SQL condition on the row as read and as typed), what to say and to do.
A row that fails any rule is refused whole, with every rule that it failed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import duckdb
from sqlalchemy import BigInteger, Boolean, Date, Integer, Numeric

from registry.columns import Reference
from registry.mapping import source_columns
from registry.tables import Record

# The year a person may be born and a date may lie in: before it, it is a typing error.
EARLIEST_DATE = "1900-01-01"
# A list of up to so many codes is shown to whoever wrote another one.
_LISTED = 8


@dataclass(frozen=True)
class Rule:
    """One rule: `fails` is an SQL condition over ``r`` (typed row, with ``raw_<column>`` the text as read)."""

    name: str
    column: str
    fails: str
    message: str
    advice: str


def typed(column: Any) -> str:
    """Return SQL that reads text column `column` as its type, null when it is not of that form."""
    raw = f"i.{column.name}"
    kind = column.type
    if isinstance(kind, Date) and column.info.get("partial_date"):
        return _partial_date(raw)
    if isinstance(kind, Date):
        return f"case when regexp_full_match({raw}, '\\d{{4}}-\\d{{2}}-\\d{{2}}') then try_cast({raw} as date) end"
    if isinstance(kind, Boolean):
        yes, no = f"lower({raw}) in ('true', 'yes', '1')", f"lower({raw}) in ('false', 'no', '0')"
        return f"case when {yes} then true when {no} then false end"
    if column.name == "answer":
        return _answer(raw)
    if isinstance(kind, Integer | BigInteger):
        return f"case when regexp_full_match({raw}, '-?\\d+(\\.0+)?') then try_cast({raw} as integer) end"
    if isinstance(kind, Numeric):
        number = f"try_cast(try_cast({raw} as double) as decimal(12, 4))"
        return f"case when regexp_full_match({raw}, '{_NUMBER}') then {number} end"
    return raw


# Instruments whose codes rise with health, as the Oxford scores do: the catalogue says so by score and direction.
_HEALTHY_HIGH = (
    "(select item.instrument from catalogue.item as item join catalogue.scoring as scoring using (scale) "
    "join catalogue.scale as scale using (scale) "
    "where (scoring.score_at_high > scoring.score_at_low) = (scale.direction = 'higher_better'))"
)


def _answer(raw: str) -> str:
    """Read one answer, or two boxes ticked as 2/3: then the more severe counts (KOOS Scoring 2012)."""
    ticked = f"try_cast(string_split(regexp_replace({raw}, '\\.0+$', ''), '/') as integer[])"
    severe = f"case when i.instrument in {_HEALTHY_HIGH} then list_min({ticked}) else list_max({ticked}) end"
    return f"case when regexp_full_match({raw}, '\\d{{1,4}}(\\.0+)?|\\d{{1,4}}/\\d{{1,4}}') then {severe} end"


_NUMBER = r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?"


def _partial_date(raw: str) -> str:
    whole = f"case length({raw}) when 4 then {raw} || '-01-01' when 7 then {raw} || '-01' else {raw} end"
    return f"case when regexp_full_match({raw}, '\\d{{4}}(-\\d{{2}}(-\\d{{2}})?)?') then try_cast({whole} as date) end"


def of_table(table: type[Record], con: duckdb.DuckDBPyConnection) -> list[Rule]:
    """Return every rule for `table`: from its columns, its references, and ``catalogue.load_rule``."""
    rules: list[Rule] = []
    own = {c.name: c for c in table.__table__.columns if c.info}  # type: ignore[attr-defined]
    for part in source_columns(table):
        if part in own:
            rules += _column_rules(own[part], con)
        elif part == "patient":
            rules.append(Rule("required", part, "r.raw_patient is null", "there is no value", "every row needs one"))
    for reference in table.__source__.references:
        rules += _reference_rules(reference)
    named = con.execute(
        "select rule, column_name, fails_when, message, advice from catalogue.load_rule where table_name = ?",
        [table.__tablename__],
    ).fetchall()
    return rules + [Rule(*row) for row in named]


def _column_rules(column: Any, con: duckdb.DuckDBPyConnection) -> list[Rule]:
    name, info, kind = column.name, column.info, column.type
    raw, value = f"r.raw_{name}", f"r.{name}"
    rules = []
    if info["required"]:
        rules.append(Rule("required", name, f"{raw} is null", "there is no value", "every row needs one"))
    if isinstance(kind, Date):
        form = "a date as YYYY-MM-DD" + (", YYYY-MM or YYYY" if info["partial_date"] else "")
        advice = "dates are never guessed: correct it, write YYYY-MM-DD, or say the column's format in the mapping"
        rules.append(Rule("date", name, f"{raw} is not null and {value} is null", f"this is not {form}", advice))
        rules.append(Rule("future", name, f"{value} > r.extracted_on", "the date is in the future", "check the year"))
        rules.append(
            Rule("too_early", name, f"{value} < date '{EARLIEST_DATE}'", "the date is before 1900", "check the year")
        )
    elif isinstance(kind, Boolean):
        rules.append(_form(name, "yes or no", "write true, yes, 1 or false, no, 0"))
    elif isinstance(kind, Integer | BigInteger):
        rules.append(_form(name, "a whole number", "write digits only"))
    elif isinstance(kind, Numeric):
        comma = f"regexp_full_match({raw}, '[-+]?\\d+,\\d+')"
        rules.append(
            Rule(
                "decimal_comma",
                name,
                comma,
                "the number has a decimal comma",
                "write a point, or say decimal = ',' in the mapping",
            )
        )
        rule = _form(name, "a number", "write digits with a decimal point; below a limit goes to comparator")
        rules.append(Rule(rule.name, name, f"{rule.fails} and not {comma}", rule.message, rule.advice))
    if info["vocabulary"]:
        known = allowed_codes(info["vocabulary"])
        codes = [
            str(code)
            for (code,) in con.sql(f"select distinct code from {known} as listed (code) order by 1").fetchall()
        ]
        listed = (
            f": {', '.join(codes)}"
            if len(codes) <= _LISTED
            else f" of the list {info['vocabulary']} (see the codebook)"
        )
        advice = f"use a code{listed}; or translate with codes in the mapping"
        rules.append(
            Rule(
                "unknown_code",
                name,
                f"{raw} is not null and {raw} not in {known}",
                "the code is not in the list",
                advice,
            )
        )
    if info["low"] is not None:
        unit = f" {info['unit']}" if info["unit"] else ""
        limits = f"it must be between {info['low']:g} and {info['high']:g}{unit}"
        rules.append(
            Rule(
                "range",
                name,
                f"{value} not between {info['low']} and {info['high']}",
                limits,
                "check the value and its unit",
            )
        )
    return rules


def allowed_codes(vocabulary: str) -> str:
    """Return SQL for the codes of a list: of ``catalogue.vocabulary``, or a column of another catalogue."""
    table, _, column = vocabulary.partition(".")
    if column:
        return f"(select {column} from catalogue.{table})"
    return f"(select code from catalogue.vocabulary where vocabulary = '{vocabulary}')"


def _form(name: str, form: str, advice: str) -> Rule:
    return Rule("type", name, f"r.raw_{name} is not null and r.{name} is null", f"this is not {form}", advice)


def _reference_rules(reference: Reference) -> list[Rule]:
    # A row of this load's parent table that was itself refused is not there: say so, since that is the usual cause.
    advice = f"add it to the {reference.table}s file, or mend its row if that was refused"
    given = " or ".join(
        f"r.raw_{p} is not null" for p in reference.parts if p != "patient" or len(reference.parts) == 1
    )
    absent = f"not r.found_{reference.column}" + (f" and ({given})" if reference.optional else "")
    if reference.table == "patient":
        absent += " and r.raw_patient is not null"
        return [Rule("unknown_patient", "patient", absent, "no accepted patient has this number", advice)]
    said = f"no accepted {reference.table} has this code"
    if reference.parts[0] == "patient":
        *parts, last = reference.parts[1:]
        said = f"this patient has no accepted {reference.table} with this {', '.join(parts)} and {last}"
    # An unknown patient already says it all; the target's own rule would only repeat it.
    known = " and r.found_patient_id" if reference.parts[0] == "patient" else ""
    return [
        Rule(
            f"unknown_{reference.table}",
            reference.parts[-1],
            absent + known,
            said,
            advice,
        )
    ]
