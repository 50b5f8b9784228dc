"""What a running import needs from outside: search, the workers, the database, the clock, folders."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from kit.clock import Clock
from loganalyzer.search.v1 import search_pb2
from services.importer.claims import Claims
from services.importer.known import KnownStore
from services.importer.messages import TaskSpec
from services.importer.plans import PlanStore
from services.importer.processes import OnMessage
from services.importer.store import ImportStore
from services.importer.tails import Tails


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

    async def sources(self, workspace: str) -> frozenset[str]:
        """Ids of the sources that have lines."""

    async def delete_source(self, workspace: str, source_id: str) -> None:
        """Deletes the lines of a source; one that has none is no error."""


class Workers(Protocol):
    """What is needed of WorkerPool."""

    async def run(
        self, spec: TaskSpec, on_message: OnMessage, *, weight: int = ..., yields: bool = ...
    ) -> dict[int, int]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What every import works with."""

    store: ImportStore
    plans: PlanStore
    known: KnownStore
    catalogue: Catalogue
    pool: Workers
    tails: Tails
    clock: Clock
    #: Folder of all splits, and folder of uploads.
    splits: Path
    spool: Path
    #: Tasks at a time of one import.
    parallel: int
    #: Whether a real path may be read.
    allowed: Callable[[str], bool]
    claims: Claims = field(default_factory=Claims)
    #: Folders are walked by so many imports at a time.
    walks: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(4))
