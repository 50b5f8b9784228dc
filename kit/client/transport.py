"""The innermost handler: makes grpc's own call and waits for as much of it as settles an attempt.

An answer that is one message settles the attempt when it is there. An answer that is a stream settles it at once where
no further attempt is possible; otherwise with its first message, with non-empty initial metadata (the server has
committed itself), or with its end.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import grpc.aio

from kit.client._replay import unpacking
from kit.client._requests import unserialisable
from kit.pipeline import Call, Handler, Method, Outcome

__all__ = ["on_endpoint", "over_continuation"]

#: How the core's error begins when a write was under way as the call ended. Its other errors end no call.
_CUT_SHORT = 'Failed "execute_batch"'


class _KeepsStatus:
    """Stands before the core's call, for grpc.aio's write.

    A write that the end of the call cuts short sets INTERNAL there, if it comes before the status that the server sent.
    Here it does not, and raises that status when it is there.
    """

    __slots__ = ("_core",)

    def __init__(self, core: Any) -> None:
        self._core = core

    def __getattr__(self, name: str) -> Any:
        return getattr(self._core, name)

    def set_internal_error(self, error: str) -> None:
        if not error.startswith(_CUT_SHORT):
            self._core.set_internal_error(error)

    async def send_receive_close(self) -> None:
        # grpc.aio passes it on to who writes, and cancels the call where it reads an iterator.
        try:
            await self._core.send_receive_close()
        except grpc.aio.InternalError as error:
            if not str(error).startswith(_CUT_SHORT):
                raise


def _streaming(call: Call, feed: Any, inner: Any) -> None:
    """Prepares grpc's own call for a stream of requests."""
    core = getattr(inner, "_cython_call", None)
    if core is not None:
        inner._cython_call = _KeepsStatus(core)
    opened = getattr(inner, "_metadata_sent", None)
    if opened is not None:
        # grpc.aio leaves a writer waiting for ever where the call was cancelled before it was opened.
        inner.add_done_callback(lambda _: opened.set())
    if call.replay is not None:
        feed.inner = inner


def on_endpoint(method: Method) -> Handler:
    """Sends to `Call.endpoint`."""
    streams = method.shape.streams_requests
    kept = replace(method, request_serializer=unpacking(method.request_serializer)) if method.replay_buffer else method

    def start(call: Call) -> Any:
        timeout = call.attempts[-1].timeout
        sent = call.sent_metadata
        stub = call.endpoint.stub(kept)
        options: dict[str, Any] = {
            "timeout": timeout if timeout != math.inf else None,
            "metadata": call.metadata if sent is None else grpc.aio.Metadata(*sent),
        }
        if call.credentials is not None:
            options["credentials"] = call.credentials
        if call.wait_for_ready is not None:
            options["wait_for_ready"] = call.wait_for_ready
        if call.compression is not None:
            options["compression"] = call.compression
        try:
            if streams:
                feed = call.request if call.replay is None else call.replay.feed()
                inner = stub(**options) if feed is None else stub(feed, **options)
                _streaming(call, feed, inner)
            else:
                inner = stub(call.request, **options)
        except grpc.aio.UsageError:
            # The channel was closed after the call was made, which cancels it.
            if len(call.attempts) > 1 or call.waited:
                raise asyncio.CancelledError from None
            raise
        call.sent(inner)
        return inner

    return _settled(method, start, is_async=False)


def over_continuation(method: Method) -> Handler:
    """Sends with `Call.send`, the continuation that a stock channel gives its interceptors."""
    path = method.path.encode()
    streams = method.shape.streams_requests

    async def start(call: Call) -> Any:
        timeout = call.attempts[-1].timeout
        sent = call.sent_metadata
        details = grpc.aio.ClientCallDetails(
            path,  # type: ignore[arg-type]  # bytes is what grpc.aio itself uses here
            timeout if timeout != math.inf else None,
            call.metadata if sent is None else grpc.aio.Metadata(*sent),
            call.credentials,
            call.wait_for_ready,
        )
        feed = None
        if streams:
            feed = call.request if call.replay is None else call.replay.feed()
        try:
            inner = await call.send(details, feed if streams else call.request)
        except grpc.aio.UsageError:
            # The channel was closed after the call was made, which cancels it.
            if len(call.attempts) > 1 or call.waited:
                raise asyncio.CancelledError from None
            raise
        if streams:
            _streaming(call, feed, inner)
        call.sent(inner)
        return inner

    return _settled(method, start, is_async=True)


def _settled(method: Method, start: Callable[[Call], Any], *, is_async: bool) -> Handler:
    streams = method.shape.streams_requests

    async def one_message(call: Call) -> Outcome:
        begun = call.begun
        if begun is not None:
            inner, call.begun = begun.inner, None
            call.sent(inner)
        else:
            inner = await start(call) if is_async else start(call)
        try:
            return Outcome(await inner)
        except grpc.aio.AioRpcError as error:
            return Outcome(error=error)
        except Exception as error:  # noqa: BLE001 - raised again, in words that name the request
            found = unserialisable(method, call.request, error)
            raise found from found.__cause__

    async def opened(call: Call) -> Outcome:
        if is_async:
            await start(call)
        else:
            start(call)
        return Outcome()

    async def begun(call: Call) -> Outcome:
        inner = await start(call) if is_async else start(call)
        try:
            if not streams:
                # Metadata of a call whose request cannot be serialised never comes; this raises that.
                await inner.wait_for_connection()
            return Outcome() if await inner.initial_metadata() else Outcome(await inner.read())
        except grpc.aio.AioRpcError as error:
            return Outcome(error=error)
        except asyncio.CancelledError:
            # Waiting for metadata does not pass a cancellation on by itself.
            inner.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - raised again, in words that name the request
            found = unserialisable(method, call.request, error)
            raise found from found.__cause__

    if not method.shape.streams_responses:
        return one_message
    return begun if method.begins_late else opened
