"""`python -m tests.integration.search.care_parent DATABASE SPLITS`: keeps index care running as a search process does.

Prints the id of the care process, and ends as a program does that is interrupted.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from services.search.care.process import CareProcess
from services.search.config import Config


async def main(database: Path, splits: Path) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    care = CareProcess(Config(database=database, splits=splits), delay=0)
    await care.start()
    await care.started.wait()
    print(care.pid, flush=True)
    await stop.wait()
    await care.stop()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
