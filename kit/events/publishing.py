"""How events are told: by one function, to the bus of the process.

Events of ports, health checks and reconnecting are debounced (`kit.resilience.spacing`), so that an endpoint that goes
to and fro does not fill the log. Where no event loop runs there is nothing that could tell later, and all is told at
once.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import Context
from functools import cache

from google.protobuf.message import Message
from opentelemetry import context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from kit.clock import SYSTEM, Clock
from kit.events.bus import Bus
from kit.events.memory import MemoryBus
from kit.resilience.spacing import Spacing
from kitapi.v1 import events_pb2

__all__ = ["QUIET", "Publisher", "bus", "caused_by", "publish", "told_by", "use"]

#: Seconds between two events of a subject that are debounced, at least.
QUIET = 1.0

log = logging.getLogger("kit.events")

_PROPAGATOR = TraceContextTextMapPropagator()
#: What is debounced: the type's short name, what it is told along with, and the field that says the state.
_DEBOUNCED: Mapping[str, tuple[str, str]] = {
    "PortChanged": ("port changed", "new_port"),
    "PortConflict": ("port conflict", "port"),
    "PortAvailable": ("port available", "port"),
    "HealthCheckFailed": ("health", "new_status"),
    "HealthCheckSuccess": ("health", "new_status"),
    "EndpointUnreachable": ("reconnect", "address"),
    "EndpointReconnected": ("reconnect", "address"),
}


class Publisher:
    """Makes events of payloads and hands them to a bus. `quiet` is for what is debounced."""

    def __init__(self, bus: Bus, *, clock: Clock = SYSTEM, quiet: float = QUIET) -> None:
        self.bus = bus
        #: Name of the process, for the events' source.
        self.name = "python"
        self._clock = clock
        self._spacing: Spacing[events_pb2.Event] = Spacing(quiet)
        self._telling_later: asyncio.Task[None] | None = None

    def publish(self, payload: Message, *, subject: str) -> None:
        """See `kit.events.publish`."""
        event = self._event(payload, subject)
        kind = payload.DESCRIPTOR.name
        rule = _DEBOUNCED.get(kind) if isinstance(payload, _KIT) else None
        loop = asyncio._get_running_loop()
        if rule is None or loop is None:
            self._post(event)
            return
        group, field = rule
        if self._spacing.offer((group, subject), (kind, getattr(payload, field)), event, self._clock.now()):
            self._post(event)
        task = self._telling_later
        if task is None or task.done() or task.get_loop() is not loop:
            task = self._telling_later = loop.create_task(self._tell_later(), context=Context())
            # Where a loop is closed with tasks in it, asyncio says so of each on stderr; this one is not the user's.
            task._log_destroy_pending = False  # type: ignore[attr-defined]

    def _event(self, payload: Message, subject: str) -> events_pb2.Event:
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier)
        event = events_pb2.Event(
            id=secrets.token_hex(16),
            subject=subject,
            source=f"{self.name}@{_host()}/{os.getpid()}",
            traceparent=carrier.get("traceparent", ""),
            tracestate=carrier.get("tracestate", ""),
        )
        event.time.FromNanoseconds(round(self._clock.wall() * 1e9))
        event.payload.Pack(payload)
        return event

    def _post(self, event: events_pb2.Event) -> None:
        try:
            self.bus.post(event)
        except Exception:
            log.exception("the event bus did not take %s", event.payload.type_url)

    async def _tell_later(self) -> None:
        while (due := self._spacing.next_due) is not None:
            await self._clock.sleep(max(0.0, due - self._clock.now()))
            for event in self._spacing.due(self._clock.now()):
                self._post(event)


@cache
def _host() -> str:
    return socket.gethostname()


_KIT = tuple(getattr(events_pb2, name) for name in _DEBOUNCED)
_publisher = Publisher(MemoryBus())


def publish(payload: Message, *, subject: str) -> None:
    """Tells what happened: `payload` is a message, `subject` the resource or component that it is about.

    The trace context that is current goes along. Returns at once; what the bus raises is logged. May be called from any
    thread.
    """
    _publisher.publish(payload, subject=subject)


def bus() -> Bus:
    """The bus of this process."""
    return _publisher.bus


@contextmanager
def use(bus: Bus, *, quiet: float = QUIET) -> Iterator[Bus]:
    """Events of this process go to another bus inside: for tests, or around a program's whole life.

    `quiet` is the least time, in seconds, between two events of a subject that are debounced.
    """
    global _publisher  # noqa: PLW0603 - the bus belongs to the process
    former, _publisher = _publisher, Publisher(bus, quiet=quiet)
    _publisher.name = former.name
    try:
        yield bus
    finally:
        _publisher = former


def told_by(name: str) -> None:
    """Names this process in the source of its events from now on; a server that starts does so."""
    _publisher.name = name


@contextmanager
def caused_by(event: events_pb2.Event) -> Iterator[None]:
    """Calls, spans and events made inside belong to the trace of what caused the event."""
    carrier = {"traceparent": event.traceparent, "tracestate": event.tracestate}
    token = context.attach(
        _PROPAGATOR.extract({key: value for key, value in carrier.items() if value}, context.Context())
    )
    try:
        yield
    finally:
        context.detach(token)
