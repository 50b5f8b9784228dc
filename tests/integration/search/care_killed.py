"""`python -m tests.integration.search.care_killed FOLDER STEP TIMES`: index care that kills itself at work.

It does so when it comes to a step for so many times.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path

from kit.testing import VirtualClock
from services.search.care import locks
from services.search.care.carer import Carer
from services.search.care.policy import Keep, Limits
from services.search.catalog import Catalog

#: Everything at once, and folders are removed at the next look.
EAGER = Limits(several=2, settled=0, idle=0, grams=1)


async def finish(carer: Carer, clock: VirtualClock) -> None:
    """Care until nothing is left to do, also not when a while has passed."""
    for _ in range(3):
        while await carer.step():
            pass
        await clock.advance(61)


async def main(folder: Path, last_step: str, times: int) -> None:
    clock = VirtualClock(wall=time.time() + 3600)
    catalog = Catalog(folder / "catalog.db", clock=clock)
    await catalog.open()

    seen = Counter[str]()

    def at(step: str) -> None:
        seen[step] += 1
        if seen[last_step] == times:
            os.kill(os.getpid(), signal.SIGKILL)

    async def keep_of(_workspace: str) -> Keep:
        return Keep(max_age=86_400.0)

    await finish(
        Carer(catalog, folder / "splits", folder / locks.WORK, keep_of, clock=clock, limits=EAGER, at=at), clock
    )
    await catalog.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
