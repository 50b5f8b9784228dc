"""All imports of this process: those that run, and what is known of those that have ended."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import kit
from kit.observe import get_logger
from services.importer.ports import Means
from services.importer.progress import Progress
from services.importer.records import ImportRow, State
from services.importer.runner import Runner

_log = get_logger("importer.jobs")

_ID_LETTERS = "abcdefghijklmnopqrstuvwyz234567"  # without x, which parts the ids of sources


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An import as it is now. `progress` is None when it does not run."""

    row: ImportRow
    progress: Progress | None


class _Job:
    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.task: asyncio.Task[None] | None = None
        self.ended = asyncio.Event()
        #: One caller cancels, the others wait for it.
        self.lock = asyncio.Lock()


class ImportJobs:
    """Starts, follows, cancels and forgets imports."""

    def __init__(self, means: Means, *, at_once: int = 4) -> None:
        self._means = means
        self._slots = asyncio.Semaphore(at_once)
        self._jobs: dict[str, _Job] = {}

    async def start(self) -> None:
        """Goes on with every import that has not ended."""
        self._means.spool.mkdir(parents=True, exist_ok=True)
        rows = await self._means.store.unfinished()
        known = {row.id for row in rows}
        for path in self._means.spool.iterdir():
            if path.name not in known:
                path.unlink(missing_ok=True)
        for row in rows:
            self._begin(row)

    async def stop(self) -> None:
        """Stops all work. Nothing is recorded: the next start goes on from there."""
        tasks = [job.task for job in self._jobs.values() if job.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def spool_path(self, import_id: str) -> Path:
        """Where the upload of an import lies."""
        return self._means.spool / import_id

    async def wait_for_end(self, import_id: str, seconds: float) -> None:
        """Returns when the import has ended, or after `seconds`."""
        job = self._jobs.get(import_id)
        if job is None or seconds <= 0:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await job.ended.wait()

    @staticmethod
    def new_id() -> str:
        """An id for an import, never used before."""
        return "".join(secrets.choice(_ID_LETTERS) for _ in range(12))

    async def create(self, import_id: str, workspace: str, sources: Sequence[tuple[str, str]]) -> Snapshot:
        """Records an import of (name, path) sources and starts it. It is on disk when this returns."""
        now = int(self._means.clock.wall() * 1_000_000)
        row = await self._means.store.create(import_id, workspace, sources, now)
        return self._begin(row)

    async def get(self, workspace: str, import_id: str) -> Snapshot | None:
        """An import of the workspace, or None."""
        job = self._jobs.get(import_id)
        if job is not None and job.runner.row.workspace == workspace:
            return Snapshot(job.runner.row, job.runner.progress)
        row = await self._means.store.get(import_id)
        return None if row is None or row.workspace != workspace else Snapshot(row, None)

    async def page(self, workspace: str, size: int, before: int | None) -> list[Snapshot]:
        """Imports of a workspace, newest first."""
        rows = await self._means.store.page(workspace, size, before)
        jobs = {row.id: self._jobs.get(row.id) for row in rows}
        return [Snapshot(row, None if (job := jobs[row.id]) is None else job.runner.progress) for row in rows]

    async def cancel(self, workspace: str, import_id: str) -> Snapshot | None:
        """Cancels an import and waits until nothing of it runs; one that has ended stays as it is."""
        job = self._jobs.get(import_id)
        if job is None or job.runner.row.workspace != workspace:
            return await self.get(workspace, import_id)
        # Not given up when the caller goes away: it is recorded, so it has to be done.
        await asyncio.shield(asyncio.ensure_future(self._cancel(job)))
        return await self.get(workspace, import_id)

    async def delete(self, workspace: str) -> int:
        """Cancels and forgets every import of a workspace; returns how many there were."""
        running = [job.runner.row.id for job in self._jobs.values() if job.runner.row.workspace == workspace]
        await asyncio.gather(*(self.cancel(workspace, import_id) for import_id in running))
        return await self._means.store.delete(workspace)

    def _begin(self, row: ImportRow) -> Snapshot:
        runner = Runner(row, self._means)
        job = self._jobs[row.id] = _Job(runner)
        job.task = kit.background(self._follow(job), name=f"import {row.id}")
        return Snapshot(row, runner.progress)

    async def _follow(self, job: _Job) -> None:
        runner = job.runner
        async with self._slots:
            try:
                if runner.row.cancelled:
                    await runner.finish(State.CANCELLED, "")
                else:
                    await runner.run()
            except Exception:  # noqa: BLE001 - one import must not stay RUNNING with nothing behind it
                _log.exception("import_failed", name=runner.row.name)
                await runner.finish(State.FAILED, "An error inside the importer; its log says more.")
        self._end(job)

    async def _cancel(self, job: _Job) -> None:
        async with job.lock:
            if job.runner.row.id not in self._jobs:
                return
            await self._means.store.request_cancel(job.runner.row.id)
            assert job.task is not None
            job.task.cancel()
            await asyncio.wait([job.task])
            if job.runner.row.id in self._jobs:
                await job.runner.finish(State.CANCELLED, "")
                self._end(job)

    def _end(self, job: _Job) -> None:
        self._jobs.pop(job.runner.row.id, None)
        (self._means.spool / job.runner.row.id).unlink(missing_ok=True)
        job.ended.set()
        job.runner.progress.tell()


def data_folders(folder: Path) -> tuple[Path, Path]:
    """The database and the spool in the importer's folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder / "importer.db", folder / "spool"
