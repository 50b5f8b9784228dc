"""What grpc is given to read in each attempt, with grpc's part played by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from kit.client._replay import Replay, unpacking


class Attempt:
    """An attempt that reads its feed as grpc does: the next message when it has taken the one before."""

    def __init__(self, replay: Replay) -> None:
        self.feed = replay.feed()
        self.feed.inner = self
        self.over = False

    def done(self) -> bool:
        return self.over

    async def read(self, count: int = 1) -> list[Any]:
        return [await anext(self.feed) for _ in range(count)]

    async def all(self) -> list[Any]:
        return [message async for message in self.feed]


class Source:
    """An iterator that counts how far it was read."""

    def __init__(self, *messages: bytes) -> None:
        self.read = 0
        self.closed = False
        self._messages = messages

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            for message in self._messages:
                self.read += 1
                yield message
        finally:
            self.closed = True


def replay(source: Any = None, limit: int = 1000) -> Replay:
    return Replay(source, limit, None)


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_the_next_attempt_gets_what_was_kept_and_then_the_rest() -> None:
    source = Source(b"a", b"b", b"c", b"d")
    kept = replay(source)
    assert await Attempt(kept).read(2) == [b"a", b"b"]
    assert await Attempt(kept).read(3) == [b"a", b"b", b"c"]
    assert await Attempt(kept).all() == [b"a", b"b", b"c", b"d"]
    assert source.read == 4


@pytest.mark.parametrize("make", [list, iter, tuple])
async def test_what_is_iterated_without_await_will_do(make: Any) -> None:
    kept = replay(make([b"a", b"b"]))
    assert await Attempt(kept).read(1) == [b"a"]
    assert await Attempt(kept).all() == [b"a", b"b"]


async def test_the_iterator_is_not_read_further_ahead_than_grpc_reads() -> None:
    source = Source(b"a", b"b", b"c")
    kept = replay(source)
    first = Attempt(kept)
    assert source.read == 0
    await first.read()
    await turns()
    assert source.read == 1
    await first.read()
    await turns()
    assert source.read == 2
    first.over = True
    second = Attempt(kept)
    await second.read(2)
    await turns()
    assert source.read == 2


async def test_a_message_that_comes_between_two_attempts_goes_with_the_second() -> None:
    go = asyncio.Event()

    async def requests() -> AsyncIterator[bytes]:
        yield b"a"
        await go.wait()
        yield b"b"

    kept = replay(requests())
    first = Attempt(kept)
    await first.read()
    waiting = asyncio.create_task(first.all())
    await turns()
    first.over = True
    go.set()
    assert await waiting == []
    assert await Attempt(kept).all() == [b"a", b"b"]


async def test_a_write_returns_when_grpc_asks_for_the_next() -> None:
    kept = replay()
    first = Attempt(kept)
    writing = asyncio.create_task(kept.write(b"a"))
    assert await first.read() == [b"a"]
    await turns()
    assert not writing.done()
    reading = asyncio.create_task(first.read())
    assert await writing
    reading.cancel()


async def test_a_write_that_was_cut_short_waits_for_the_next_attempt_and_returns_there() -> None:
    kept = replay()
    first = Attempt(kept)
    writing = asyncio.create_task(kept.write(b"a"))
    assert await first.read() == [b"a"]
    first.over = True
    await turns()
    assert not writing.done()
    second = Attempt(kept)
    assert await second.read() == [b"a"]
    kept.end()
    assert await second.all() == []
    assert await writing


async def test_a_write_that_nothing_took_is_told_when_the_call_ends() -> None:
    kept = replay()
    first = Attempt(kept)
    writing = asyncio.create_task(kept.write(b"a"))
    assert await first.read() == [b"a"]
    kept.finish()
    assert not await writing
    assert not await kept.write(b"b")


async def test_two_that_write_take_turns() -> None:
    kept = replay()
    writing = [asyncio.create_task(kept.write(message)) for message in (b"a", b"b")]
    first = Attempt(kept)
    assert await first.read(2) == [b"a", b"b"]
    kept.end()
    assert await first.all() == []
    assert await asyncio.gather(*writing) == [True, True]


async def test_what_is_kept_is_the_message_as_it_was_when_it_was_written() -> None:
    serialize = unpacking(StringValue.SerializeToString)
    assert serialize is not None
    for kept, bytes_of in (
        (Replay(None, 1000, StringValue.SerializeToString), serialize),
        (Replay(None, 1000, None), StringValue.SerializeToString),
    ):
        message = StringValue(value="first")
        attempt = Attempt(kept)
        writing = asyncio.create_task(kept.write(message))
        await attempt.read()
        attempt.over = True
        message.value = "changed"
        [again] = await Attempt(kept).read()
        assert StringValue.FromString(bytes_of(again)).value == "first"
        kept.finish()
        await writing


async def test_a_message_that_does_not_fit_commits() -> None:
    kept = replay(Source(b"a", b"b" * 100), limit=50)
    attempt = Attempt(kept)
    await attempt.read()
    assert not kept.committed
    assert await attempt.all() == [b"b" * 100]
    assert kept.committed


@pytest.mark.parametrize("serializer", [None, lambda _message: None, lambda message: message.missing])
async def test_a_message_of_which_no_size_is_known_is_handed_on_and_commits(serializer: Any) -> None:
    message = object()
    kept = Replay([message], 1000, serializer)
    assert await Attempt(kept).all() == [message]
    assert kept.committed


async def test_what_the_iterator_raises_comes_after_what_is_kept() -> None:
    def requests() -> Iterator[bytes]:
        yield b"a"
        raise ValueError("no more")

    kept = replay(requests())
    for _ in range(2):
        attempt = Attempt(kept)
        assert await attempt.read() == [b"a"]
        with pytest.raises(ValueError, match="no more"):
            await attempt.read()


async def test_an_iterator_that_waits_is_told_that_the_call_is_over() -> None:
    told = asyncio.Event()

    async def requests() -> AsyncIterator[bytes]:
        yield b"a"
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            told.set()
            raise

    kept = replay(requests())
    attempt = Attempt(kept)
    await attempt.read()
    reading = asyncio.create_task(attempt.all())
    await turns()
    kept.finish()
    assert await reading == []
    async with asyncio.timeout(5):
        await told.wait()


async def test_an_iterator_that_is_left_is_closed() -> None:
    source = Source(b"a", b"b")
    kept = replay(source)
    await Attempt(kept).read()
    kept.finish()
    await turns()
    assert source.closed


async def test_when_the_call_is_over_nothing_is_kept() -> None:
    kept = replay(Source(b"a", b"b"))
    await Attempt(kept).all()
    kept.finish()
    assert len(kept._buffer) == 0
    assert await Attempt(kept).all() == []
