"""Handlers that are no coroutines: they run in a thread, inside the same pipeline, with the context that they expect.

    def Get(self, request, context):            # a plain function, or a generator where responses are streamed
        context.abort(grpc.StatusCode.NOT_FOUND, "no such book")

They have the deadline, the span and the principal of their call, and their errors become statuses as anybody's. What a
thread cannot have is an end from outside: where a call is cancelled or its time is up, the client gets its answer at
once, `context.is_active()` turns False, the next message that is read or written raises `kit.errors.Cancelled`, and the
function runs on to its own end. The threads are those of the loop's default executor, one for each call that runs.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import suppress
from contextvars import copy_context
from typing import Any, NoReturn

import grpc

from kit.errors import Cancelled, Unimplemented, sendable
from kit.observe import get_logger

__all__ = ["in_thread"]

log = get_logger("kit.server")

_END = object()


class _AbortedError(Exception):
    """Ends the function that aborted its call."""


def in_thread(
    function: Callable[[Any, Any], Any], path: str, *, request_streaming: bool, response_streaming: bool
) -> Callable[[Any, Any], Coroutine[Any, Any, Any]]:
    """A coroutine function that does what the handler `function` of the method `path` does."""
    work = _streaming(function) if response_streaming else function

    def guarded(request: Any, context: ThreadContext) -> Any:
        try:
            return work(request, context)
        except StopIteration as error:
            # No future takes one.
            raise RuntimeError("the handler raised StopIteration") from error

    async def run(request: Any, context: Any) -> Any:
        outer = ThreadContext(context, asyncio.get_running_loop())
        given = _Requests(request, outer) if request_streaming else request
        response = None
        try:
            response = await asyncio.get_running_loop().run_in_executor(None, copy_context().run, guarded, given, outer)
        except _AbortedError:
            pass
        except NotImplementedError:
            # What the base class of a generated servicer does in a method that was not overridden.
            if context.code() is grpc.StatusCode.UNIMPLEMENTED:
                raise Unimplemented(f"{path} is not implemented") from None
            raise
        finally:
            outer.end()
        if outer.aborted is not None:
            await context.abort(*outer.aborted)
        return response

    return run


def _streaming(function: Callable[[Any, Any], Any]) -> Callable[[Any, ThreadContext], None]:
    def run(request: Any, context: ThreadContext) -> None:
        responses = function(request, context)
        try:
            for response in responses:
                context.write(response)
        finally:
            close = getattr(responses, "close", None)
            if callable(close):
                close()

    return run


class ThreadContext(grpc.ServicerContext):
    """A call's context for a handler in a thread, as `grpc.ServicerContext` has it."""

    def __init__(self, context: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._context = context
        self._loop = loop
        self._lock = threading.Lock()
        self._ended = False
        self._pending: concurrent.futures.Future[Any] | None = None
        self._callbacks: list[Callable[[], Any]] = []
        #: Arguments of the abort that was asked for.
        self.aborted: tuple[Any, str, tuple[Any, ...]] | None = None

    def end(self) -> None:
        """The call is over; what the thread still waits for is not going to come."""
        with self._lock:
            self._ended = True
            if self._pending is not None:
                self._pending.cancel()
        for callback in self._callbacks:
            try:
                callback()
            except Exception:
                log.exception("a callback at the end of a call failed")

    def wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Runs it on the loop and waits for it in the thread. Raises Cancelled where the call is over."""
        with self._lock:
            if self._ended:
                work.close()
                raise Cancelled("the call is over")
            self._pending = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return self._pending.result()
        except concurrent.futures.CancelledError:
            raise Cancelled("the call is over") from None

    def write(self, response: Any) -> None:
        """Sends one of the responses of a stream."""
        if self.aborted is not None:
            raise _AbortedError
        self.wait(self._context.write(response))

    def abort(self, code: Any, details: str = "", trailing_metadata: Any = ()) -> NoReturn:
        """Ends the function by an exception, and the call with the status.

        Raises ValueError or TypeError for what is no such status: grpc would leave the client without any.
        """
        trailing = tuple(trailing_metadata)
        if code in (grpc.StatusCode.OK, 0):
            raise ValueError("abort ends a call with an error; return a response for OK")
        for pair in trailing:
            if len(pair) != 2 or not isinstance(pair[0], str) or not isinstance(pair[1], (str, bytes)):
                raise TypeError("abort: trailing_metadata is a sequence of pairs of a key and a text or bytes")
        self.aborted = (code, sendable(details), trailing)
        raise _AbortedError

    def abort_with_status(self, status: Any) -> NoReturn:
        """The same with a `grpc.Status`."""
        self.abort(status.code, status.details, status.trailing_metadata or ())

    def send_initial_metadata(self, initial_metadata: Any) -> None:
        """Sends headers before the first response."""
        self.wait(self._context.send_initial_metadata(initial_metadata))

    def add_callback(self, callback: Callable[[], Any]) -> bool:
        """Calls `callback` on the loop when the call has ended; False where it has."""
        with self._lock:
            if not self._ended:
                self._callbacks.append(callback)
            return not self._ended

    def is_active(self) -> bool:
        """Whether anybody waits for the answer."""
        return not (self._ended or self._context.done() or self._context.cancelled())

    def cancel(self) -> bool:
        """The call ends CANCELLED when the function has returned."""
        self.aborted = (grpc.StatusCode.CANCELLED, "the handler cancelled the call", ())
        return True

    # What is the same

    def time_remaining(self) -> Any:
        return self._context.time_remaining()

    def invocation_metadata(self) -> Any:
        return self._context.invocation_metadata()

    def peer(self) -> Any:
        return self._context.peer()

    def peer_identities(self) -> Any:
        return self._context.peer_identities()

    def peer_identity_key(self) -> Any:
        return self._context.peer_identity_key()

    def auth_context(self) -> Any:
        return self._context.auth_context()

    def set_compression(self, compression: Any) -> None:
        self._context.set_compression(compression)

    def disable_next_message_compression(self) -> None:
        self._context.disable_next_message_compression()

    def set_trailing_metadata(self, trailing_metadata: Any) -> None:
        self._context.set_trailing_metadata(tuple(trailing_metadata))

    def trailing_metadata(self) -> Any:
        return self._context.trailing_metadata()

    def set_code(self, code: Any) -> None:
        self._context.set_code(code)

    def code(self) -> Any:
        return self._context.code()

    def set_details(self, details: str) -> None:
        self._context.set_details(details)

    def details(self) -> Any:
        return self._context.details()


class _Requests:
    """The requests of a stream, for a thread."""

    def __init__(self, requests: AsyncIterator[Any], context: ThreadContext) -> None:
        self._requests = requests
        self._context = context

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        message = self._context.wait(self._next())
        if message is _END:
            raise StopIteration
        return message

    async def _next(self) -> Any:
        with suppress(StopAsyncIteration):
            return await anext(self._requests)
        return _END
