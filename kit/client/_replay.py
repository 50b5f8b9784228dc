"""A stream of requests that can be sent more than once: the driver of `kit.resilience.replay`.

Theory of operation. Messages come from the caller's iterator, which one task reads, or from `write`. For each attempt
grpc reads a `_Feed`: it gives what is kept, and then every new message as it comes. At most one new message waits to be
taken, and who brought it goes on when grpc asks for the next, which is when it has taken that one; if the attempt
fails before, the next attempt's feed is asked. So nothing is read further ahead than grpc reads, and a write that was
under way when an attempt failed is no error where another attempt follows.

    the attempt is over, or another began     its feed ends; grpc stops reading it
    the source ends                           the feed ends after what is kept; grpc closes its side
    the iterator raises                       the feed raises it after what is kept; grpc cancels the call
    the call is over                          who waits in `write` is told; an iterator that waits is cancelled

The last is more than grpc does, which leaves an iterator waiting, and takes one more message from it, unless the call
was cancelled.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import Any

from google.protobuf.message import Message

from kit.pipeline import Call, Handler, Method, Outcome
from kit.resilience.replay import ReplayBuffer

__all__ = ["Replay", "ReplayLayer", "unpacking"]

log = logging.getLogger("kit.client")


class Replay:
    """The requests of one call. `source` is the caller's iterator; None: they are written."""

    def __init__(self, source: Any, limit: int, serializer: Callable[[Any], bytes] | None) -> None:
        self.is_written = source is None
        #: The call has ended, or nobody waits for it any more.
        self.over = False
        self._source = source
        self._serializer = serializer
        self._buffer: ReplayBuffer[Any] = ReplayBuffer(limit)
        self._feed: _Feed | None = None
        self._reader: asyncio.Task[None] | None = None
        #: A message that no attempt has taken so far, and its size.
        self._next: tuple[Any, int | None] | None = None
        #: What feeds end with; None while more may come.
        self._end: BaseException | None = None
        self._writing = asyncio.Lock()
        #: Who brought the last message waits for this: whether grpc took it.
        self._taken: asyncio.Future[bool] | None = None

    @property
    def committed(self) -> bool:
        """Whether the stream cannot be sent again."""
        return self._buffer.committed

    @property
    def half_closed(self) -> bool:
        """Whether all of it has come."""
        return self._end is not None

    def feed(self) -> _Feed:
        """The iterator for an attempt that begins; the one before ends."""
        before, self._feed = self._feed, _Feed(self)
        self._buffer.rewind()
        if before is not None:
            before.wake()
        elif self._source is not None:
            self._reader = asyncio.get_running_loop().create_task(self._read(self._source))
            self._source = None
        return self._feed

    async def write(self, message: Any) -> bool:
        """Returns when grpc has taken the message; False when the call ended before that."""
        packed = _packed(message, self._serializer)
        async with self._writing:
            return await self._bring(packed)

    def end(self) -> None:
        """No more will be written."""
        self._ends(StopAsyncIteration())

    def commit(self) -> None:
        """Something of the answer has arrived."""
        self._buffer.commit()

    def finish(self) -> None:
        """The call is over."""
        self.over = True
        self._next = None
        self._buffer = ReplayBuffer(0)
        self._settle(False)
        if self._feed is not None:
            self._feed.wake()
        if self._reader is not None:
            self._reader.cancel()

    async def _read(self, source: Any) -> None:
        """Reads the caller's iterator, each message when grpc asks for it."""
        messages = source if isinstance(source, AsyncIterable) else _one_by_one(source)
        try:
            async for message in messages:
                if not await self._bring(_packed(message, self._serializer)):
                    return
        except BaseException as error:
            log.debug("the request iterator raised", exc_info=True)
            self._ends(error)
        else:
            self._ends(StopAsyncIteration())

    async def _bring(self, packed: tuple[Any, int | None]) -> bool:
        if self.over:
            return False
        self._next = packed
        self._taken = asyncio.get_running_loop().create_future()
        if self._feed is not None:
            self._feed.wake()
        return await self._taken

    def _ends(self, error: BaseException) -> None:
        if self._end is None:
            self._end = error
            if self._feed is not None:
                self._feed.wake()

    def _settle(self, taken: bool) -> None:
        if self._taken is not None and not self._taken.done():
            self._taken.set_result(taken)

    def asked(self, feed: _Feed) -> None:
        """grpc asks for a message: it has taken the one before, even where the attempt is over by now."""
        if self._feed is feed and self._next is None and not self._buffer.pending:
            self._settle(True)

    def take(self, feed: _Feed) -> tuple[Any, ...]:
        """What the feed gives now: a message, or nothing while it has to wait. Raises what it ends with."""
        if self._feed is not feed or self.over:
            raise StopAsyncIteration
        if self._buffer.pending:
            return (self._buffer.again(),)
        if self._next is not None:
            message, size = self._next
            self._next = None
            self._buffer.sent(message, size)
            return (message,)
        if self._end is not None:
            raise self._end
        return ()


class _Feed:
    """What grpc reads in one attempt."""

    __slots__ = ("_replay", "_woken", "inner")

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self._woken: asyncio.Future[None] | None = None
        #: grpc's call of the attempt, once there is one.
        self.inner: Any = None

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        self._replay.asked(self)
        while self.inner is None or not self.inner.done():
            found = self._replay.take(self)
            if found:
                return found[0]
            self._woken = asyncio.get_running_loop().create_future()
            await self._woken
        raise StopAsyncIteration

    def wake(self) -> None:
        """There may be something to give, or no reason to wait any longer."""
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)


class ReplayLayer:
    """Keeps a stream of requests where the method declares a buffer for it. It stands around the retries."""

    name = "replay"

    def wrap(self, method: Method, inner: Handler) -> Handler:
        limit = method.replay_buffer
        if not limit:
            return inner
        streams = method.shape.streams_responses

        async def handle(call: Call) -> Outcome:
            replay = call.replay = Replay(call.request, limit, method.request_serializer)
            # Who reads the caller's iterator has to be stopped.
            call.holds = True
            try:
                outcome = await inner(call)
            except BaseException:
                replay.finish()
                raise
            if streams and outcome.error is None:
                replay.commit()
                call.when_ended(lambda _code, _details: replay.finish())
            else:
                replay.finish()
            return outcome

        return handle


class _Serialized:
    """A message as it was when it came: the caller may change it afterwards."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


def unpacking(serializer: Callable[[Any], bytes] | None) -> Callable[[Any], bytes] | None:
    """The serializer, for messages that may have been through it."""
    if serializer is None:
        return None

    def serialize(message: Any) -> bytes:
        return message.data if type(message) is _Serialized else serializer(message)

    return serialize


def _packed(message: Any, serializer: Callable[[Any], bytes] | None) -> tuple[Any, int | None]:
    """The message as it is now, and its size; None where that cannot be known.

    On a stock channel the serializer is grpc's affair; a message of protobuf knows its size by itself.
    """
    if serializer is not None:
        try:
            data = serializer(message)
        except Exception:  # noqa: BLE001 - grpc will meet it too, and deal with it
            return message, None
        return (_Serialized(data), len(data)) if isinstance(data, bytes) else (message, None)
    if isinstance(message, bytes):
        return message, len(message)
    if isinstance(message, Message):
        kept = type(message)()
        kept.CopyFrom(message)
        return kept, kept.ByteSize()
    return message, None


async def _one_by_one(messages: Any) -> AsyncIterator[Any]:
    for message in messages:
        yield message
