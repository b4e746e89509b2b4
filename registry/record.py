"""What every row of the record carries, and how rows name the rows they belong to."""

from __future__ import annotations

from typing import ClassVar

from sqlalchemy import BigInteger, MetaData
from sqlmodel import Field, SQLModel

from registry.columns import Reference, Source

record = MetaData(schema="record")


class Record(SQLModel):
    """What every row of the record carries: its identity and where it came from.

    ``id`` is made from the source key, so that a reload meets the same row; ``row_hash`` is the MD5 of its content.
    """

    metadata = record
    __source__: ClassVar[Source]

    id: int | None = Field(
        default=None,
        primary_key=True,
        sa_type=BigInteger,
        sa_column_kwargs={"autoincrement": False},
        description="Identity of the row",
    )
    load_id: int | None = Field(default=None, description="The load that brought the row")
    source_file_id: int | None = Field(default=None, description="The file it came from")
    source_line: int | None = Field(default=None, description="Its line (or record) in that file")
    row_hash: str | None = Field(default=None, description="MD5 of the content as accepted")


PATIENT = Reference("patient_id", "patient", ("patient",))
TARGET = Reference("target_id", "target", ("patient", "site", "side"))
TARGET_OR_PATIENT = Reference("target_id", "target", ("patient", "site", "side"), optional=True)
COURSE = Reference("course_id", "course", ("patient", "site", "side", "course_no"))

PRODUCT = Reference("product_id", "product", ("product",))
