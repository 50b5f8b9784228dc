"""One import from its start, or from where a restart finds it, to its end.

plan        walk the sources; files and tasks are recorded as one change (finding.py, planning.py)
reconcile   only when it was begun before: publish what was built, take in what search knows, remove the rest
tasks       decide what is to be read of each file, have it read, publish it split by split (tasks.py, deciding.py)
follow      if it is to: watch the files and read what comes, until it is cancelled (follow.py)
finish      counts are taken from the published splits, never from what workers said on the way
"""

from __future__ import annotations

import asyncio
import threading

from kit.observe import get_logger, metrics
from services.importer.finding import allowing, find
from services.importer.follow import Follower
from services.importer.planning import PlannedFile, plan_tasks
from services.importer.ports import Means
from services.importer.progress import Progress
from services.importer.publishing import Failed, Publisher
from services.importer.reading import Problem
from services.importer.records import ImportRow, State
from services.importer.tasks import Tasks

_log = get_logger("importer.runner")

_IMPORTS = metrics.counter("loganalyzer.imports", "Imports that have ended.", labels=("state",))
_LINES = metrics.counter("loganalyzer.imported.lines", "Lines of imports that have ended, all of them searchable.")


class Runner:
    """One import that has not ended."""

    def __init__(self, row: ImportRow, means: Means) -> None:
        self.row = row
        self.progress = Progress(row.state, row.start_time, floor=dict(row.shown))
        self._means = means
        self._publisher = Publisher(row, means, self.progress)
        self._tasks = Tasks(row, means, self.progress, self._publisher)
        self._files: list[PlannedFile] = []
        for source in row.sources:
            self.progress.errors[source.number] = list(source.errors)
            self.progress.error_counts[source.number] = source.error_count

    async def restore(self) -> None:
        """Takes up the counts of an import that was begun before."""
        if not self.row.planned:
            return
        plans, progress = self._means.plans, self.progress
        self._files = await plans.files(self.row.id)
        progress.set_plan(self._files)
        progress.tally = await self._tasks.tally(self._files, await plans.splits(self.row.id))
        for number in await plans.done_tasks(self.row.id):
            done = [file.size for file in self._files if file.task == number]
            progress.end_task(number, len(done), sum(done))

    async def run(self) -> ImportRow:
        """Runs it to its end; returns the import as it is then. When it is cancelled, another runner can go on."""
        failure = ""
        try:
            await self._run()
        except* Failed as failures:
            failure = _sentence(failures)
        if failure:
            return await self.finish(State.FAILED, failure)
        totals = self.progress.tally.all
        if not totals.files and not totals.lines and any(self.progress.error_counts.values()):
            first = next(problem for problems in self.progress.errors.values() for problem in problems)
            return await self.finish(State.FAILED, f"Nothing could be read. {first.path}: {first.message}")
        return await self.finish(State.SUCCEEDED, "")

    async def halt(self) -> None:
        """After it was stopped for a pause: settles what was on its way, and shows what is there now."""
        await self._publisher.settle()
        await self.restore()
        self.progress.unpacked_rate.stop()
        self.progress.disk_rate.stop()
        await self._tasks.show()

    async def finish(self, state: State, message: str) -> ImportRow:
        """Ends it in `state` with the counts of what is published; what is not, is removed."""
        means, row = self._means, await self._means.store.get(self.row.id) or self.row
        await self._publisher.settle()
        splits = await means.plans.splits(row.id)
        files = await means.plans.files(row.id)
        tally = await self._tasks.tally(files, splits)
        await self._tasks.remember_rest(files, await means.plans.done_tasks(row.id))
        await self._publisher.remove_leftovers(settled=row.follows)
        await self._tasks.show()
        ended = await means.store.finish(row.id, state, tally.by_source, message=message, now=self._now())
        _IMPORTS.add(state=state.name)
        _LINES.add(tally.all.lines)
        _log.info("import_ended", name=row.name, state=state.name, lines=tally.all.lines, error=message)
        return ended

    async def _run(self) -> None:
        means, progress = self._means, self.progress
        resumed = self.row.start_time is not None
        self.row = await means.store.set_state(self.row.id, State.RUNNING, now=self._now())
        progress.state, progress.start_time = State.RUNNING, self.row.start_time
        progress.tell()
        if not self.row.planned:
            async with means.walks:
                await self._plan()
        if resumed:
            await self._publisher.reconcile(settled=self.row.follows)
        await self.restore()
        # The plan is known: whoever watches hears of it now, and not when a worker has something to say.
        progress.tell()
        done = await means.plans.done_tasks(self.row.id)
        await self._tasks.run([file for file in self._files if file.task not in done])
        if self.row.follow:
            await Follower(self.row, means, progress, self._tasks, self._files).run()

    async def _plan(self) -> None:
        """Walks the sources in a thread, telling how much is found."""
        means, progress, loop, given_up = self._means, self.progress, asyncio.get_running_loop(), threading.Event()
        progress.begin_plan()

        def tell(sizes: list[int]) -> None:
            for size in sizes:
                progress.found(size)
            progress.tell()

        def walk() -> tuple[list[PlannedFile], list[tuple[int, Problem]]]:
            files: list[PlannedFile] = []
            errors: list[tuple[int, Problem]] = []
            sizes: list[int] = []
            for source, found in find(self.row.sources, allowing(self.row, means.allowed, means.spool)):
                if given_up.is_set():
                    break
                if isinstance(found, Problem):
                    errors.append((source, found))
                    continue
                files.append(found)
                sizes.append(found.size)
                if len(sizes) >= 500:
                    loop.call_soon_threadsafe(tell, sizes)
                    sizes = []
            return files, errors

        try:
            files, errors = await asyncio.to_thread(walk)
        finally:
            given_up.set()
        await means.plans.plan(self.row.id, plan_tasks(files, workers=means.parallel), errors)
        planned = await means.store.get(self.row.id)
        assert planned is not None
        self.row = planned
        progress.errors, progress.error_counts = {}, {}
        for number, problem in errors:
            progress.error(number, problem)

    def _now(self) -> int:
        return int(self._means.clock.wall() * 1_000_000)


def _sentence(failures: BaseExceptionGroup[Failed]) -> str:
    failure: BaseException = failures
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return str(failure)
