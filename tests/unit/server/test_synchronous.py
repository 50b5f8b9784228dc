"""A handler in a thread learns that its call is over, whatever it waits for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from kit.errors import Cancelled
from kit.server._synchronous import in_thread
from tests.unit.server.fakes import FakeContext

LIMIT = 20


class Context(FakeContext):
    def done(self) -> bool:
        return False

    def cancelled(self) -> bool:
        return False


async def test_a_thread_that_waits_for_a_message_is_freed_when_the_call_is_cancelled() -> None:
    waits, freed = asyncio.Event(), threading.Event()
    seen: list[Any] = []

    async def requests() -> AsyncIterator[str]:
        waits.set()
        await asyncio.Event().wait()
        yield "never"

    def join(messages: Iterator[str], context: Any) -> str:
        context.add_callback(lambda: seen.append("called back"))
        try:
            return "".join(messages)
        except Cancelled as error:
            seen.append(error.message)
            raise
        finally:
            seen.append(context.add_callback(lambda: None))
            freed.set()

    run = in_thread(join, "/test.Sync/Join", request_streaming=True, response_streaming=False)
    task = asyncio.create_task(run(requests(), Context()))
    async with asyncio.timeout(LIMIT):
        await waits.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(freed.wait, LIMIT)
    assert sorted(map(str, seen)) == ["False", "called back", "the call is over"]
