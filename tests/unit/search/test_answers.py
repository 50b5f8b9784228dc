"""Answers from memory, from the cache service, or from the search: whichever is there first."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest

from loganalyzer.cache.v1 import cache_pb2
from services.search import answers
from services.search.answers import Answers, SharedAnswers
from tests.support.metrics import counted


class Time:
    """Stands still unless it is moved."""

    def __init__(self) -> None:
        self.at = 100.0

    def now(self) -> float:
        return self.at

    wall = now

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


class FakeCache:
    """The stub of a cache service. `broken` makes every call fail; `asked` is set by the first Get."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.broken = False
        self.calls: list[str] = []
        self.asked = asyncio.Event()

    async def Get(self, request: cache_pb2.GetRequest) -> cache_pb2.GetResponse:
        self.take("get")
        value = self.values.get(request.key)
        return cache_pb2.GetResponse(found=value is not None, value=value or b"")

    async def Set(self, request: cache_pb2.SetRequest) -> cache_pb2.SetResponse:
        self.take("set")
        self.values[request.key] = request.value
        return cache_pb2.SetResponse()

    def take(self, call: str) -> None:
        self.calls.append(call)
        self.asked.set()
        if self.broken:
            raise grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata())


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def cache() -> FakeCache:
    return FakeCache()


def made(cache: Any, time: Time) -> Answers:
    return Answers(10_000, SharedAnswers(lambda: cache, clock=time))


def since(before: dict[tuple[str, ...], float]) -> dict[str, float]:
    """How many answers came from where since then."""
    now = counted("loganalyzer.search.answers")
    return {tier: now[(tier,)] - before.get((tier,), 0) for (tier,) in now if now[(tier,)] != before.get((tier,), 0)}


async def test_a_quick_answer_never_touches_the_cache_service(cache: FakeCache, time: Time) -> None:
    async def search() -> tuple[bytes, float]:
        return b"quick", 0.001

    kept, before = made(cache, time), counted("loganalyzer.search.answers")
    assert await kept.get(b"key", "p", search) == (b"quick", "index")
    assert await kept.get(b"key", "p", search) == (b"quick", "cache")
    assert cache.calls == []
    assert since(before) == {"miss": 1, "l1": 1}


async def test_a_slow_answer_is_looked_up_kept_and_found_by_another_replica(cache: FakeCache, time: Time) -> None:
    async def slow() -> tuple[bytes, float]:
        await cache.asked.wait()
        return b"slow", 1.0

    ended = asyncio.Event()

    async def never() -> tuple[bytes, float]:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return b"", 0.0

    first, second, before = made(cache, time), made(cache, time), counted("loganalyzer.search.answers")
    assert await first.get(b"key", "p", slow) == (b"slow", "index")
    await first.close()
    assert (cache.calls, list(cache.values.values())) == (["get", "set"], [b"slow"])
    assert next(iter(cache.values)).startswith("p/")
    # The search that is no longer needed is ended.
    assert await second.get(b"key", "p", never) == (b"slow", "cache")
    assert since(before) == {"miss": 1, "l2": 1}
    async with asyncio.timeout(5):
        await ended.wait()


async def test_a_cache_service_that_fails_is_left_alone_for_a_while(cache: FakeCache, time: Time) -> None:
    cache.broken = True

    async def until_asked() -> tuple[bytes, float]:
        await cache.asked.wait()
        return b"slow", 1.0

    async def slow() -> tuple[bytes, float]:
        long_enough = asyncio.Event()
        asyncio.get_running_loop().call_later(answers.LATE_SECONDS * 2, long_enough.set)
        await long_enough.wait()
        return b"slow", 1.0

    kept = made(cache, time)
    assert await kept.get(b"first", "p", until_asked) == (b"slow", "index")
    for key in (b"second", b"third"):
        assert await kept.get(key, "p", slow) == (b"slow", "index")
    assert cache.calls == ["get"]
    time.at += answers.PAUSE_SECONDS
    cache.asked.clear()
    await kept.get(b"later", "p", until_asked)
    assert cache.calls == ["get", "get"]


class Held:
    """A search that goes on until it is let go."""

    def __init__(self) -> None:
        self.begun, self.go, self.ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.calls = 0

    async def __call__(self) -> tuple[bytes, float]:
        self.calls += 1
        self.begun.set()
        try:
            await self.go.wait()
        finally:
            self.ended.set()
        return b"held", 0.0


async def test_callers_who_ask_the_same_share_one_search(cache: FakeCache, time: Time) -> None:
    kept, search, before = made(cache, time), Held(), counted("loganalyzer.search.answers")
    asked = [asyncio.create_task(kept.get(b"key", "p", search)) for _ in range(3)]
    other = asyncio.create_task(kept.get(b"other", "p", search))
    await search.begun.wait()
    await asyncio.sleep(0)
    search.go.set()
    async with asyncio.timeout(5):
        assert sorted([await task for task in asked]) == [(b"held", "index"), (b"held", "shared"), (b"held", "shared")]
        assert await other == (b"held", "index")
    assert search.calls == 2
    assert since(before) == {"miss": 2, "shared": 2}


async def test_only_the_last_caller_that_gives_up_ends_a_shared_search(cache: FakeCache, time: Time) -> None:
    kept, search = made(cache, time), Held()
    first, second, third = (asyncio.create_task(kept.get(b"key", "p", search)) for _ in range(3))
    async with asyncio.timeout(5):
        await search.begun.wait()
        first.cancel()
        await asyncio.wait([first])
        assert not search.ended.is_set()
        second.cancel()
        await asyncio.wait([second])
        assert not search.ended.is_set()
        later = asyncio.create_task(kept.get(b"key", "p", search))
        third.cancel()
        await asyncio.wait([third])
        assert not search.ended.is_set()
        later.cancel()
        await search.ended.wait()
    assert search.calls == 1


async def test_an_error_reaches_everyone_who_shares_the_search(cache: FakeCache, time: Time) -> None:
    go = asyncio.Event()

    async def fails() -> tuple[bytes, float]:
        await go.wait()
        raise ValueError("broken")

    kept = made(cache, time)
    asked = [asyncio.create_task(kept.get(b"key", "p", fails)) for _ in range(2)]
    await asyncio.sleep(0)
    go.set()
    assert [str(error) for error in await asyncio.gather(*asked, return_exceptions=True)] == ["broken", "broken"]


async def test_an_error_of_the_search_is_passed_on_and_not_kept(cache: FakeCache, time: Time) -> None:
    async def fails() -> tuple[bytes, float]:
        raise ValueError("broken")

    async def works() -> tuple[bytes, float]:
        return b"fine", 0.0

    kept = made(cache, time)
    with pytest.raises(ValueError, match="broken"):
        await kept.get(b"key", "p", fails)
    assert await kept.get(b"key", "p", works) == (b"fine", "index")


async def test_a_cancelled_caller_cancels_the_search(cache: FakeCache, time: Time) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def search() -> tuple[bytes, float]:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return b"", 0.0

    task = asyncio.create_task(made(cache, time).get(b"key", "p", search))
    async with asyncio.timeout(5):
        await begun.wait()
        task.cancel()
        await ended.wait()
    with pytest.raises(asyncio.CancelledError):
        await task
