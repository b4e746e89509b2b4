"""Ship the SQL models inside the wheel as ``registry/sql``; an editable install reads the ``sql/`` folder itself."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ShipSqlModels(BuildHookInterface):
    """Add ``sql/`` to standard wheels only: in an editable wheel the copy would shadow the folder being edited."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Register the folder with the wheel builder."""
        if version == "standard":
            build_data["force_include"][str(Path(self.root) / "sql")] = "registry/sql"
