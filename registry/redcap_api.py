"""Fetches a REDCap project by its API (through PyCap), and does not believe a shortened answer.

The list of records is asked for first, then the records by batches; a batch that comes back without all it was asked
for is asked for again record by record, and what is still lacking ends the fetch. The token is read from the
environment, and is never written or shown.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from registry.errors import CatamnesisError, UsageError
from registry.mapping_options import CHOOSE
from registry.redcap_propose import Proposal
from registry.redcap_propose import propose as proposed

TOKEN = "CATAMNESIS_REDCAP_TOKEN"


def fetch(
    url: str,
    folder: Path,
    *,
    batch: int = 200,
    programme: str = CHOOSE,
    centre: str | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[int, Proposal | None]:
    """Write a project's dictionary, events and records to `folder`, and a proposed mapping if there is none yet.

    Parameters
    ----------
    url
        Address of the API: it ends in ``/api/``.
    batch
        Records asked for at a time.

    Returns
    -------
    tuple
        Number of records, and the proposal if one was written.

    Raises
    ------
    UsageError
        When PyCap is not installed, or the address or the token are not of their form.
    CatamnesisError
        When the server does not answer, refuses, or leaves out records.
    """
    project = _connect(url)
    folder.mkdir(parents=True, exist_ok=True)
    dictionary = _asked(lambda: project.export_metadata(format_type="csv"))
    if not dictionary.startswith("field_name"):
        raise CatamnesisError("REDCap gave no data dictionary. Is this the address of the API?")
    (folder / "data_dictionary.csv").write_text(dictionary, encoding="utf-8")
    try:
        events = project.export_events(format_type="csv")
        (folder / "events.csv").write_text(events, encoding="utf-8")
    except Exception:  # a project without events answers so
        (folder / "events.csv").unlink(missing_ok=True)
    name = next(csv.DictReader(io.StringIO(dictionary)))["field_name"]
    wanted = _ids(_asked(lambda: project.export_records(format_type="csv", fields=[name])), name)
    rows, header = _records(project, name, wanted, batch, progress)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    partial = folder / "export.csv.part"
    partial.write_text(text.getvalue(), encoding="utf-8")
    partial.replace(folder / "export.csv")
    return len(wanted), _propose(project, folder, len(wanted), programme, centre)


def _connect(url: str) -> Any:
    try:
        import redcap
    except ImportError:
        raise UsageError("Fetching needs PyCap: pip install 'catamnesis[redcap]'.") from None
    token = os.environ.get(TOKEN, "")
    # PyCap would show a token that is not of its form.
    if not re.fullmatch(r"[0-9A-Fa-f]{32}", token):
        raise UsageError(f"Put the project's API token (32 hexadecimal digits) into the environment as {TOKEN}.")
    if not re.fullmatch(r"https?://\S+/api/", url):
        raise UsageError("The address of the API ends in /api/, e.g. https://redcap.clinic.example/api/.")
    return _asked(lambda: redcap.Project(url, token))


def _asked(question: Callable[[], Any]) -> Any:
    import redcap
    import requests

    try:
        return question()
    except (requests.ConnectionError, requests.Timeout, ValueError) as error:
        kind = type(error).__name__
        raise CatamnesisError(f"REDCap did not answer as its API does ({kind}). Nothing was kept.") from None
    except (redcap.RedcapError, requests.RequestException) as error:
        said = re.sub(r"[0-9A-Fa-f]{32}", "…", str(error))[:200]
        raise CatamnesisError(f"REDCap refused: {said}. Does the token's user have the right to export?") from None


def _ids(text: str, name: str) -> list[str]:
    return list(dict.fromkeys(row[name] for row in csv.DictReader(io.StringIO(text))))


def _records(
    project: Any, name: str, wanted: list[str], batch: int, progress: Callable[[str], None]
) -> tuple[list[list[str]], list[str]]:
    header: list[str] = []
    rows: list[list[str]] = []
    for start in range(0, len(wanted), batch):
        asked = wanted[start : start + batch]
        header, found = _batch(project, asked, header)
        lacking = [record for record in asked if record not in {row[header.index(name)] for row in found}]
        for record in lacking:
            again = _batch(project, [record], header)[1]
            if not again:
                raise CatamnesisError(
                    f"REDCap left out {len(lacking)} of {len(asked)} records that it listed, also when asked again. "
                    "Nothing was kept: try a smaller --batch, or ask for the user's rights."
                )
            found += again
        rows += found
        progress(f"{min(start + batch, len(wanted)):,} of {len(wanted):,} records")
    return rows, header


def _batch(project: Any, records: list[str], header: list[str]) -> tuple[list[str], list[list[str]]]:
    text = _asked(
        lambda: project.export_records(
            format_type="csv",
            records=records,
            # By form, not by field: an export by field leaves out whether the forms are complete.
            forms=project.forms,
            export_data_access_groups=True,
            export_blank_for_gray_form_status=True,
        )
    )
    answer = [row for row in csv.reader(io.StringIO(text)) if row]
    if not answer:
        return header, []
    if header and answer[0] != header:
        raise CatamnesisError("The project was changed while it was being fetched: its columns differ. Fetch it again.")
    return answer[0], answer[1:]


def _propose(project: Any, folder: Path, records: int, programme: str, centre: str | None) -> Proposal | None:
    if (folder / "load.toml").exists():
        return None
    info = _asked(lambda: project.export_project_info(format_type="json"))
    codes = str(info.get("missing_data_codes") or "") if isinstance(info, dict) else ""
    events = folder / "events.csv"
    made = proposed(
        folder / "data_dictionary.csv",
        events if events.exists() else None,
        programme=programme,
        centre=centre,
        missing_codes=codes,
        export="export.csv",
    )
    text = made.text.replace("# records = 120", f"records = {records}")
    (folder / "load.toml").write_text(text, encoding="utf-8")
    return made
