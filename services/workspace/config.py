"""What the workspace service can be told, and the environment variables that tell it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import kit

IMPORTER = "local:///importer"
SEARCH = "local:///search"


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Settings of the workspace service. Where it listens is `kit.Server`'s matter (KIT_LISTEN)."""

    #: The database file. Its folder must exist.
    database: Path
    #: KIT_TARGET_IMPORTER and KIT_TARGET_SEARCH: the services that a deletion empties.
    importer_target: str = IMPORTER
    search_target: str = SEARCH

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Config:
        """Reads KIT_DATA_DIR (by way of `kit.data_dir`), KIT_TARGET_IMPORTER and KIT_TARGET_SEARCH."""
        return cls(
            database=kit.data_dir() / "workspaces.db",
            importer_target=environ.get("KIT_TARGET_IMPORTER") or IMPORTER,
            search_target=environ.get("KIT_TARGET_SEARCH") or SEARCH,
        )
