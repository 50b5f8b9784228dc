"""The call objects that stubs give back: everything that grpc.aio's offer, over a pipeline.

How they come to their outcome is in `kit.client.driven`; those of which a side is a stream are in
`kit.client.streams`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Generator
from typing import Any

import grpc
import grpc.aio

from kit.call import CallReport
from kit.callbacks import run_callback
from kit.client.driven import Driven
from kit.clock import Clock
from kit.layers.fallback import degraded_metadata
from kit.layers.report import report_of
from kit.pipeline import CANCELLED, Call, Handler

__all__ = ["CommonCall", "OneAnswerCall", "UnaryUnaryCall"]


class CommonCall(Driven):
    """What the calls of all four shapes offer. The documentation of each is grpc.aio's."""

    def _ended(self) -> bool:
        """Whether the call is over."""
        raise NotImplementedError

    def done(self) -> bool:
        if not self._settled and not self._cancelled:
            self._watch()
            if not self._settled:
                # Closing the channel cancels grpc's call, and whoever waits for ours has yet to see it.
                return self.cancelled()
        return self._cancelled or self._ended()

    def cancelled(self) -> bool:
        inner = self._call.inner
        return self._cancelled or isinstance(self._failure, asyncio.CancelledError) or bool(inner and inner.cancelled())

    def time_remaining(self) -> float | None:
        expires_at = self._call.expires_at
        return None if expires_at == math.inf else max(0.0, expires_at - self._clock.now())

    def kit_report(self) -> CallReport:
        """What has happened to the call up to now; for `kit.report`."""
        return report_of(self._call, self._clock.now())

    async def _sent(self) -> Any:
        """grpc's own call; None where the call ended before there was one."""
        call = self._call
        while call.inner is None and not self._settled:
            if call.waiter is None:
                call.waiter = asyncio.Event()
            await call.waiter.wait()
        return call.inner

    async def initial_metadata(self) -> grpc.aio.Metadata:
        inner = await self._sent()
        if inner is not None:
            found: grpc.aio.Metadata = await inner.initial_metadata()
            if found or self._settled or not self._call.method.may_replay:
                return found
        await self._outcome_there()
        inner = self._call.inner
        return grpc.aio.Metadata() if inner is None else await inner.initial_metadata()

    async def trailing_metadata(self) -> grpc.aio.Metadata:
        await self._outcome_there()
        inner = self._call.inner
        trailing = grpc.aio.Metadata() if inner is None else await inner.trailing_metadata()
        return degraded_metadata(self._call, trailing)

    async def code(self) -> grpc.StatusCode:
        await self._outcome_there()
        return self._call.code if self._call.code is not None else await self._inner_or_cancelled("code", CANCELLED[0])

    async def details(self) -> str:
        await self._outcome_there()
        return (
            self._call.details
            if self._call.code is not None
            else await self._inner_or_cancelled("details", CANCELLED[1])
        )

    async def debug_error_string(self) -> str | None:
        await self._outcome_there()
        return await self._inner_or_cancelled("debug_error_string", "")  # type: ignore[no-any-return]

    async def _inner_or_cancelled(self, name: str, otherwise: Any) -> Any:
        inner = self._call.inner
        return otherwise if inner is None else await getattr(inner, name)()

    def _run_callbacks(self) -> None:
        callbacks, self._callbacks = self._callbacks or (), None
        for callback in callbacks:
            run_callback(callback, self, now=self._clock.now)


class OneAnswerCall(CommonCall):
    """The answer is one message."""

    def __await__(self) -> Generator[Any, Any, Any]:
        if not self._settled:
            yield from self._join().__await__() if self._driving else self._drive()
        return self._result()

    def _on_settled(self) -> None:
        # Before callbacks: one of them may raise.
        if self._call.waiter is not None:
            self._call.waiter.set()
        if self._callbacks:
            self._run_callbacks()

    def _ended(self) -> bool:
        return self._settled

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        if self._settled:
            run_callback(callback, self, now=self._clock.now)
            return
        if self._callbacks is None:
            self._callbacks = []
        self._callbacks.append(callback)
        if self._call.inner is not None:
            self._watch()

    async def wait_for_connection(self) -> None:
        await self._join()
        self._result()


class UnaryUnaryCall(OneAnswerCall, grpc.aio.UnaryUnaryCall[Any, Any]):
    """One request, one answer."""

    def __init__(self, call: Call, handler: Handler, clock: Clock) -> None:
        self._start(call, handler, clock)
