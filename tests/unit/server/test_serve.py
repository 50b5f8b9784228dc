"""The life of `Server.serve` where no port is needed."""

from __future__ import annotations

import asyncio
import os
import signal

from kit.server import Server


async def test_a_signal_during_the_start_ends_it_and_closes_what_was_opened() -> None:
    entered = asyncio.Event()
    closed: list[str] = []

    async def never() -> None:
        entered.set()
        await asyncio.Event().wait()

    async def close() -> None:
        closed.append("closed")

    serving = asyncio.create_task(Server("x", register=False).on_start(never).on_stop(close).serve())
    async with asyncio.timeout(10):
        await entered.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        assert await serving == 0
    assert closed == ["closed"]


async def test_a_stop_before_the_start_runs_the_stop_hooks_once() -> None:
    closed: list[str] = []

    async def close() -> None:
        closed.append("closed")

    server = Server("x", register=False).on_stop(close)
    await asyncio.gather(server.stop(), server.stop())
    assert closed == ["closed"]
