"""Does what `policy` decides, one job at a time, on the splits of a data folder that others search meanwhile.

Nothing that is published is ever changed. A split is built under a new name, put in the place of others in one
transaction of the catalogue, and the folders of those are removed a while later, when no search can need them any more.
So whenever the process is killed, what was published before or what is published after it is there as a whole, and what
is left over is known by its name: splits that are built here begin with "care.".
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from pathlib import Path

import zstandard

from kit.clock import SYSTEM, Clock
from kit.observe import get_logger
from loganalyzer.search.v1 import search_pb2
from services.search.care import locks
from services.search.care.policy import Delete, Facts, Index, Job, Keep, Limits, Rebuild, Unhide, next_job
from services.search.care.rebuild import rebuild
from services.search.care.sums import SUMS, note
from services.search.catalog import Catalog
from services.search.index import grams
from services.search.index.frames import FrameReader
from services.search.index.layout import remove_tree, split_path
from services.search.view import View

__all__ = ["PREFIX", "Carer", "StoppedError", "new_id"]

#: Of the ids of splits that are built by care.
PREFIX = "care."
#: How long the folder of a replaced split stays, in seconds.
KEPT_SECONDS = 60.0
#: How long a split that could not be built again is left alone, in seconds.
PAUSE_SECONDS = 600.0

_log = get_logger("search.care")


class StoppedError(Exception):
    """Care is to end: the job is given up."""


def new_id() -> str:
    """A name for a split that nobody has had before."""
    return PREFIX + secrets.token_hex(8)


async def _no_limits(_workspace: str) -> Keep | None:
    return None


def _go_on(_step: str) -> None:
    pass


class Carer:
    """`step` does one thing. `keep_of` says what a workspace keeps, None where there is no limit or nobody can say.

    `at` is told each step of a job, for tests that end the process there.
    """

    def __init__(
        self,
        catalog: Catalog,
        splits: Path,
        lock: Path,
        keep_of: Callable[[str], Awaitable[Keep | None]] = _no_limits,
        *,
        clock: Clock = SYSTEM,
        limits: Limits | None = None,
        at: Callable[[str], None] = _go_on,
    ) -> None:
        self._catalog = catalog
        self._root = splits
        self._lock = lock
        self._keep_of = keep_of
        self._clock = clock
        self._limits = Limits() if limits is None else limits
        self._at = at
        self._stopped = threading.Event()
        self._begun = False
        self._indexed: set[tuple[str, str]] = set()
        self._removed: set[tuple[str, str]] = set()
        self._undated: dict[tuple[str, str], bool] = {}
        self._paused: dict[tuple[str, str], float] = {}
        self._changed: dict[str, tuple[int, float]] = {}

    def stop(self) -> None:
        """The job under way is given up, in any thread."""
        self._stopped.set()

    async def step(self) -> bool:
        """Does the next thing; False where there is nothing to do, or another process works on the folder."""
        with locks.held(self._lock) as mine:
            if not mine:
                return False
            if not self._begun:
                await asyncio.to_thread(_remove_leftovers, self._root, self._known())
                self._begun = True
            if await self._remove_replaced():
                return True
            job = next_job(self._views(), await self._facts())
            if job is None:
                return False
            try:
                await self._do(job)
            except (OSError, ValueError, RuntimeError, zstandard.ZstdError) as error:
                self._pause(job, error)
            return True

    def _views(self) -> dict[str, View]:
        return {workspace: self._catalog.view(workspace) for workspace in self._catalog.workspaces()}

    async def _facts(self) -> Facts:
        """What `policy` wants to know."""
        views, now = self._views(), self._clock.wall()
        keep = {workspace: kept for workspace in views if (kept := await self._keep_of(workspace)) is not None}
        for workspace, view in views.items():
            if self._changed.get(workspace, (-1, 0.0))[0] != view.generation:
                self._changed[workspace] = (view.generation, now)
            for published in view.splits:
                key = (workspace, published.split.id)
                if key not in self._indexed and self._is_indexed(*key, published.split):
                    self._indexed.add(key)
                if workspace in keep and key not in self._undated:
                    self._undated[key] = await asyncio.to_thread(self._has_undated, workspace, published.split)
        self._paused = {key: until for key, until in self._paused.items() if until > self._clock.now()}
        return Facts(
            now=now,
            indexed=self._indexed,
            left_alone=self._paused.keys(),
            undated={key for key, undated in self._undated.items() if undated},
            keep=keep,
            changed={workspace: changed for workspace, (_, changed) in self._changed.items()},
            limits=self._limits,
        )

    async def _do(self, job: Job) -> None:
        match job:
            case Index():
                await asyncio.to_thread(self._index, job.workspace, job.split)
            case Rebuild():
                await self._rebuild(job)
            case Delete():
                if await self._catalog.replace(job.workspace, [job.split.id], None):
                    _log.info("care_deleted", workspace=job.workspace, split=job.split.id, lines=job.split.line_count)
                self._at("deleted")
            case Unhide():
                await self._catalog.unhide(job.workspace, job.source_id)
                self._at("unhidden")

    async def _rebuild(self, job: Rebuild) -> None:
        identifier = new_id()
        folder = split_path(self._root, job.workspace, identifier)
        build = partial(
            rebuild, self._root, job.workspace, job.splits, identifier, without=job.without, check=self._check
        )
        replaced = False
        try:
            new = await asyncio.to_thread(build)
            self._at("built")
            if new is not None:
                await asyncio.to_thread(self._index, job.workspace, new)
            replaced = await self._catalog.replace(job.workspace, [split.id for split in job.splits], new)
            self._at("replaced")
        finally:
            # Not replaced where somebody has changed the workspace meanwhile: what is to be done is decided anew.
            if not replaced:
                await asyncio.to_thread(remove_tree, folder)
        if not replaced:
            return
        _log.info(
            "care_rebuilt",
            reason=job.reason,
            workspace=job.workspace,
            splits=len(job.splits),
            into="" if new is None else new.id,
            bytes=0 if new is None else new.raw_bytes,
        )

    def _index(self, workspace: str, split: search_pb2.Split) -> None:
        self._check()
        folder = split_path(self._root, workspace, split.id)
        if split.raw_bytes >= self._limits.grams and grams.open_grams(folder) is None:
            grams.build(folder, self._check)
            self._at("grams")
        note(folder)
        self._at("noted")

    def _is_indexed(self, workspace: str, split_id: str, split: search_pb2.Split) -> bool:
        folder = split_path(self._root, workspace, split_id)
        small = split.raw_bytes < self._limits.grams
        return (folder / SUMS).exists() and (small or grams.open_grams(folder) is not None)

    def _has_undated(self, workspace: str, split: search_pb2.Split) -> bool:
        """Whether a line may have no time. Where it cannot be known it may."""
        try:
            reader = FrameReader(split_path(self._root, workspace, split.id))
        except (OSError, ValueError):
            return True
        try:
            times = [reader.times(number) for number in range(len(reader))]
        finally:
            reader.close()
        return sum(0 if each is None else each.dated for each in times) < split.line_count

    async def _remove_replaced(self) -> bool:
        """Removes the folder of a split that was replaced a while ago; False where there is none."""
        for workspace, view in self._views().items():
            published = {each.split.id for each in view.splits}
            for move in view.moves:
                if self._clock.wall() - move.moved_at < KEPT_SECONDS:
                    continue
                for old in move.replaced:
                    key = (workspace, old.split.id)
                    if key in self._removed or old.split.id in published:
                        continue
                    self._removed.add(key)
                    folder = split_path(self._root, *key)
                    if folder.exists():
                        self._at("removing")
                        await asyncio.to_thread(remove_tree, folder)
                        self._at("removed")
                        return True
        return False

    def _known(self) -> set[tuple[str, str]]:
        """The splits that the catalogue names, replaced ones among them."""
        views = self._views().items()
        now = {(workspace, each.split.id) for workspace, view in views for each in view.splits}
        return now | {(workspace, name) for workspace, view in views for name in view.moved}

    def _pause(self, job: Job, error: Exception) -> None:
        splits = job.splits if isinstance(job, Rebuild) else (job.split,) if isinstance(job, Index | Delete) else ()
        names = [split.id for split in splits]
        _log.warning("care_failed", job=type(job).__name__, workspace=job.workspace, splits=names, error=str(error))
        for name in names:
            self._paused[job.workspace, name] = self._clock.now() + PAUSE_SECONDS

    def _check(self) -> None:
        self._at("frame")
        if self._stopped.is_set():
            raise StoppedError


def _remove_leftovers(root: Path, known: Collection[tuple[str, str]]) -> None:
    """Removes what a care process that was killed had not finished, or had not put in its place."""
    for pattern in (f"*/.tmp-{PREFIX}*", f"*/.old-{PREFIX}*", f"*/{PREFIX}*"):
        for path in root.glob(pattern):
            if (path.parent.name, path.name) not in known:
                remove_tree(path)
