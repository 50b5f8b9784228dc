"""What a running import needs from outside: search, the workers, the store, the clock, folders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from kit.clock import Clock
from loganalyzer.search.v1 import search_pb2
from services.importer.messages import TaskSpec
from services.importer.pool import OnMessage
from services.importer.store import ImportStore


class Unreachable(Exception):  # noqa: N818 - what happened, by name
    """Search cannot be asked now; later it may."""


class Refused(Exception):  # noqa: N818 - what happened, by name
    """Search will not take it, however often it is asked."""


class Catalogue(Protocol):
    """Search's catalogue of splits. Its methods raise Unreachable or Refused."""

    async def publish(self, workspace: str, split: search_pb2.Split) -> None:
        """Makes a split searchable."""

    async def published(self, workspace: str, import_name: str) -> Sequence[search_pb2.Split]:
        """Splits with lines of the import."""


class Workers(Protocol):
    """What is needed of WorkerPool."""

    async def run(self, spec: TaskSpec, on_message: OnMessage) -> dict[int, int]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What every import works with."""

    store: ImportStore
    catalogue: Catalogue
    pool: Workers
    clock: Clock
    #: Folder of all splits, and folder of uploads.
    splits: Path
    spool: Path
    #: Tasks at a time of one import.
    parallel: int
    #: Whether a real path may be read.
    allowed: Callable[[str], bool]
