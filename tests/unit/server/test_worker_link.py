"""A parent and a worker talk, over a real Unix socket in one process."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from kit.server._worker_link import GoneError, Link


@asynccontextmanager
async def linked(
    answers: Mapping[str, Any] | None = None, told: list[tuple[str, Any]] | None = None
) -> AsyncIterator[tuple[Link, Link]]:
    """Two ends; the second one answers and is told."""
    heard: list[tuple[str, Any]] = [] if told is None else told
    ends = []
    for end, known in zip(socket.socketpair(), ({}, answers or {}), strict=True):
        reader, writer = await asyncio.open_unix_connection(sock=end)
        ends.append(Link(reader, writer, known, lambda what, data: heard.append((what, data))))
    running = [asyncio.create_task(link.run()) for link in ends]
    try:
        yield ends[0], ends[1]
    finally:
        for link in ends:
            link.close()
        async with asyncio.timeout(30):
            await asyncio.gather(*running)


async def test_what_is_asked_is_answered_and_questions_do_not_wait_for_each_other() -> None:
    go_on = asyncio.Event()

    async def slow() -> str:
        await go_on.wait()
        return "slow"

    async with linked({"slow": slow, "large": lambda: "x" * 1_000_000}) as (parent, _):
        waiting = asyncio.create_task(parent.ask("slow", 30.0))
        assert len(await parent.ask("large", 30.0)) == 1_000_000
        assert not waiting.done()
        go_on.set()
        assert await waiting == "slow"


async def test_what_is_told_is_heard_in_order() -> None:
    heard: list[tuple[str, Any]] = []
    async with linked({"alive": lambda: True}, heard) as (parent, _):
        parent.tell("others", True)
        parent.tell("others", False)
        assert await parent.ask("alive", 30.0)
    assert heard == [("others", True), ("others", False)]


async def test_an_answer_that_fails_or_that_nobody_knows_is_an_error_for_who_asked() -> None:
    def fail() -> None:
        raise ValueError("no metrics")

    async with linked({"metrics": fail}) as (parent, _):
        with pytest.raises(GoneError, match="ValueError: no metrics"):
            await parent.ask("metrics", 30.0)
        with pytest.raises(GoneError, match="KeyError"):
            await parent.ask("nonsense", 30.0)


async def test_nobody_waits_for_an_end_that_is_silent_or_gone() -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    async with linked({"never": never}) as (parent, worker):
        with pytest.raises(GoneError, match=r"no answer to 'never' within 0\.01 s"):
            await parent.ask("never", 0.01)
        waiting = asyncio.create_task(parent.ask("never", 30.0))
        await asyncio.sleep(0)
        worker.close()
        with pytest.raises(GoneError, match="has gone"):
            await waiting
