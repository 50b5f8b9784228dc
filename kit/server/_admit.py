"""The server's door: who is let in, who waits, who is refused. `kit.resilience.admission` decides.

Where calls wait for each other, or a handler that computes has held up the event loop (`kit.resilience.pace`), handlers
begin one by one from a queue of the kit's own, and the loop turns in between until what has come meanwhile is accepted.
So a call that nobody can answer in time is refused before it costs anything, what matters is served first, and health
checks, which are never queued, wait for one handler at most.

A refusal that is certain without the request is made where the method is looked up: the request is then neither
received nor parsed.

The metadata `kit-priority` lowers the priority that the policy gives; it raises it for those only whose certificate is
listed. What holds in the end is handed on to every call made inside (`kit.call`).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from contextvars import Context, ContextVar
from random import random
from time import monotonic, thread_time
from typing import Any, NoReturn, TypeAlias

from kit.call import PRIORITY_KEY, expires_at, set_priority
from kit.pipeline import Shape
from kit.policy import Priority
from kit.resilience.admission import Admission, AdmissionControl, Permit, Refusal
from kit.resilience.pace import BLOCK, Pace
from kit.resilience.rate import RateLimit
from kit.resilience.service_time import ServiceTime
from kit.server._answers import Prepared
from kit.server._call import Handler, ServerCall, ServerMethod
from kit.server._limit import Limit
from kit.server._shed import Answers
from kit.server._worker import processes
from kit.server.auth._names import first_match, patterns
from kit.server.auth._peer import Peers

__all__ = ["AdmitLayer", "Gate"]

_Metadata: TypeAlias = Iterable[tuple[str, str | bytes]]
#: Looks at the metadata of a call; whether `AdmitLayer.refuse` is to serve it.
Gate: TypeAlias = Callable[[_Metadata], bool]

#: Services that tell how the server is. They are wanted most when it is worst.
_EXEMPT = ("grpc.health.", "grpc.reflection.", "grpc.channelz.", "kitapi.")
_PRIORITIES: dict[str | bytes, Priority] = {priority.name.lower(): priority for priority in Priority}
#: Seconds between two looks for calls that wait in vain.
_SWEEP = 0.05
#: Methods that are kept. Generated code has few; a catch-all handler may serve any name.
_MAX_KEPT = 4096
#: Why the call that is being looked up is refused, and the seconds after which to come back.
_refused: ContextVar[tuple[Refusal | float, float]] = ContextVar("kit_refused")


class _Method:
    """What is kept of one method for as long as the server lives."""

    __slots__ = ("path", "priority", "rate", "time")

    def __init__(self, path: str) -> None:
        self.path = path
        self.time = ServiceTime()
        self.priority = Priority.DEFAULT
        self.rate: RateLimit | None = None


class AdmitLayer:
    """Lets calls in. Without `options` all of them, but for the rates that policies declare."""

    name = "admit"

    def __init__(self, options: Admission | None = None) -> None:
        now = monotonic()
        #: For reading; None where nothing is limited.
        self.control = None if options is None else AdmissionControl(options, now)
        self._trusted = () if options is None else patterns(options.trusted_peers, "admission: trusted_peers")
        self._peers = Peers()
        self._pace = Pace(now, thread_time())
        self._methods: dict[str, _Method] = {}
        self._answers = Answers()
        #: Where those that wait are told.
        self._turns: dict[Permit, asyncio.Future[Refusal | None]] = {}
        self._pumping = False
        self._sweeping = False

    def wrap(self, method: ServerMethod, inner: Handler) -> Handler:
        if method.service.startswith(_EXEMPT):
            return inner
        known, control, pace = self._known(method), self.control, self._pace
        time, declared, streams = known.time, known.priority, method.shape is not Shape.UNARY_UNARY
        may_wait = control is not None and control.options.max_queued > 0

        async def handle(call: ServerCall) -> Any:
            priority = declared
            for key, value in call.metadata:
                if key == PRIORITY_KEY:
                    priority = self._priority(value, declared, call.context)
                    set_priority(priority)
                    break
            else:
                if declared is not Priority.DEFAULT:
                    set_priority(declared)
            call.priority = priority
            if control is None:
                return await inner(call)
            now = monotonic()
            if now - pace.seen >= BLOCK:
                pace.computed(now, thread_time())
            else:
                pace.seen = now
            permit = None if pace.held and may_wait else control.enter(now, time)
            if permit is None:
                permit = await self._wait(call, time)
            if streams:
                # How long it stays open says nothing of the load.
                permit.released(now)
                self._pump_soon()
                return await inner(call)
            try:
                response = await inner(call)
            except asyncio.CancelledError:
                # Whoever gave up before the deadline says nothing of the load.
                self._settled(permit, late_only=True)
                raise
            except BaseException:
                self._settled(permit)
                raise
            self._settled(permit)
            return response

        return handle

    def gate(self, method: ServerMethod) -> Gate | None:
        """For the interceptor: whether a call is refused whatever it asks for. None where none ever is."""
        known, control, pace = self._known(method), self.control, self._pace
        if method.service.startswith(_EXEMPT) or (control is None and known.rate is None):
            return None
        rate, declared, time = known.rate, known.priority, known.time

        def gate(metadata: _Metadata) -> bool:
            if pace.held:
                pace.arrived(monotonic())
            if rate is not None:
                wait = rate.take(monotonic())
                if wait:
                    _refused.set((rate.per_second, wait))
                    return True
            if control is None or not control.queued:
                return False
            priority = declared
            for key, value in metadata:
                if key == PRIORITY_KEY:
                    asked = _PRIORITIES.get(value, declared)
                    if asked < declared and self._trusted:
                        # Who asks is known with the request only.
                        return False
                    priority = max(asked, declared)
                    break
            now = monotonic()
            why = control.shut(now, priority, time)
            if why is None:
                return False
            _refused.set((why, control.come_back(now, random())))  # noqa: S311 - nobody gains by guessing it
            return True

        return gate

    async def refuse(self, call: ServerCall) -> NoReturn:
        """The handler of a call that the gate refused."""
        raise self._answers.to(*_refused.get())

    def stop(self) -> None:
        """Refuses who waits, and who would have to from now on: the server takes no more calls."""
        if self.control is not None:
            self._tell(self.control.stop())

    def limits(self) -> list[Limit]:
        """What is limited, as of now."""
        found = []
        control = self.control
        if control is not None:
            shed = sum(control.refused.values())
            full = sum(count for (_, why), count in control.refused.items() if why is Refusal.QUEUE_FULL)
            most = control.options.max_queued
            found += [
                Limit(
                    name="handlers", kind="concurrency", limit=control.limit, used=control.running, rejected=shed - full
                ),
                Limit(name="waiting", kind="queue", limit=most, used=control.queued, rejected=full),
            ]
        now = monotonic()
        return found + [
            Limit(
                name=known.path,
                kind="rate",
                limit=known.rate.per_second,
                used=known.rate.used(now),
                rejected=known.rate.refused,
            )
            for known in self._methods.values()
            if known.rate is not None
        ]

    # Inside

    def _known(self, method: ServerMethod) -> _Method:
        """Takes what the policy says. A rate that has not changed goes on counting."""
        known = self._methods.get(method.path)
        if known is None:
            known = _Method(method.path)
            if len(self._methods) < _MAX_KEPT:
                self._methods[method.path] = known
        known.priority = method.policy.priority
        # Of all processes that serve together.
        per_second = method.policy.rate_per_second / processes()
        if per_second == math.inf:
            known.rate = None
        elif known.rate is None or known.rate.per_second != per_second:
            known.rate = RateLimit(per_second, monotonic())
        return known

    def _priority(self, value: str | bytes, declared: Priority, context: Any) -> Priority:
        asked = _PRIORITIES.get(value, declared)
        if asked < declared:
            peer = self._peers.of(context)
            if first_match(self._trusted, peer.uris, peer.dns) is None:
                return declared
        return asked

    async def _wait(self, call: ServerCall, time: ServiceTime) -> Permit:
        """Queues a call until it is let in. Does not return where it is refused."""
        control = self.control
        assert control is not None
        now = monotonic()
        left = call.context.time_remaining()
        until = math.inf if left is None else now + left
        permit, gave_way = control.queue(now, call.priority, time, until)
        if gave_way is not None:
            self._tell([(gave_way, Refusal.GAVE_WAY)])
        if isinstance(permit, Refusal):
            raise self._refusal(permit)
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[Refusal | None] = loop.create_future()
        self._turns[permit] = turn
        self._pump_soon()
        if not self._sweeping:
            self._sweeping = True
            loop.call_later(_SWEEP, self._sweep, context=Context())
        try:
            why = await turn
        except BaseException:
            # The client gave up. It may just have been let in.
            permit.released(monotonic())
            self._pump_soon()
            raise
        finally:
            del self._turns[permit]
        if why is not None:
            raise self._refusal(why)
        return permit

    def _refusal(self, why: Refusal) -> Prepared:
        assert self.control is not None
        come_back = self.control.come_back(monotonic(), random())  # noqa: S311 - nobody gains by guessing it
        return self._answers.to(why, come_back)

    def _settled(self, permit: Permit, *, late_only: bool = False) -> None:
        now, pace = monotonic(), self._pace
        if now - pace.seen >= BLOCK:
            pace.computed(now, thread_time())
        else:
            pace.seen = now
        until = expires_at()
        if late_only and until > now:
            permit.released(now)
        else:
            permit.ended(now, until - permit.since)
        if self._turns:
            self._pump_soon()

    def _pump_soon(self) -> None:
        if self._turns and not self._pumping:
            self._pumping = True
            asyncio.get_running_loop().call_soon(self._pump, context=Context())

    def _pump(self) -> None:
        """Once in each turn of the loop, for as long as somebody waits and may be let in."""
        self._pumping = False
        control, pace = self.control, self._pace
        assert control is not None
        now = monotonic()
        if now - pace.seen >= BLOCK:
            pace.computed(now, thread_time())
        else:
            pace.seen = now
        if pace.held and not pace.turned(now):
            self._pump_soon()
            return
        permit, refused = control.next(now)
        self._tell(refused)
        if permit is not None:
            _wake(self._turns[permit], None)
            self._pump_soon()

    def _sweep(self) -> None:
        self._sweeping = False
        control = self.control
        assert control is not None
        self._tell(control.sweep(monotonic()))
        if control.queued:
            self._sweeping = True
            asyncio.get_running_loop().call_later(_SWEEP, self._sweep, context=Context())

    def _tell(self, refused: Iterable[tuple[Permit, Refusal]]) -> None:
        for permit, why in refused:
            _wake(self._turns[permit], why)


def _wake(turn: asyncio.Future[Refusal | None], why: Refusal | None) -> None:
    # Who waits may have been cancelled in this turn of the loop, and not know it yet.
    if not turn.done():
        turn.set_result(why)
