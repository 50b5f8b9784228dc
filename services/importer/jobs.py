"""All imports of this process: those that have not ended, and what is known of those that have."""

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
from services.importer.records import Ask, Ended, FileRow, ImportRow, Mode, State, answer
from services.importer.runner import Runner
from services.importer.store import WrongState

_log = get_logger("importer.jobs")

_ID_LETTERS = "abcdefghijklmnopqrstuvwyz234567"  # without x, which parts the ids of sources


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An import as it is now. `progress` is None when it has ended."""

    row: ImportRow
    progress: Progress | None


class _Job:
    """An import that has not ended. `task` is None while it is paused."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.task: asyncio.Task[None] | None = None
        self.ended = asyncio.Event()
        #: One caller changes it, the others wait for him.
        self.lock = asyncio.Lock()


class ImportJobs:
    """Starts, follows, pauses, cancels and forgets imports."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._jobs: dict[str, _Job] = {}

    async def start(self) -> None:
        """Goes on with every import that has not ended. Their counts are there when this returns."""
        self._means.spool.mkdir(parents=True, exist_ok=True)
        rows = await self._means.store.unfinished()
        known = {row.id for row in rows}
        for path in self._means.spool.iterdir():
            if path.name not in known:
                path.unlink(missing_ok=True)
        for row in rows:
            job = self._add(row)
            await job.runner.restore()
            if row.state is not State.PAUSED or row.cancelled:
                self._run(job)

    async def stop(self) -> None:
        """Stops all work. Only what is shown is recorded: the next start goes on from there."""
        tasks = [job.task for job in self._jobs.values() if job.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for job in self._jobs.values():
            await self._means.store.show(job.runner.row.id, job.runner.progress.shown())

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

    async def create(
        self,
        import_id: str,
        workspace: str,
        sources: Sequence[tuple[str, str]],
        *,
        mode: Mode = Mode.FULL,
        follow: bool = False,
    ) -> Snapshot:
        """Records an import of (name, path) sources and starts it. It is on disk when this returns."""
        now = int(self._means.clock.wall() * 1_000_000)
        row = await self._means.store.create(import_id, workspace, sources, now, mode=mode, follow=follow)
        job = self._add(row)
        self._run(job)
        return Snapshot(row, job.runner.progress)

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

    async def files(
        self, workspace: str, import_id: str, size: int, after: tuple[str, str] | None
    ) -> list[FileRow] | None:
        """A page of the texts that an import has read; None when there is no such import."""
        if await self.get(workspace, import_id) is None:
            return None
        return await self._means.known.texts(import_id, size, after)

    async def cancel(self, workspace: str, import_id: str) -> Snapshot | None:
        """Cancels an import and waits until nothing of it runs; one that has ended stays as it is."""
        return await self._change(workspace, import_id, Ask.CANCEL)

    async def pause(self, workspace: str, import_id: str) -> Snapshot | None:
        """Stops an import for now and waits until nothing of it runs. Raises Ended."""
        return await self._change(workspace, import_id, Ask.PAUSE)

    async def resume(self, workspace: str, import_id: str) -> Snapshot | None:
        """Lets a paused import go on. Raises Ended."""
        return await self._change(workspace, import_id, Ask.RESUME)

    async def delete(self, workspace: str) -> int:
        """Cancels and forgets every import of a workspace; returns how many there were."""
        running = [job.runner.row.id for job in self._jobs.values() if job.runner.row.workspace == workspace]
        await asyncio.gather(*(self.cancel(workspace, import_id) for import_id in running))
        return await self._means.store.delete(workspace)

    def _add(self, row: ImportRow) -> _Job:
        job = self._jobs[row.id] = _Job(Runner(row, self._means))
        return job

    def _run(self, job: _Job) -> None:
        job.task = kit.background(self._work(job), name=f"import {job.runner.row.id}")

    async def _work(self, job: _Job) -> None:
        runner = job.runner
        try:
            if runner.row.cancelled:
                await runner.finish(State.CANCELLED, "")
            else:
                await runner.run()
        except Exception:  # noqa: BLE001 - one import must not stay RUNNING with nothing behind it
            _log.exception("import_failed", name=runner.row.name)
            with contextlib.suppress(WrongState):  # it had ended before
                await runner.finish(State.FAILED, "An error inside the importer; its log says more.")
        self._end(job)

    async def _change(self, workspace: str, import_id: str, ask: Ask) -> Snapshot | None:
        job = self._jobs.get(import_id)
        if job is not None and job.runner.row.workspace == workspace:
            # Not given up when the caller goes away: it is recorded, so it has to be done.
            await asyncio.shield(asyncio.ensure_future(self._do(job, ask)))
            return await self.get(workspace, import_id)
        found = await self.get(workspace, import_id)
        if found is not None:
            answer(found.row.state, ask)  # it has ended: this refuses, or changes nothing
        return found

    async def _do(self, job: _Job, ask: Ask) -> None:
        async with job.lock:
            import_id = job.runner.row.id
            if import_id not in self._jobs:
                row = await self._means.store.get(import_id)
                if row is not None:
                    answer(row.state, ask)
                return
            state = answer(job.runner.progress.state, ask)
            if state is State.CANCELLED:
                await self._cancel(job)
            elif state is State.PAUSED:
                await self._pause(job)
            elif state is State.QUEUED:
                await self._resume(job)

    async def _halt(self, job: _Job) -> bool:
        """Stops the work on an import; False when it has ended meanwhile."""
        if job.task is not None:
            job.task.cancel()
            await asyncio.wait([job.task])
            job.task = None
        return job.runner.row.id in self._jobs

    async def _cancel(self, job: _Job) -> None:
        await self._means.store.request_cancel(job.runner.row.id)
        if await self._halt(job):
            with contextlib.suppress(WrongState):  # it was stopped behind its end
                await job.runner.finish(State.CANCELLED, "")
            self._end(job)

    async def _pause(self, job: _Job) -> None:
        if not await self._halt(job):
            return
        try:
            row = await self._means.store.set_state(job.runner.row.id, State.PAUSED)
        except WrongState:  # it was stopped behind its end
            self._end(job)
            raise Ended from None
        told = job.runner.progress
        job.runner = Runner(row, self._means)
        await job.runner.halt()
        told.tell()

    async def _resume(self, job: _Job) -> None:
        row = await self._means.store.set_state(job.runner.row.id, State.QUEUED)
        told = job.runner.progress
        job.runner = Runner(row, self._means)
        await job.runner.restore()
        self._run(job)
        told.tell()

    def _end(self, job: _Job) -> None:
        self._jobs.pop(job.runner.row.id, None)
        (self._means.spool / job.runner.row.id).unlink(missing_ok=True)
        job.ended.set()
        job.runner.progress.tell()


def data_folders(folder: Path) -> tuple[Path, Path]:
    """The database and the spool in the importer's folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder / "importer.db", folder / "spool"
