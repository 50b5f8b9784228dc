"""`python -m services.search.care [DATABASE SPLITS WORKSPACE_TARGET]`: the care process.

Without arguments it is configured as the search service is. It has little claim to the processor, and ends when the
process that started it does.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import kit
from kit.clock import SYSTEM, Clock
from kit.observe import configure_logging
from kit.recovery import StopRequest
from loganalyzer.workspace.v1 import workspace_pb2_grpc
from services.search.care import locks
from services.search.care.carer import Carer, StoppedError
from services.search.care.keeping import Keeping
from services.search.catalog import Catalog
from services.search.config import Config

#: Seconds between looks at the catalogue, and after which there is something to do though it has not changed.
LOOK_SECONDS = 0.25
AGAIN_SECONDS = 5.0
#: Seconds for a job to be given up when the parent is gone.
_KILL_AFTER = 5.0
_NICENESS = 10


async def care(carer: Carer, catalog: Catalog, stop: asyncio.Event, clock: Clock = SYSTEM) -> None:
    """Does what is to be done, and again whenever the catalogue has changed, until `stop` is set."""
    stopping = asyncio.create_task(_stop(carer, stop))
    try:
        while not stop.is_set():
            try:
                busy = await carer.step()
            except StoppedError:
                return
            if not busy:
                _give_back()
                await _wait(catalog, stop, clock)
    finally:
        stopping.cancel()


def _give_back() -> None:
    """What the C library keeps of the memory of jobs goes back to the system: 60 MB after splits were joined."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


async def _stop(carer: Carer, stop: asyncio.Event) -> None:
    await stop.wait()
    carer.stop()


async def _wait(catalog: Catalog, stop: asyncio.Event, clock: Clock) -> None:
    before, until = _generations(catalog), clock.now() + AGAIN_SECONDS
    while not stop.is_set() and clock.now() < until and _generations(catalog) == before:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), LOOK_SECONDS)


def _generations(catalog: Catalog) -> dict[str, int]:
    return {workspace: catalog.view(workspace).generation for workspace in catalog.workspaces()}


async def main(arguments: Sequence[str]) -> None:
    """Runs until it is told to stop."""
    if arguments:
        database, splits, target = Path(arguments[0]), Path(arguments[1]), arguments[2]
    else:
        config = Config.from_env()
        database, splits, target = config.database, config.splits, config.workspace_target
    catalog = Catalog(database)
    with StopRequest(kill_after=_KILL_AFTER) as stop:
        await catalog.open()
        channel = kit.channel(target)
        try:
            keeping = Keeping(workspace_pb2_grpc.WorkspaceServiceStub(channel))
            carer = Carer(catalog, splits, database.with_name(locks.WORK), keeping.of)
            await care(carer, catalog, stop.requested)
        finally:
            await channel.close()
            await catalog.close()


if __name__ == "__main__":
    os.nice(_NICENESS)
    configure_logging("search-care")
    asyncio.run(main(sys.argv[1:]))
