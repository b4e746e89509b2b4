"""How a file is replaced."""

from __future__ import annotations

from pathlib import Path


def replace_file(path: Path, content: str | bytes) -> None:
    """Write beside and rename: a reader sees the old file or the new one, never half of either."""
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        part.replace(path)
    except OSError:
        # What did not fit on the disk is no file, and its room is wanted.
        part.unlink(missing_ok=True)
        raise
