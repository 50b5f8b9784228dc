"""What stands in for grpc in a simulation: sub-channels that answer by a fault plan, in virtual time.

Only here is anything pretended. The channel above, its stubs, its calls, its layers and its picks are the real ones.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio

from kit.errors import UsageError
from kit.testing.plan import FaultPlan, OutageKind

__all__ = ["SimulatedChannel", "World"]

_OK, _CANCELLED, _UNAVAILABLE = grpc.StatusCode.OK, grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE
_LATE = grpc.StatusCode.DEADLINE_EXCEEDED
_READY, _DOWN = grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.TRANSIENT_FAILURE
_SHUT = grpc.ChannelConnectivity.SHUTDOWN


class World:
    """What all endpoints of a simulation share: the plan, the dice, and the notes of what arrived."""

    def __init__(self, plan: FaultPlan, rng: random.Random, method: str) -> None:
        self.plan = plan
        self.rng = rng
        self.method = method
        #: One line for each thing that happened, in order.
        self.history: list[str] = []
        #: How many attempts of each call arrived anywhere.
        self.arrived: dict[int, int] = {}

    def note(self, now: float, *words: object) -> None:
        """Adds to the history; times are whole microseconds, so that sums of floats cannot tell runs apart."""
        self.history.append(f"{round(now * 1e6)} {' '.join(map(str, words))}")


class _Fate:
    """How an attempt will end if nobody cancels it."""

    __slots__ = ("code", "pushback", "seconds")

    def __init__(self, seconds: float, code: grpc.StatusCode, pushback: float | None = None) -> None:
        self.seconds = seconds
        self.code = code
        self.pushback = pushback


class SimulatedChannel(grpc.aio.Channel):
    """A sub-channel to endpoint number `number`."""

    def __init__(self, world: World, number: int) -> None:
        self._world = world
        self._number = number
        self._closed = False
        self._refused = world.plan.outages_of(number, OutageKind.REFUSED)
        self._silent = world.plan.outages_of(number, OutageKind.SILENT)
        self._loop = asyncio.get_running_loop()

    def fate(self, probe: bool) -> _Fate:
        """Rolls the dice for an attempt that arrives now; a `probe` (a health check) fails only in outages."""
        plan, rng, now = self._world.plan, self._world.rng, self._loop.time()
        if any(outage.start <= now < outage.end for outage in self._refused):
            return _Fate(0.0, _UNAVAILABLE)
        phase = plan.phase_at(now, self._number)
        code, pushback = _OK, None
        if not probe and phase.errors:
            u = rng.random()
            for failure, share in phase.errors.items():
                if u < share:
                    code, pushback = failure, phase.pushback
                    break
                u -= share
        ends = now + (phase.latency if phase.latency is not None else plan.latency).sample(rng)
        for outage in self._silent:
            if outage.start < ends and now < outage.end:
                ends = max(ends, outage.end)
        for outage in self._refused:
            if now < outage.start < ends:
                return _Fate(outage.start - now, _UNAVAILABLE)
        return _Fate(ends - now, code, pushback)

    def unary_unary(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool | None = False,
    ) -> Any:
        probe = method != self._world.method
        if probe and not method.startswith("/grpc.health.v1.Health/"):
            raise UsageError(f"only {self._world.method} is simulated, not {method}")
        answer = response_deserializer(b"\x08\x01") if probe and response_deserializer is not None else None

        def start(request: Any, *, timeout: float | None = None, **_: Any) -> _SimulatedCall:
            if self._closed:
                raise grpc.aio.UsageError("Channel is closed.")
            call = None if probe else int(request)
            return _SimulatedCall(self._world, self._number, self.fate(probe), timeout, call, answer)

        return start

    def _no_streams(self, method: str, *_: Any, **__: Any) -> Any:
        raise UsageError(f"{method}: streams are not simulated")

    unary_stream = stream_unary = stream_stream = _no_streams

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        if self._closed:
            return _SHUT
        now = self._loop.time()
        return _DOWN if any(outage.start <= now < outage.end for outage in self._refused) else _READY

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        while self.get_state() is last_observed_state:
            now = self._loop.time()
            coming = [at for outage in self._refused for at in (outage.start, outage.end) if at > now]
            if not coming:
                await self._loop.create_future()
            await asyncio.sleep(min(coming) - now)

    async def channel_ready(self) -> None:
        while (state := self.get_state()) is not _READY:
            await self.wait_for_state_change(state)

    async def close(self, grace: float | None = None) -> None:
        self._closed = True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


class _SimulatedCall(grpc.aio.UnaryUnaryCall[Any, Any]):
    """grpc's own call of one attempt. The documentation of each method is grpc.aio's."""

    def __init__(
        self, world: World, endpoint: int, fate: _Fate, timeout: float | None, call: int | None, answer: Any
    ) -> None:
        self._world, self._endpoint, self._call, self._answer = world, endpoint, call, answer
        self._code = fate.code
        self._pushback = fate.pushback
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._over.add_done_callback(self._note)
        seconds = fate.seconds
        if timeout is not None and timeout < seconds:
            seconds, self._code, self._pushback = max(0.0, timeout), _LATE, None
        self._timer = self._loop.call_later(seconds, self._end)
        if call is not None:
            world.arrived[call] = world.arrived.get(call, 0) + 1

    def _end(self) -> None:
        if not self._over.done():
            self._over.set_result(None)

    def _note(self, over: asyncio.Future[None]) -> None:
        if over.cancelled():
            self._timer.cancel()
            self._code = _CANCELLED
        if self._call is not None:
            took = round((self._loop.time() - self._started) * 1e6)
            self._world.note(self._loop.time(), "attempt", self._call, self._endpoint, self._code.name, took)

    def __await__(self) -> Generator[Any, Any, Any]:
        yield from self._over.__await__()
        if self._code is not _OK:
            details = f"simulated {self._code.name} at endpoint {self._endpoint}"
            raise grpc.aio.AioRpcError(self._code, grpc.aio.Metadata(), self._trailing(), details=details)
        return self._answer

    def _trailing(self) -> grpc.aio.Metadata:
        if self._pushback is None or self._code is _OK:
            return grpc.aio.Metadata()
        return grpc.aio.Metadata(("grpc-retry-pushback-ms", str(round(self._pushback * 1000))))

    def cancel(self) -> bool:
        return self._over.cancel()

    def cancelled(self) -> bool:
        return self._over.cancelled()

    def done(self) -> bool:
        return self._over.done()

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self._over.add_done_callback(lambda _: callback(self))

    def time_remaining(self) -> float | None:
        return None

    async def initial_metadata(self) -> grpc.aio.Metadata:
        await self._wait()
        return grpc.aio.Metadata()

    async def trailing_metadata(self) -> grpc.aio.Metadata:
        await self._wait()
        return self._trailing()

    async def code(self) -> grpc.StatusCode:
        await self._wait()
        return self._code

    async def details(self) -> str:
        await self._wait()
        return "" if self._code is _OK else f"simulated {self._code.name}"

    async def debug_error_string(self) -> str:
        return await self.details()

    async def wait_for_connection(self) -> None:
        return None

    async def _wait(self) -> None:
        await asyncio.wait({self._over})
