"""The echo service as a process. Its handlers wait for ever where the text is "wait"; each end is printed."""

from __future__ import annotations

import asyncio
import sys

import kit
from tests.integration.server.echo import Context, Echo, add_echo


async def act(text: str, context: Context) -> None:
    """Waits, crashes the process's task, or returns at once."""
    if text == "wait":
        await asyncio.Event().wait()
    if text == "crash":
        crash.set()


crash = asyncio.Event()


async def background() -> None:
    """Crashes when told to."""
    await crash.wait()
    raise RuntimeError("told to")


async def stopped() -> None:
    """Tells which handlers ended."""
    print("ended:", *echo.ended, flush=True)


echo = Echo(act)
server = kit.Server("echo", grace=1000).add(echo, add_echo).on_stop(stopped).task("background", background)

if __name__ == "__main__":
    sys.exit(kit.run(server))
