"""An import that goes on when everything is read: it watches its files and folders, and reads what comes.

After each change, and every so often, the sources are walked. A file whose inode, size or time is another than at the
last look is compared with what is known of it (deciding.py): appended, rotated, truncated and new files are told apart
as in an import of its own. What is to be read becomes a task with new numbers; when it is done, its counts are added to
those of the import and nothing else of it is kept: the import does not grow with its age.
"""

from __future__ import annotations

import asyncio
import os
import stat
import time
from collections.abc import Sequence
from dataclasses import replace

from services.importer.deciding import Decider
from services.importer.finding import allowing, find
from services.importer.identity import Decision, Kept
from services.importer.planning import PlannedFile, plan_tasks
from services.importer.ports import Means
from services.importer.progress import Progress
from services.importer.reading import Problem, Reason
from services.importer.records import ImportRow
from services.importer.tasks import REST_SECONDS, Tasks
from services.importer.watching import Watch

WAITING = "Waits for new data."
# Between looks that found something: each makes a split.
_PACE_SECONDS = 0.8

#: What begins as a known file does, or is packed, is taken for new when it has not changed for so long.
SETTLE_SECONDS = 2.0

_Sign = tuple[int, int, int]


class Follower:
    """Follows the sources of one import whose tasks so far are done."""

    def __init__(
        self, row: ImportRow, means: Means, progress: Progress, tasks: Tasks, files: Sequence[PlannedFile]
    ) -> None:
        self._row = row
        self._means = means
        self._progress = progress
        self._tasks = tasks
        self._decider: Decider = tasks.decider
        self._before = files
        self._next_file = max([row.next_file, *(file.number + 1 for file in files)])
        self._next_task = max([row.next_task, 1, *(file.task + 1 for file in files)])
        #: Inode, size and time of change of each file at the last look.
        self._seen: dict[str, _Sign] = {}
        #: Files to look at again, by clock: a last line without a line feed was held back.
        self._again: dict[str, float] = {}
        #: Files that may be just about to be rotated, as they were seen first, and when by clock.
        self._doubtful: dict[str, tuple[_Sign, float]] = {}
        self._busy: set[str] = set()
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Until it is cancelled, or fails."""
        await self._settle([file.task for file in self._before], [file.number for file in self._before])
        watch = Watch([source.path for source in self._row.sources], self._wake.set, self._means.clock)
        async with asyncio.TaskGroup() as group:
            group.create_task(watch.run())
            while True:
                self._wake.clear()
                if await self._look(group):
                    await self._means.clock.sleep(_PACE_SECONDS)
                if not self._busy and self._progress.message != WAITING:
                    self._progress.wait(WAITING)
                    self._progress.tell()
                await self._wait()

    async def _wait(self) -> None:
        due = min(self._again.values(), default=None)
        try:
            async with asyncio.timeout(None if due is None else max(0.0, due - self._means.clock.now())):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _look(self, group: asyncio.TaskGroup) -> bool:
        """Starts tasks for what has changed; whether there was anything."""
        signs, found, problems = await asyncio.to_thread(self._walk)
        for source, problem in problems:
            if await self._means.store.add_error(self._row.id, source, problem):
                self._progress.error(source, problem)
        now = self._means.clock.now()
        due = {path for path, at in self._again.items() if at <= now}
        changed = [
            file
            for file in found
            if file.path not in self._busy and (self._seen.get(file.path) != signs[file.path] or file.path in due)
        ]
        for path in due:
            del self._again[path]
        busy = {path: sign for path, sign in self._seen.items() if path in self._busy}
        self._seen = {**signs, **busy}
        self._doubtful = {path: held for path, held in self._doubtful.items() if path in signs}
        if not changed:
            return False
        fresh = _fresh(signs, changed)
        decisions = await self._decider.look(changed, {file.number for file in changed if file.path in fresh})
        for path in fresh:
            self._again[path] = now + REST_SECONDS + 0.5
        wanted = [
            file
            for file in changed
            if file.number not in decisions
            or not (
                decisions[file.number].kept is Kept.UNCHANGED or self._hold(file, decisions[file.number], signs, now)
            )
        ]
        if not wanted:
            return False
        await self._begin(group, wanted, {path: sign[1] for path, sign in signs.items()})
        return True

    def _hold(self, file: PlannedFile, decision: Decision, signs: dict[str, _Sign], now: float) -> bool:
        """Whether a file is left alone: it may be the copy of one that is being rotated, and is not finished."""
        sign, since = self._doubtful.pop(file.path, (None, now))
        if not decision.doubtful or (sign == signs[file.path] and now - since >= SETTLE_SECONDS):
            return False
        since = since if sign == signs[file.path] else now
        self._doubtful[file.path] = (signs[file.path], since)
        self._again[file.path] = since + SETTLE_SECONDS
        return True

    async def _begin(self, group: asyncio.TaskGroup, files: Sequence[PlannedFile], sizes: dict[str, int]) -> None:
        numbered = [replace(file, number=self._next_file + at) for at, file in enumerate(files)]
        planned = [
            replace(file, task=file.task + self._next_task)
            for file in plan_tasks(numbered, workers=self._means.parallel)
        ]
        self._next_file += len(planned)
        self._next_task = planned[-1].task + 1
        self._progress.follow(planned, sizes)
        self._progress.message = ""
        await self._means.plans.plan_more(self._row.id, planned, next_file=self._next_file, next_task=self._next_task)
        for task in dict.fromkeys(file.task for file in planned):
            of_task = [file for file in planned if file.task == task]
            self._busy |= {file.path for file in of_task}
            group.create_task(self._do(task, of_task))

    async def _do(self, task: int, files: list[PlannedFile]) -> None:
        await self._tasks.do(task, files)
        await self._settle([task], [file.number for file in files])
        self._progress.followed(task, [file.number for file in files])
        self._busy -= {file.path for file in files}
        self._wake.set()

    async def _settle(self, tasks: Sequence[int], numbers: Sequence[int]) -> None:
        """Adds the counts of done tasks to those of the import, and forgets the rest."""
        plans, done = self._means.plans, set(tasks)
        splits = [split for split in await plans.splits(self._row.id) if split.task in done]
        totals = await self._tasks.counts(splits, done)
        await plans.settle(self._row.id, done, totals, next_file=self._next_file, next_task=self._next_task)
        await self._tasks.show()

    def _walk(self) -> tuple[dict[str, _Sign], list[PlannedFile], list[tuple[int, Problem]]]:
        """All files with their signs, what can be read of them, and what is wrong. Runs in a thread."""
        signs: dict[str, _Sign] = {}
        files: list[PlannedFile] = []
        problems: list[tuple[int, Problem]] = []
        allowed = allowing(self._row, self._means.allowed, self._means.spool)
        for source, found in find(self._row.sources, allowed):
            if isinstance(found, Problem):
                # What is not there now may come again.
                if found.reason is not Reason.NOT_FOUND:
                    problems.append((source, found))
                continue
            for path in (found.path, *self._rotated(found.path)):
                sign = _sign(path)
                if sign is not None and path not in signs and allowed(path):
                    signs[path] = sign
                    if sign[1]:
                        name = found.name if path == found.path else path
                        files.append(replace(found, number=len(files), name=name, path=path, size=sign[1]))
        return signs, files, problems

    def _rotated(self, path: str) -> list[str]:
        """Where the file is now that stood here at the last look: its end may not have been read."""
        before, now = self._seen.get(path), _sign(path)
        if before is None or now is None or before[0] == now[0]:
            return []
        try:
            with os.scandir(os.path.dirname(path)) as entries:
                return [entry.path for entry in entries if entry.inode() == before[0]]
        except OSError:
            return []


def _sign(path: str) -> _Sign | None:
    try:
        status = os.stat(path, follow_symlinks=False)
    except OSError:
        return None
    return (status.st_ino, status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None


def _fresh(signs: dict[str, _Sign], files: Sequence[PlannedFile]) -> set[str]:
    """Paths of plain files that were changed a moment ago."""
    limit = (time.time() - REST_SECONDS) * 1e9
    return {file.path for file in files if not file.compressed and signs[file.path][2] > limit}
