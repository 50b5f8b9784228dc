"""Handing splits of an import over to search, and what a kill in the middle of that leaves behind."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from kit.observe import get_logger
from loganalyzer.search.v1 import search_pb2
from services.importer.leftovers import remove_leftovers
from services.importer.planning import split_position
from services.importer.ports import Means, Refused, Unreachable
from services.importer.progress import Progress
from services.importer.records import ImportRow

_log = get_logger("importer.runner")
_T = TypeVar("_T")

# Waiting for search: doubled up to the longest.
_FIRST_WAIT, _LONGEST_WAIT = 0.2, 5.0
# Seconds for it at the end of an import that was stopped.
_LAST_TRY = 2.0


class Failed(Exception):  # noqa: N818 - how the import ends
    """The import cannot go on."""


class Publisher:
    """The splits of one import on their way to search."""

    def __init__(self, row: ImportRow, means: Means, progress: Progress) -> None:
        self._row = row
        self._means = means
        self._progress = progress

    async def publish(self, split: search_pb2.Split) -> None:
        """Hands a split over, waiting for search as long as it takes. Raises Failed."""
        await self.ask(lambda: self._means.catalogue.publish(self._row.workspace, split))
        await self._means.plans.mark_published(split.id)

    async def reconcile(self, *, settled: bool) -> None:
        """After a restart: publishes what was built, takes in what search knows, removes the rest.

        With `settled` the import has let tasks become counts: their splits are not asked for, and stay.
        """
        means, row = self._means, self._row
        for split in await means.plans.splits(row.id):
            if not split.published:
                await self.publish(split.split)
        known = {split.split.id for split in await means.plans.splits(row.id)}
        if not settled:
            for found in await self.ask(lambda: means.catalogue.published(row.workspace, row.name)):
                if found.id not in known and found.id.startswith(f"{row.id}-"):
                    await means.plans.add_split(row.id, found, None, published=True)
                    known.add(found.id)
        await self.remove_leftovers(settled=settled)

    async def settle(self) -> None:
        """Tries once more to publish what was on its way when the import was stopped.

        Whether search took it may be unknown. Where search cannot be asked the files stay, since it may refer to them.
        """
        rows = await self._means.plans.splits(self._row.id)
        await asyncio.gather(*(self._settle_one(row.split) for row in rows if not row.published))

    async def remove_leftovers(self, *, settled: bool) -> None:
        """Removes from disk what no split of the import is."""
        means, row = self._means, self._row
        keep = {split.split.id for split in await means.plans.splits(row.id)}
        tasks = None
        if settled:
            files = await means.plans.files(row.id)
            tasks = {file.task for file in files} | {split_position(split)[0] for split in keep}
        await asyncio.to_thread(remove_leftovers, means.splits, row.workspace, row.id, keep, tasks)

    async def ask(self, ask: Callable[[], Awaitable[_T]]) -> _T:
        """Asks search until it can be reached. Raises Failed when it refuses."""
        wait, progress = _FIRST_WAIT, self._progress
        while True:
            try:
                answer = await ask()
            except Unreachable as error:
                progress.message = f"Waiting for the search service: {error}"
                _log.warning("search_unreachable", name=self._row.name, error=str(error))
            except Refused as error:
                raise Failed(f"The search service does not take the lines: {error}") from None
            else:
                progress.message = ""
                return answer
            progress.tell()
            await self._means.clock.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311 - spreads retries
            wait = min(wait * 2, _LONGEST_WAIT)

    async def _settle_one(self, split: search_pb2.Split) -> None:
        try:
            async with asyncio.timeout(_LAST_TRY):
                await self._means.catalogue.publish(self._row.workspace, split)
        except (Unreachable, TimeoutError):
            _log.warning("split_unsettled", name=self._row.name, split=split.id)
        except Refused:
            await self._means.plans.forget_split(split.id)
        else:
            await self._means.plans.mark_published(split.id)
