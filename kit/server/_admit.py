"""Which calls a server lets in: the layer, and the gate before it. `kit.server._door` is where they wait.

A call that nobody can answer in time is refused before it costs anything, what matters is served first, and health
checks, which are never queued, wait for one handler at most. A refusal that is certain without the request is made
where the method is looked up: the request is then neither received nor parsed.

The metadata `kit-priority` lowers the priority that the policy gives; it raises it for those only whose certificate is
listed. What holds in the end is handed on to every call made inside (`kit.call`).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from time import monotonic, thread_time
from typing import Any, NoReturn, TypeAlias

from kit.call import PRIORITY_KEY, set_priority
from kit.errors import ConfigurationError
from kit.pipeline import Shape
from kit.policy import Priority
from kit.resilience.admission import Admission, AdmissionControl, Refusal
from kit.resilience.pace import BLOCK
from kit.resilience.rate import RateLimit
from kit.resilience.service_time import ServiceTime
from kit.server._admit_metrics import watch
from kit.server._call import Handler, ServerCall, ServerMethod
from kit.server._door import Door, Refused
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

    def __init__(
        self,
        options: Admission | None = None,
        *,
        clock: Callable[[], float] = monotonic,
        cpu: Callable[[], float] = thread_time,
    ) -> None:
        """`cpu` gives the CPU seconds of the event loop's thread. Raises ConfigurationError."""
        if options is not None and not isinstance(options, Admission):
            raise ConfigurationError(
                f"admission is of type {type(options).__name__}; give a kit.Admission, or None to take all calls"
            )
        self._clock = clock
        #: For reading; None where nothing is limited.
        self.door = None if options is None else Door(options, clock, cpu)
        self._trusted = () if options is None else patterns(options.trusted_peers, "admission: trusted_peers")
        self._peers = Peers()
        self._methods: dict[str, _Method] = {}
        self._answers = Answers()
        #: Calls that have ended.
        self._ended = 0
        watch(self)

    @property
    def control(self) -> AdmissionControl | None:
        """What decides; None where nothing is limited."""
        return None if self.door is None else self.door.control

    def rates(self) -> list[tuple[str, RateLimit]]:
        """The rates that methods have, by path."""
        return [(known.path, known.rate) for known in list(self._methods.values()) if known.rate is not None]

    def wrap(self, method: ServerMethod, inner: Handler) -> Handler:
        """See `Layer`."""
        if method.service.startswith(_EXEMPT):
            return inner
        known, door, control, clock = self._known(method), self.door, self.control, self._clock
        pace = None if door is None else door.pace
        time, declared, streams = known.time, known.priority, method.shape is not Shape.UNARY_UNARY

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
            if door is None or control is None or pace is None:
                return await inner(call)
            # Most calls come when there is room. What is done for them is done here, in as few steps as can be.
            now = clock()
            if now - pace.seen >= BLOCK:
                door.look(now)
            else:
                pace.seen = now
            if control.running >= control.at_once or pace.held:
                return await self._in_turn(call, door, now, time, inner, streams=streams)
            if streams:
                # How long it stays open says nothing of the load.
                return await inner(call)
            control.running += 1
            try:
                response = await inner(call)
            except BaseException as error:
                door.passed(now, time, given_up=isinstance(error, asyncio.CancelledError))
                raise
            ended = clock()
            if ended - pace.seen >= BLOCK:
                door.look(ended)
            else:
                pace.seen = ended
            self._ended += 1
            if ended - now > time.slow:
                door.passed(now, time)
            elif self._ended & time.spared:
                control.running -= 1
                if control.queued:
                    door.pump()
            else:
                door.passed(now, time, calls=time.spared + 1)
            return response

        return handle

    def gate(self, method: ServerMethod) -> Gate | None:
        """For the interceptor: whether a call is refused whatever it asks for. None where none ever is."""
        known, door, clock = self._known(method), self.door, self._clock
        if method.service.startswith(_EXEMPT) or (door is None and known.rate is None):
            return None
        rate, declared, time = known.rate, known.priority, known.time

        def gate(metadata: _Metadata) -> bool:
            if rate is not None:
                wait = rate.take(clock())
                if wait:
                    _refused.set((rate.per_second, wait))
                    return True
            if door is None:
                return False
            if door.pace.held:
                door.pace.arrived(clock())
            if not door.control.queued:
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
            why = door.control.shut(clock(), priority, time)
            if why is None:
                return False
            _refused.set((why, door.refused(why).come_back))
            return True

        return gate

    async def refuse(self, call: ServerCall) -> NoReturn:
        """The handler of a call that the gate refused."""
        raise self._answers.to(*_refused.get())

    def stop(self) -> None:
        """Refuses who waits, and who would have to from now on: the server takes no more calls."""
        if self.door is not None:
            self.door.stop()

    def limits(self) -> list[Limit]:
        """What is limited, as of now."""
        found = []
        control = self.control
        if control is not None:
            shed = sum(control.refused.values())
            full = sum(count for (_, why), count in control.refused.items() if why is Refusal.QUEUE_FULL)
            found += [
                Limit(
                    name="handlers", kind="concurrency", limit=control.limit, used=control.running, rejected=shed - full
                ),
                Limit(
                    name="waiting",
                    kind="queue",
                    limit=control.options.max_queued,
                    used=control.queued,
                    rejected=full,
                ),
            ]
        now = self._clock()
        return found + [
            Limit(name=path, kind="rate", limit=rate.per_second, used=rate.used(now), rejected=rate.refused)
            for path, rate in self.rates()
        ]

    # Inside

    async def _in_turn(
        self, call: ServerCall, door: Door, now: float, time: ServiceTime, inner: Handler, *, streams: bool
    ) -> Any:
        """Serves a call that may have to wait."""
        try:
            permit = await door.enter(now, call.priority, time, call.context)
        except Refused as refused:
            raise self._answers.to(refused.why, refused.come_back) from None
        if streams:
            door.released(permit)
            return await inner(call)
        try:
            response = await inner(call)
        except BaseException as error:
            door.ended(permit, given_up=isinstance(error, asyncio.CancelledError))
            raise
        door.ended(permit)
        return response

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
            known.rate = RateLimit(per_second, self._clock())
        return known

    def _priority(self, value: str | bytes, declared: Priority, context: Any) -> Priority:
        asked = _PRIORITIES.get(value, declared)
        if asked < declared:
            peer = self._peers.of(context)
            if first_match(self._trusted, peer.uris, peer.dns) is None:
                return declared
        return asked
