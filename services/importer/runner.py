"""One import from its start, or from where a restart finds it, to its end.

    plan        walk the sources; files and tasks are recorded as one change
    reconcile   only after a restart: publish what was built, take in what search knows, remove the rest
    tasks       some at a time; a worker builds a split, it is recorded, published, marked as published; then the next
    finish      counts are taken from the published splits, never from what workers said on the way

Whatever is killed in between, the next run finds each split either published, or recorded and on disk (it is published
then: that is idempotent), or neither (it is built again).
"""

from __future__ import annotations

import asyncio
import base64
import random
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from kit.observe import get_logger, metrics
from loganalyzer.search.v1 import search_pb2
from services.importer.leftovers import remove_leftovers
from services.importer.messages import Message, TaskSpec
from services.importer.planning import PlannedFile, Tally, coverage, plan_tasks
from services.importer.pool import TaskFailed, WorkerDied
from services.importer.ports import Means, Refused, Unreachable
from services.importer.progress import Progress
from services.importer.reading import Problem, Reason, Walk
from services.importer.records import ImportRow, SplitRow, State

_log = get_logger("importer.runner")
_T = TypeVar("_T")

_IMPORTS = metrics.counter("loganalyzer.imports", "Imports that have ended.", labels=("state",))
_LINES = metrics.counter("loganalyzer.imported.lines", "Lines of imports that have ended, all of them searchable.")

# A task whose worker dies so often at the same file, without a split in between, goes on without that file.
_DEATHS = 3
# Waiting for search: doubled up to the longest.
_FIRST_WAIT, _LONGEST_WAIT = 0.2, 5.0
# Seconds for it at the end of an import that was stopped.
_LAST_TRY = 2.0


class _Failed(Exception):  # noqa: N818 - how the import ends
    """The import cannot go on."""


