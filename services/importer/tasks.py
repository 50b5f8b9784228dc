"""The tasks of one import: decided, given to workers, recorded and published split by split, and done.

A worker builds a split; it is recorded, published, marked as published; then the next. Whatever is killed in between,
the next try finds each split either published, or recorded and on disk, or neither: then it is built again.
"""

from __future__ import annotations

import asyncio
import base64
import os
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from loganalyzer.search.v1 import search_pb2
from services.importer.deciding import Decider
from services.importer.identity import Decision, Kept
from services.importer.messages import Message, TaskSpec
from services.importer.planning import PlannedFile, Tally, Totals, coverage, in_order
from services.importer.pool import TaskFailed, WorkerDied, Yielded
from services.importer.ports import Means
from services.importer.progress import Progress
from services.importer.publishing import Failed, Publisher
from services.importer.reading import Problem, Reason
from services.importer.records import FileRow, ImportRow, SplitRow

# A task whose worker dies so often at the same file, without a split in between, goes on without that file.
_DEATHS = 3
#: A last line without a line feed is held back in a file that is followed until it has not changed for so long.
REST_SECONDS = 10.0
# What was shown is recorded so often, at most.
_SHOW_SECONDS = 1.0


class Tasks:
    """Runs tasks of one import."""

    def __init__(self, row: ImportRow, means: Means, progress: Progress, publisher: Publisher) -> None:
        self._row = row
        self._means = means
        self._progress = progress
        self._publisher = publisher
        #: Compares files with what is known of them.
        self.decider = Decider(row, means, publisher)
        #: Files in which something was left out because of an error.
        self._bad: set[int] = set()
        self._texts: dict[int, list[FileRow]] = {}
        self._shown_at = float("-inf")

    async def tally(self, files: Sequence[PlannedFile], splits: Sequence[SplitRow]) -> Tally:
        """Counts of everything: what is settled, what is published, what done tasks found whole without lines."""
        tally = await self._counted(files, splits, await self._means.plans.done_tasks(self._row.id))
        row = await self._means.store.get(self._row.id)
        for source in () if row is None else row.sources:
            if any((source.totals.lines, source.totals.bytes, source.totals.files)):
                settled = source.totals
                tally.by_source.setdefault(source.number, Totals()).add(settled.lines, settled.bytes, settled.files)
        return tally

    async def counts(self, splits: Sequence[SplitRow], tasks: Collection[int]) -> Mapping[int, Totals]:
        """Counts of done tasks, by source."""
        whole = await self._means.plans.done_tasks(self._row.id)
        files = await self._means.plans.files(self._row.id)
        return (await self._counted(files, splits, {task: whole.get(task, {}) for task in tasks})).by_source

    async def _counted(
        self, files: Sequence[PlannedFile], splits: Sequence[SplitRow], done: Mapping[int, Mapping[int, int]]
    ) -> Tally:
        tally = Tally({file.number: file.source for file in files}, count_carried=not self._row.follow)
        decisions = await self._means.plans.decisions(self._row.id)
        tally.file_of = {source: number for number, one in decisions.items() for source in one.ids.values()}
        for split in splits:
            if split.published:
                tally.add_split(split.split)
        for whole in done.values():
            tally.add_files(whole)
        return tally

    async def run(self, files: Iterable[PlannedFile]) -> None:
        """Does the tasks of these files, some at a time, largest first."""
        waiting = iter(in_order(files))

        async def work() -> None:
            for number, of_task in waiting:
                await self.do(number, of_task)

        async with asyncio.TaskGroup() as group:
            for _ in range(self._means.parallel):
                group.create_task(work())

    async def remember_rest(self, files: Sequence[PlannedFile], done: Collection[int]) -> None:
        """Records what the workspace has of the files of tasks that are given up."""
        left = [(number, of_task) for number, of_task in in_order(files) if number not in done and number >= 0]
        for number, of_task in left:
            splits = [row for row in await self._means.plans.splits(self._row.id, number) if row.published]
            if splits:
                decisions = await self._means.plans.decisions(self._row.id, number)
                await self.decider.remember(of_task, decisions, splits, self._bad)

    async def show(self) -> None:
        """Records what is shown of the progress, so that a restart goes on from there."""
        self._shown_at = self._means.clock.now()
        await self._means.store.show(self._row.id, self._progress.shown())

    async def do(self, number: int, files: list[PlannedFile]) -> None:
        """Has a task done, however many workers it takes."""
        async with self._means.claims.hold(self._row.workspace, [file.path for file in files]):
            growing = await asyncio.to_thread(_growing, files) if self._row.follow else frozenset()
            decisions = await self.decider.decide(number, files, growing)
            self._progress.tally.file_of |= {
                source: file for file, one in decisions.items() for source in one.ids.values()
            }
            wanted = [file for file in files if not _nothing_to_read(decisions.get(file.number))]
            whole = await self._read(number, wanted, decisions, growing) if wanted else {}
            splits = await self._means.plans.splits(self._row.id, number)
            await self.decider.remember(files, decisions, splits, self._bad, growing)
        await self._means.plans.finish_task(self._row.id, number, whole)
        self._progress.tally.add_files(whole)
        self._progress.end_task(number, len(files), sum(file.size for file in files))
        await self.show()
        self._progress.tell()

    async def _read(
        self,
        number: int,
        files: list[PlannedFile],
        decisions: Mapping[int, Decision],
        growing: Collection[int],
    ) -> dict[int, int]:
        progress = self._progress
        without: set[int] = set()
        deaths: dict[int, int] = {}
        at = splits = 0

        async def on_message(message: Message) -> None:
            nonlocal at, splits
            if message["op"] == "file":
                at = message["number"]
            elif message["op"] == "split":
                splits += 1
            await self._hear(number, message, decisions)

        while True:
            before = splits
            progress.begin_task(number)
            left = [file for file in files if file.number not in without]
            try:
                whole = await self._means.pool.run(
                    await self._spec(number, left, decisions, growing),
                    on_message,
                    weight=sum(file.weight for file in left),
                    yields=not any(file.compressed for file in left),
                )
                await self._keep_texts(number)
            except TaskFailed as failed:
                raise Failed(f"The import cannot go on. {failed}") from None
            except Yielded:
                continue
            except WorkerDied as died:
                if splits > before:
                    deaths.clear()
                deaths[at] = deaths.get(at, 0) + 1
                if deaths[at] >= _DEATHS:
                    without.add(at)
                    await self._give_up(files, at, died)
            else:
                return whole
            finally:
                progress.shown()
                progress.drop_task(number)
                progress.tell()

    async def _spec(
        self, number: int, files: Sequence[PlannedFile], decisions: Mapping[int, Decision], growing: Collection[int]
    ) -> TaskSpec:
        """The task with what is covered of it already."""
        rows = await self._means.plans.splits(self._row.id, number)
        of_files = [decisions[file.number] for file in files if file.number in decisions]
        covered = {source: value for one in of_files for source, value in one.covered.items()}
        for source, one in coverage(row.split for row in rows).items():
            covered[source] = (one.lines, one.bytes, one.complete)
        return TaskSpec(
            import_id=self._row.id,
            import_name=self._row.name,
            workspace=self._row.workspace,
            splits=str(self._means.splits),
            number=number,
            ordinal=rows[-1].ordinal + 1 if rows else 0,
            files=[(file.number, file.name, file.path) for file in files],
            covered=covered,
            cursor=rows[-1].cursor if rows else None,
            ids={own: source for one in of_files for own, source in one.ids.items()},
            states={source: dict(state) for one in of_files for source, state in one.states.items()},
            growing=[file.number for file in files if file.number in growing],
        )

    async def _hear(self, task: int, message: Message, decisions: Mapping[int, Decision]) -> None:
        progress = self._progress
        match message["op"]:
            case "file" | "progress":
                progress.heard(task, message, self._means.clock.now())
                if message["op"] == "progress" and self._means.clock.now() - self._shown_at >= _SHOW_SECONDS:
                    await self.show()
            case "error":
                problem = Problem(message["path"], Reason(message["reason"]), message["message"], message["line"])
                await self.add_error(message["file"], problem)
            case "source":
                self._texts.setdefault(task, []).append(_text(message, decisions.get(message["file"])))
            case "lines":
                self._means.tails.put(self._row.workspace, base64.b64decode(message["lines"]))
            case "split":
                split = search_pb2.Split.FromString(base64.b64decode(message["split"]))
                cursor = message["cursor"]
                await self._keep_texts(task)
                await self._means.plans.add_split(self._row.id, split, tuple(cursor) if cursor else None)
                await self._publisher.publish(split)
                progress.published(task, split)
        if message["op"] in ("progress", "error", "split"):
            progress.tell()

    async def _keep_texts(self, task: int) -> None:
        """Records texts that have ended, before the split with their ends: they are told of only once."""
        await self._means.known.add_texts(self._row.id, self._texts.pop(task, []))

    async def add_error(self, file: int, problem: Problem) -> None:
        """One more error in a file."""
        self._bad.add(file)
        source = self._progress.tally.source_of.get(file, 0)
        if await self._means.store.add_error(self._row.id, source, problem):
            self._progress.error(source, problem)

    async def _give_up(self, files: Sequence[PlannedFile], number: int, died: WorkerDied) -> None:
        name = next((file.name for file in files if file.number == number), "")
        sentence = (
            f"The process that read this file ended {_DEATHS} times ({died.ending}); the rest of it was left out."
        )
        await self.add_error(number, Problem(name, Reason.IO, sentence))


def _nothing_to_read(decision: Decision | None) -> bool:
    return decision is not None and decision.kept is Kept.UNCHANGED


def _growing(files: Sequence[PlannedFile]) -> frozenset[int]:
    """Numbers of the files that were changed a moment ago."""
    fresh = set()
    for file in files:
        try:
            if not file.compressed and time.time() - os.stat(file.path).st_mtime < REST_SECONDS:
                fresh.add(file.number)
        except OSError:
            continue
    return frozenset(fresh)


def _text(message: Message, decision: Decision | None) -> FileRow:
    """What a worker says of a text, with what was known of it before."""
    facts: dict[str, Any] = {key: value for key, value in message.items() if key not in ("op", "id", "file")}
    before = next((text for text in decision.texts if text.source_id == message["id"]), None) if decision else None
    kept = Kept.READ if message.get("complete") else Kept.INCOMPLETE
    if before is not None and before.lines and kept is Kept.READ:
        kept = Kept.APPENDED
    return FileRow(message["id"], message["file"], {**facts, "state_of_file": int(kept)})
