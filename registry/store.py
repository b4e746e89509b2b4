"""The registry: one DuckDB file, opened read-only unless asked, and the views through which it is read."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
from html import escape
from pathlib import Path
from typing import Unpack

import duckdb
import polars as pl

from registry import asked, audit, checks, encryption, history, pseudonyms, reporting, shared, spilling, sqlmodels
from registry.connection import SCHEMA_VERSION, attach, attached, engine_version, new_session, show_as_views
from registry.courses import Courses, Selection, signature
from registry.derivation import derivation_stamp, materialised
from registry.errors import UsageError
from registry.one_centre import show_centre
from registry.replacing import at_work, replacing
from registry.tables import TABLES


class Registry:
    """A registry opened for reading.

    Use :meth:`open` (or :meth:`create` once). Everything a researcher asks is asked of a connection in memory that
    sees the registry's tables as views; nothing typed there can change the file. In a cell it shows what it holds.

    Examples
    --------
    >>> knees = reg.courses(programme="osteoarthritis", site="knee")
    >>> reg.sql("select count(*) as n from record.patient")["n"][0] > 0
    True
    >>> reg.check().columns[:3]  # what contradicts itself, or is not there and should be
    ['defect', 'category', 'kind']

    Attributes
    ----------
    path
        The DuckDB file, or the folder of a data cut.
    con
        DuckDB connection with schemas ``record, past, catalogue, log, staging, course, endpoint, summary``.
    frozen
        Whether derived tables are those of a data cut.
    as_of, centre
        The load after which the record is read as it was, the centre that is read alone; None: as it is, all of them.
    """

    def __init__(
        self, path: Path, con: duckdb.DuckDBPyConnection, notes: tuple[str, ...] = (), *, frozen: bool = False,
        as_of: int | None = None, centre: str | None = None,
    ):  # fmt: skip
        self.path = path
        self.con = con
        self.notes = list(notes)
        self.frozen = frozen
        self.as_of = as_of
        self.centre = centre

    @classmethod
    def create(cls, path: str | Path, *, key: bytes | None = None) -> Registry:
        """Create an empty registry with its catalogues, and the secret that makes its pseudonyms.

        Parameters
        ----------
        path
            New file; an existing one is never overwritten.
        key
            Secret of the pseudonyms, 16 bytes or more; drawn at random if not given. It is kept in ``<path>.key``,
            readable by its owner only. Without it the same patient cannot be recognised in a later file.

        With a key in the environment (``CATAMNESIS_KEY``, or a file named by ``CATAMNESIS_KEY_FILE``) it is encrypted.

        Raises
        ------
        UsageError
            When the file exists, its folder does not, or the key of the environment is short.
        """
        path = Path(path)
        _free(path)
        if not path.parent.is_dir():
            raise UsageError(f"There is no folder {path.parent}. Create it first.")
        hides, secret = encryption.new_key(), pseudonyms.new_key(path, key)
        with replacing(path) as new, new_session(new) as con:
            _free(path)
            attach(con, new, "registry", secret=hides, mode="new")
            con.execute("use registry; begin")
            shared.create_tables(con)
            con.executemany("insert into log.meta values (?, ?)", list(_birth_certificate().items()))
            audit.append(con, "create", _birth_certificate())
            con.execute("commit; checkpoint registry")
            pseudonyms.keep(path, secret)
        return cls.open(path)

    @classmethod
    def open(cls, path: str | Path, *, as_of: int | str | dt.date | None = None, centre: str | None = None) -> Registry:
        """Open for reading. Derived tables that are older than the record are derived again, in memory.

        A working copy of a shared record is brought up to date first; where its server does not answer, a note says so.

        Parameters
        ----------
        as_of
            Read the record as it was after a load (its number), or at the end of a day (a date); catalogues and SQL
            are those of now.
        centre
            Read the patients of this centre alone, as if no other had sent any; what is derived is derived in memory.

        Raises
        ------
        RegistryMissing
            When there is no such file, or it is not a registry.
        RegistryBusy
            When another process is writing to it.
        UsageError
            When nothing had been loaded by then, the day has not come, or there is no such centre.
        """
        from registry import cut

        path = Path(path)
        if centre is not None and (as_of is not None or cut.is_cut(path)):
            raise UsageError("One centre alone is read from the registry as it is now: no cut, and no --as-of.")
        if cut.is_cut(path):
            if as_of is not None:
                raise UsageError(
                    f"{path.name} is a data cut, as of its own day. Open the registry to read another one."
                )
            return cut.open_cut(path)
        late = shared.brought_up(path)
        written = at_work(path)
        con = attached(path, read_only=True)
        told = (*late, _as_before(con)) if written else late
        if as_of is not None:
            load_id = history.as_of_load(con, as_of)
            history.show_as_of(con, load_id)
            sqlmodels.run(con, materialised())
            return cls(path, con, (f"The record as it was after load {load_id}.", *told), as_of=load_id)
        if centre is not None:
            show_centre(con, centre)
            sqlmodels.run(con, materialised())
            return cls(path, con, (f"Centre {centre} alone.", *told), centre=centre)
        show_as_views(con)
        registry = cls(path, con, told)
        if registry.stale():
            registry.notes.append(
                "Derived tables are older than the record and were derived in memory for this session; "
                f"`catamnesis derive {path.name}` keeps them."
            )
            sqlmodels.run(con, materialised())
        return registry

    # -- what is in it ------------------------------------------------------------------------------------------

    def sql(self, query: str) -> pl.DataFrame:
        """Answer a SELECT as a Polars frame; :meth:`tables` lists what can be asked.

        Raises
        ------
        UsageError
            When it is not one SELECT, or the engine does not understand it; the message is the engine's.

        Examples
        --------
        >>> reg.sql("select stage, count(*) as courses from course.profile group by stage").columns
        ['stage', 'courses']
        """
        return asked.answer(self.con, query)

    def tables(self) -> pl.DataFrame:
        """Return what can be asked with :meth:`sql`, one row a table: ``table, title, columns``."""
        return asked.tables(self.con)

    def meta(self, key: str) -> str | None:
        """Return one entry of ``log.meta``."""
        row = self.con.execute("select value from log.meta where key = ?", [key]).fetchone()
        return str(row[0]) if row else None

    @property
    def data_cut(self) -> dt.date | None:
        """The day up to which the data speak: the latest of the centres'. None before a patient was accepted.

        A file that holds nothing of a patient, or was refused whole, does not move it.
        """
        row = self.con.sql("select max(data_cut) from staging.data_cut").fetchone()
        return row[0] if row else None

    @property
    def encrypted(self) -> bool:
        """Whether the file is encrypted."""
        query = "select encrypted from duckdb_databases() where database_name = 'registry'"
        return (self.con.sql(query).fetchone() or (False,))[0] is True

    def stale(self) -> bool:
        """Whether the record was loaded (or the SQL changed) after the derived tables were made."""
        return not self.frozen and self.meta("derived_from") != derivation_stamp(self.con)

    def counts(self) -> dict[str, int]:
        """Rows by record table."""
        query = " union all ".join(
            f"select '{t.__tablename__}' as t, count(*) as n from record.{t.__tablename__}" for t in TABLES
        )
        return {str(t): int(n) for t, n in self.con.sql(query).fetchall()}

    def check(self, limits: dict[str, float] | None = None) -> pl.DataFrame:
        """Return open findings of the checks, one a line, errors first; see :mod:`registry.checks`.

        ``defect, category, kind, severity, table, row, message, meaning, load, file, line``. A finding is no error of
        loading: each row was good alone, but rows contradict each other, or something that should be there is not.

        Parameters
        ----------
        limits
            Limits of single checks other than the catalogue's, e.g. ``{"sudden_change": 60}``.
        """
        return checks.find(self.con, limits)

    def follow_up(self) -> pl.DataFrame:
        """Return courses seen, late, overdue, missed, lost and ended by centre, stage, planned visit and scale."""
        sqlmodels.run(self.con, ["reduction.follow_up_state", "reduction.follow_up"])
        return self.sql("from reduction.follow_up order by programme, centre, stage, position, scale")

    def follow_up_visits(self) -> pl.DataFrame:
        """Return the same by planned visit: each course counts once a visit, seen if one of its scales was."""
        sqlmodels.run(self.con, ["reduction.follow_up_state", "reduction.follow_up_visit"])
        return self.sql("from reduction.follow_up_visit order by programme, position")

    def reporting(self) -> pl.DataFrame:
        """Return how completely each product and its use are described, item by item (MIBO, DOSES).

        :func:`registry.reporting.sections` of it gives means beside the published one of trials, 70.5 %.
        """
        return reporting.items(self.con)

    def rejections(self) -> pl.DataFrame:
        """Return why rows were refused: ``file, table, line, column, rule, value, message, advice``."""
        return self.sql(
            "select f.file, r.table_name as table, r.source_line as line, r.column_name as column, r.rule, r.value, "
            "r.message, r.advice from log.rejection r join log.source_file f using (source_file_id) "
            "order by f.file, r.table_name, r.source_line, r.column_name"
        )

    def changes(self) -> pl.DataFrame:
        """Return what was changed after it was recorded, one value a row; a retracted row has no column.

        ``load, loaded_at, loaded_by, kind, table, file, line, column, old, new, reason``; file and line are those of
        the version replaced.
        """
        return self.sql(history.changes_query())

    def chain_head(self) -> str:
        """Return the hash of the last entry of the chain: kept elsewhere, it tells a chain that was written anew."""
        row = self.con.sql("select hash from log.audit order by seq desc limit 1").fetchone()
        return str(row[0]) if row else ""

    def verify(self) -> audit.Verified:
        """Follow the chain of what was done, and compare the rows of every load with what was written down of them."""
        return audit.verify(self.con)

    def status(self) -> pl.DataFrame:
        """Return course status and worklist: one row a course with the rule that put it there and what is due.

        Patients are known by pseudonym only; ``file`` and ``line`` lead the clinic to its own row.
        """
        return self.sql(
            "select status.*, profile.centre, profile.site, profile.side, profile.course_no, file.file, "
            "course.source_line as line from summary.course_status status "
            "join course.profile profile using (course_id) join record.course course on course.id = status.course_id "
            "left join log.source_file file using (source_file_id) "
            "order by status.programme, status.status, file.file, line, status.course_id"
        )

    def courses(self, **selection: Unpack[Selection]) -> Courses:
        """Select courses; see :meth:`registry.courses.Courses.select` for the arguments and their meaning.

        Examples
        --------
        >>> knees = reg.courses(programme="osteoarthritis", stage=["early", "moderate"], min_age=40)
        >>> knees.flow()["reason"][-1]
        'selected'
        """
        return Courses.select(self, **selection)

    courses.__signature__ = signature(Selection)  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        facts = ", ".join(f"{n:,} {what}" for what, n in self._headline().items())
        return f"Registry {self.path.name}: {facts}; data to {self.data_cut or 'no load yet'}" + "".join(
            f"\n  note: {note}" for note in self.notes
        )

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><td>{escape(k)}</td><td>{v:,}</td></tr>" for k, v in self._headline().items())
        notes = "".join(f"<div><b>Note.</b> {escape(note)}</div>" for note in self.notes)
        return f"<b>{escape(self.path.name)}</b>, data to {self.data_cut or 'no load yet'}{notes}<table>{rows}</table>"

    def _headline(self) -> dict[str, int]:
        n = self.counts()
        defects = self.con.sql("select count(*) from log.rejected_row").fetchone() or (0,)
        return {
            "patients": n["patient"],
            "targets": n["target"],
            "courses": n["course"],
            "sessions": n["treatment_session"],
            "measurements": n["measurement"],
            "item answers": n["item_response"],
            "rows refused": int(defects[0]),
        }

    def close(self) -> None:
        """Close the connection; the registry can then be written by another process."""
        spilling.close(self.con)

    def __enter__(self) -> Registry:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _as_before(con: duckdb.DuckDBPyConnection) -> str:
    """Say which state a reader has before them while the registry is being written."""
    load, at = con.sql("select max(load_id), max(loaded_at) from registry.log.load").fetchone() or (None, None)
    state = f"after load {load} of {at:%Y-%m-%d %H:%M} UTC" if load else "before the first load"
    return f"Being written by another process, or a writer was stopped: this is the record as it was {state}."


def _free(path: Path) -> None:
    if path.exists():
        raise UsageError(f"{path.name} exists. Nothing was changed; choose another name or open it.")


def _birth_certificate() -> dict[str, str]:
    return {
        "schema_version": SCHEMA_VERSION,
        "created_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "code_version": importlib.metadata.version("catamnesis"),
        "engine": f"duckdb {engine_version()}",
        "catalogue_changes": "0",
    }
