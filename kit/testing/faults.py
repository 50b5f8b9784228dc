"""Scripted faults: what a server answers before it passes calls on to the handler."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio

from kit.clock import SYSTEM, Clock
from kit.errors import UsageError

__all__ = ["Fault", "Faults", "Seen"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """What happens to one call. With `code` None it is passed on, once `delay` and `until` are over."""

    code: grpc.StatusCode | None = None
    details: str = "scripted"
    #: Sent as grpc-retry-pushback-ms, as it stands.
    pushback: int | str | None = None
    #: Sent before anything else, which commits the server.
    initial_metadata: tuple[tuple[str, str], ...] = ()
    #: Messages of a streamed answer that the handler may send first.
    after_messages: int = 0
    #: Seconds on the clock of the `Faults`.
    delay: float = 0.0
    #: The call is held until this is set.
    until: asyncio.Event | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """A call that reached the server."""

    method: str
    metadata: tuple[tuple[str, str | bytes], ...]
    #: Set when the call's handler was cancelled.
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    def header(self, key: str) -> str | bytes | None:
        """The first value of a header."""
        return next((value for name, value in self.metadata if name == key), None)


class Faults(grpc.aio.ServerInterceptor):
    """A server interceptor that plays a script for each method and notes every call.

    faults = Faults()
    faults.script("/pkg.Service/Method", [Fault(code=UNAVAILABLE), Fault(code=UNAVAILABLE)])    # then it works
    """

    def __init__(self, clock: Clock = SYSTEM) -> None:
        self._clock = clock
        self._scripts: defaultdict[str, deque[Fault]] = defaultdict(deque)
        self._arrived = asyncio.Condition()
        #: Every call that arrived, in order.
        self.seen: list[Seen] = []

    def script(self, method: str, faults: Iterable[Fault]) -> None:
        """Appends to what the next calls of "/package.Service/Method" meet."""
        self._scripts[method].extend(faults)

    def count(self, method: str) -> int:
        """How many calls of a method arrived."""
        return sum(call.method == method for call in self.seen)

    async def arrived(self, method: str, count: int = 1) -> Seen:
        """Waits until `count` calls of a method have arrived; gives the last of them."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: self.count(method) >= count)
        return [call for call in self.seen if call.method == method][count - 1]

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        handler = await continuation(handler_call_details)
        return None if handler is None else self._wrapped(handler, handler_call_details.method)

    def _wrapped(self, handler: Any, method: str) -> Any:
        for kind in ("unary_unary", "unary_stream", "stream_unary", "stream_stream"):
            inner = getattr(handler, kind)
            if inner is not None:
                behave = self._streaming if inspect.isasyncgenfunction(inner) else self._returning
                make = getattr(grpc, f"{kind}_rpc_method_handler")
                return make(behave(inner, method), handler.request_deserializer, handler.response_serializer)
        raise UsageError(f"{method} has no handler")

    def _returning(self, inner: Any, method: str) -> Any:
        async def behave(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            call, fault = await self._note(method, context)
            try:
                await self._before(fault, context)
                if fault is not None and fault.code is not None:
                    await _fail(fault, context)
                return await inner(request, context)
            except asyncio.CancelledError:
                call.cancelled.set()
                raise

        return behave

    def _streaming(self, inner: Any, method: str) -> Any:
        async def behave(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
            call, fault = await self._note(method, context)
            allowed = -1 if fault is None or fault.code is None else fault.after_messages
            sent = 0
            try:
                await self._before(fault, context)
                if allowed:
                    async with contextlib.aclosing(inner(request, context)) as messages:
                        async for message in messages:
                            yield message
                            sent += 1
                            if sent == allowed:
                                break
                if fault is not None and fault.code is not None:
                    await _fail(fault, context)
            except (asyncio.CancelledError, GeneratorExit):
                call.cancelled.set()
                raise

        return behave

    async def _note(self, method: str, context: grpc.aio.ServicerContext[Any, Any]) -> tuple[Seen, Fault | None]:
        call = Seen(method, tuple(context.invocation_metadata() or ()))
        script = self._scripts[method]
        async with self._arrived:
            self.seen.append(call)
            self._arrived.notify_all()
        return call, script.popleft() if script else None

    async def _before(self, fault: Fault | None, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        if fault is None:
            return
        if fault.initial_metadata:
            await context.send_initial_metadata(fault.initial_metadata)
        if fault.delay:
            await self._clock.sleep(fault.delay)
        if fault.until is not None:
            await fault.until.wait()


async def _fail(fault: Fault, context: grpc.aio.ServicerContext[Any, Any]) -> None:
    assert fault.code is not None
    trailing = () if fault.pushback is None else (("grpc-retry-pushback-ms", str(fault.pushback)),)
    await context.abort(fault.code, fault.details, trailing)
