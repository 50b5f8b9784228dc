"""What the search service can be told, and the environment variables that tell it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import kit

__all__ = ["Config"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Settings of the search service. Where it listens is `kit.Server`'s matter (KIT_LISTEN)."""

    #: The database of published splits. Its folder is made if need be.
    database: Path
    #: Folder of the splits: <splits>/<workspace>/<split>.
    splits: Path
    #: KIT_TARGET_WORKSPACE: who knows which workspaces there are.
    workspace_target: str = "local:///workspace"
    #: KIT_TARGET_CACHE: keeps slow answers; the service works without it.
    cache_target: str = "local:///cache"
    #: KIT_TARGET_IMPORTER: who reads lines; tails show them before they are in the index, and work without it.
    importer_target: str = "local:///importer"
    #: Threads that search. The engine lets go of the interpreter's lock, reading lines does so in part.
    threads: int = min(8, (os.cpu_count() or 1) + 2)
    #: Splits kept open: each costs two file descriptors and a thread of the engine that sleeps.
    open_splits: int = 128
    #: Unpacked frames of lines kept in memory, about 80 KB each.
    frames: int = 192
    #: Bytes of finished answers kept in memory.
    answer_bytes: int = 32 << 20
    #: Seconds between signs of life of a tail that has nothing to say.
    heartbeat: float = 15.0
    #: KIT_SEARCH_CARE=0 turns it off: a process beside this one keeps the splits in order (`services.search.care`).
    care: bool = False

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Config:
        """Reads KIT_DATA_DIR (by way of `kit.data_dir`), KIT_TARGET_WORKSPACE, _CACHE, _IMPORTER, KIT_SEARCH_CARE."""
        data = kit.data_dir()
        return cls(
            database=data / "search" / "catalog.db",
            splits=data / "splits",
            workspace_target=environ.get("KIT_TARGET_WORKSPACE") or "local:///workspace",
            cache_target=environ.get("KIT_TARGET_CACHE") or "local:///cache",
            care=environ.get("KIT_SEARCH_CARE", "1") != "0",
            importer_target=environ.get("KIT_TARGET_IMPORTER") or "local:///importer",
        )