class Runner:
    """One import that has not ended."""

    def __init__(self, row: ImportRow, means: Means) -> None:
        self.row = row
        self.progress = Progress(row.state, row.start_time)
        self._means = means
        self._files: list[PlannedFile] = []
        for source in row.sources:
            self.progress.errors[source.number] = list(source.errors)
            self.progress.error_counts[source.number] = source.error_count

    async def run(self) -> ImportRow:
        """Runs it to its end; returns the import as it is then. When it is cancelled, it can be run again."""
        failure = ""
        try:
            await self._run()
        except* _Failed as failures:
            failure = _sentence(failures)
        if failure:
            return await self.finish(State.FAILED, failure)
        totals = self.progress.tally.all
        if not totals.files and not totals.lines and any(self.progress.error_counts.values()):
            first = next(problem for problems in self.progress.errors.values() for problem in problems)
            return await self.finish(State.FAILED, f"Nothing could be read. {first.path}: {first.message}")
        return await self.finish(State.SUCCEEDED, "")

    async def finish(self, state: State, message: str) -> ImportRow:
        """Ends it in `state` with the counts of what is published; what is not, is removed."""
        means, row = self._means, self.row
        await self._settle()
        splits = await means.store.splits(row.id)
        tally = await self._tally(splits)
        ended = await means.store.finish(row.id, state, tally.by_source, message=message, now=self._now())
        keep = {split.split.id for split in splits}
        await asyncio.to_thread(remove_leftovers, means.splits, row.workspace, row.id, keep)
        _IMPORTS.add(state=state.name)
        _LINES.add(tally.all.lines)
        _log.info("import_ended", name=row.name, state=state.name, lines=tally.all.lines, error=message)
        return ended

    async def _run(self) -> None:
        means, row, progress = self._means, self.row, self.progress
        resumed = row.state is not State.QUEUED
        await means.store.start(row.id, self._now())
        progress.state = State.RUNNING
        progress.start_time = row.start_time or self._now()
        progress.tell()
        if not row.planned:
            await self._plan()
        self._files = await means.store.files(row.id)
        progress.set_plan(self._files)
        if resumed:
            await self._reconcile()
        await self._read()

    async def _plan(self) -> None:
        """Walks the sources in a thread, telling how much is found."""
        progress, loop, given_up = self.progress, asyncio.get_running_loop(), threading.Event()
        progress.begin_plan()

        def tell(sizes: list[int]) -> None:
            for size in sizes:
                progress.found(size)
            progress.tell()

        def walk() -> tuple[list[PlannedFile], list[tuple[int, Problem]]]:
            files: list[PlannedFile] = []
            errors: list[tuple[int, Problem]] = []
            walk, sizes = Walk(self._allowed), []
            for source in self.row.sources:
                for found in walk.files(source.path):
                    if given_up.is_set():
                        return files, errors
                    if isinstance(found, Problem):
                        shown = source.name + found.path[len(source.path) :]
                        errors.append((source.number, replace(found, path=shown)))
                        continue
                    name = source.name + found.name[len(source.path) :]
                    files.append(PlannedFile(len(files), source.number, name, found.path, found.size))
                    sizes.append(found.size)
                    if len(sizes) >= 500:
                        loop.call_soon_threadsafe(tell, sizes)
                        sizes = []
            return files, errors

        try:
            files, errors = await asyncio.to_thread(walk)
        finally:
            given_up.set()
        await self._means.store.plan(self.row.id, plan_tasks(files, workers=self._means.parallel), errors)
        progress.errors, progress.error_counts = {}, {}
        for source, problem in errors:
            progress.error(source, problem)

    def _allowed(self, real: str) -> bool:
        return self._means.allowed(real) or Path(real) == self._means.spool.resolve() / self.row.id

    async def _reconcile(self) -> None:
        means, row = self._means, self.row
        for split in await means.store.splits(row.id):
            if not split.published:
                await self._publish(split.split)
        known = {split.split.id for split in await means.store.splits(row.id)}
        for found in await self._ask(lambda: means.catalogue.published(row.workspace, row.name)):
            if found.id not in known:
                await means.store.add_split(row.id, found, None, published=True)
                known.add(found.id)
        await asyncio.to_thread(remove_leftovers, means.splits, row.workspace, row.id, known)
        self.progress.tally = await self._tally(await means.store.splits(row.id))

    async def _settle(self) -> None:
        """Tries once more to publish what was on its way when the import was stopped.

        Whether search took it may be unknown. Where search cannot be asked the files stay, since it may refer to them.
        """
        rows = await self._means.store.splits(self.row.id)
        await asyncio.gather(*(self._settle_one(row.split) for row in rows if not row.published))

    async def _settle_one(self, split: search_pb2.Split) -> None:
        try:
            async with asyncio.timeout(_LAST_TRY):
                await self._means.catalogue.publish(self.row.workspace, split)
        except (Unreachable, TimeoutError):
            _log.warning("split_unsettled", name=self.row.name, split=split.id)
        except Refused:
            await self._means.store.forget_split(split.id)
        else:
            await self._means.store.mark_published(split.id)

    async def _tally(self, splits: Sequence[SplitRow]) -> Tally:
        """Counts what is published and what done tasks found whole without lines."""
        files = self._files or await self._means.store.files(self.row.id)
        tally = Tally({file.number: file.source for file in files})
        for split in splits:
            if split.published:
                tally.add_split(split.split)
        for whole in (await self._means.store.done_tasks(self.row.id)).values():
            tally.add_files(whole)
        return tally

    async def _read(self) -> None:
        tasks: dict[int, list[PlannedFile]] = {}
        for file in self._files:
            tasks.setdefault(file.task, []).append(file)
        for number in await self._means.store.done_tasks(self.row.id):
            self.progress.end_task(number, tasks.pop(number, []))
        # The plan is known: whoever watches hears of it now, and not when a worker has something to say.
        self.progress.tell()
        waiting = iter(sorted(tasks.items()))

        async def work() -> None:
            for number, files in waiting:
                await self._task(number, files)

        async with asyncio.TaskGroup() as group:
            for _ in range(self._means.parallel):
                group.create_task(work())

    async def _task(self, number: int, files: list[PlannedFile]) -> None:
        """Has a task done, however many workers it takes."""
        store, progress = self._means.store, self.progress
        without: set[int] = set()
        deaths: dict[int, int] = {}
        at = splits = 0

        async def on_message(message: Message) -> None:
            nonlocal at, splits
            if message["op"] == "file":
                at = message["number"]
            elif message["op"] == "split":
                splits += 1
            await self._hear(number, message)

        while True:
            before = splits
            progress.begin_task(number)
            left = [file for file in files if file.number not in without]
            try:
                whole = await self._means.pool.run(await self._spec(number, left), on_message)
            except TaskFailed as failed:
                raise _Failed(f"The import cannot go on. {failed}") from None
            except WorkerDied as died:
                if splits > before:
                    deaths.clear()
                deaths[at] = deaths.get(at, 0) + 1
                if deaths[at] >= _DEATHS:
                    without.add(at)
                    await self._give_up(files, at, died)
            else:
                break
            finally:
                progress.drop_task(number)
                progress.tell()
        await store.finish_task(self.row.id, number, whole)
        progress.tally.add_files(whole)
        progress.end_task(number, files)
        progress.tell()

    async def _spec(self, number: int, files: Sequence[PlannedFile]) -> TaskSpec:
        """The task with what is covered of it already."""
        rows = [row for row in await self._means.store.splits(self.row.id) if row.task == number]
        covered = coverage(row.split for row in rows)
        return TaskSpec(
            import_id=self.row.id,
            import_name=self.row.name,
            workspace=self.row.workspace,
            splits=str(self._means.splits),
            number=number,
            ordinal=rows[-1].ordinal + 1 if rows else 0,
            files=[(file.number, file.name, file.path) for file in files],
            covered={source: (one.lines, one.bytes, one.complete) for source, one in covered.items()},
            cursor=rows[-1].cursor if rows else None,
        )

    async def _hear(self, task: int, message: Message) -> None:
        progress = self.progress
        match message["op"]:
            case "file" | "progress":
                progress.heard(task, message, self._means.clock.now())
            case "error":
                problem = Problem(message["path"], Reason(message["reason"]), message["message"], message["line"])
                await self._add_error(message["file"], problem)
            case "split":
                split = search_pb2.Split.FromString(base64.b64decode(message["split"]))
                cursor = message["cursor"]
                await self._means.store.add_split(self.row.id, split, tuple(cursor) if cursor else None)
                await self._publish(split)
                progress.published(task, split)
        if message["op"] != "file":
            progress.tell()

    async def _add_error(self, file: int, problem: Problem) -> None:
        source = self.progress.tally.source_of.get(file, 0)
        if await self._means.store.add_error(self.row.id, source, problem):
            self.progress.error(source, problem)

    async def _give_up(self, files: Sequence[PlannedFile], number: int, died: WorkerDied) -> None:
        name = next((file.name for file in files if file.number == number), "")
        sentence = (
            f"The process that read this file ended {_DEATHS} times ({died.ending}); the rest of it was left out."
        )
        await self._add_error(number, Problem(name, Reason.IO, sentence))

    async def _publish(self, split: search_pb2.Split) -> None:
        """Hands a split over, waiting for search as long as it takes."""
        await self._ask(lambda: self._means.catalogue.publish(self.row.workspace, split))
        await self._means.store.mark_published(split.id)

    async def _ask(self, ask: Callable[[], Awaitable[_T]]) -> _T:
        wait, progress = _FIRST_WAIT, self.progress
        while True:
            try:
                answer = await ask()
            except Unreachable as error:
                progress.message = f"Waiting for the search service: {error}"
                _log.warning("search_unreachable", name=self.row.name, error=str(error))
            except Refused as error:
                raise _Failed(f"The search service does not take the lines: {error}") from None
            else:
                progress.message = ""
                return answer
            progress.tell()
            await self._means.clock.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311 - spreads retries
            wait = min(wait * 2, _LONGEST_WAIT)

    def _now(self) -> int:
        return int(self._means.clock.wall() * 1_000_000)


def _sentence(failures: BaseExceptionGroup[_Failed]) -> str:
    failure: BaseException = failures
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return str(failure)
