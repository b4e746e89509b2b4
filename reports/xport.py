"""What the SAS transport format, version 5, can hold: checked before a byte is written.

Names have 1 to 8 of A-Z, 0-9 and underscore and begin with a letter (SPSS reads no underscore there); labels have at
most 40 bytes, texts at most 200; all of it is ASCII. A reader elsewhere takes other bytes for other letters without a
word, so that a text which is not ASCII is refused. It is not transliterated: two names could become one.

References
----------
SAS Institute: Record layout of a SAS version 5 or 6 data set in SAS transport (XPORT) format (TS-140). FDA Study Data
Technical Conformance Guide, section 3.3 (names, labels and ASCII).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import polars as pl

from registry.errors import CatamnesisError

_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,7}", re.ASCII)
_LABEL, _TEXT = 40, 200
_PRINTABLE = r"^[ -~]*$"


def check(name: str, label: str, labels: Mapping[str, str], frame: pl.DataFrame) -> None:
    """Refuse what a transport file cannot hold.

    Parameters
    ----------
    name, label
        Of the dataset.
    labels
        Label by name of variable.
    frame
        The rows, columns named as `labels`.

    Raises
    ------
    CatamnesisError
        With dataset, variable, what is wrong and what to do; no value is told.
    """
    wrong = _named(name, label, "dataset")
    for column, said in labels.items():
        wrong += _named(column, said, "variable")
        if frame.schema[column] == pl.String:
            wrong += _texts(column, frame[column].drop_nulls())
    if wrong:
        raise CatamnesisError(f"{name}: a SAS transport file (version 5) cannot hold it: {'; '.join(wrong)}.")


def _named(name: str, label: str, what: str) -> list[str]:
    wrong = []
    if not _NAME.fullmatch(name):
        wrong.append(f"{what} name {name!r} (give it 1 to 8 of A-Z, 0-9 and underscore, upper case, a letter first)")
    if not re.match(_PRINTABLE, label) or len(label) > _LABEL:
        wrong.append(f"the label of {what} {name}, {label!r} (give it at most {_LABEL} ASCII characters)")
    return wrong


def _texts(column: str, values: pl.Series) -> list[str]:
    wrong = []
    if strange := int((~values.str.contains(_PRINTABLE)).sum()):
        wrong.append(
            f"variable {column}, {strange:,} values that are not ASCII (spell them in A-Z where they come from, such "
            "as the codes of clinics or labels of scales)"
        )
    if long := int((values.str.len_bytes() > _TEXT).sum()):
        wrong.append(f"variable {column}, {long:,} texts above {_TEXT} bytes (shorten them)")
    return wrong
