"""The health of one process as its server keeps it: components, warm-up, the loop, and what grpc.health.v1 says of it.

begin     names are known, all NOT_SERVING but liveness; the port for probes opens, if there is one
started   components are checked and warm-ups run, beside the calls; startup is SERVING, and readiness is as soon as
          every required component has been found well and every warm-up has ended
drain     all NOT_SERVING but liveness
stop      nothing is checked any more
close     the port for probes closes
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextvars import Context
from typing import Any

from kit.errors import UsageError
from kit.health.loop import LoopWatch
from kit.health.port import HealthPort
from kit.health.registry import HealthRegistry
from kit.health.result import Finding, HealthLayer
from kit.health.service import LIVENESS, OVERALL, READINESS, STARTUP, HealthService
from kit.health.snapshot import snapshot
from kit.observe import get_logger
from kit.resilience.pulse import Health

__all__ = ["EVENT_LOOP", "WARM_UP", "ProcessHealth"]

log = get_logger("kit.health")

#: Names of components that every server has, and that one with warm-ups has.
EVENT_LOOP = "event loop"
WARM_UP = "warm-up"


class ProcessHealth:
    """One for each server."""

    def __init__(self, *, listen: str | None = None, environ: Mapping[str, str] = os.environ) -> None:
        """`listen` is where probes are answered beside the server's own port; None means KIT_HEALTH_LISTEN, "" nowhere.

        Raises ConfigurationError.
        """
        self.service = HealthService(starting=True)
        self.registry = HealthRegistry()
        self._loop = LoopWatch()
        self.registry.show(EVENT_LOOP, self._loop.finding, layer=HealthLayer.MACHINE)
        listen = environ.get("KIT_HEALTH_LISTEN", "") if listen is None else listen
        self._port = HealthPort(listen, self.service) if listen else None
        self._missing: set[str] = set()
        self._warm_ups: list[tuple[Callable[[], Awaitable[object]], float]] = []
        self._warming: asyncio.Task[None] | None = None
        self._warmth = Finding(Health.DEGRADED, "has not begun")
        self._running = False

    @property
    def port(self) -> int:
        """Where probes are answered beside the server's own port; UsageError where that is nowhere."""
        if self._port is None or not self._port.port:
            raise UsageError("there is no port for probes alone; give kit.Server health_listen, or set it")
        return self._port.port

    def share_port(self) -> None:
        """Other processes answer probes at the same port. Raises ConfigurationError where that is any port."""
        if self._port is not None:
            self._port.share()

    def depends_on(self, name: str, check: Any, **options: Any) -> None:
        """As `HealthRegistry.add`; what is required is in the way of readiness from now on."""
        self.registry.add(name, check, **options)
        self._follow()

    def warm_up(self, function: Callable[[], Awaitable[object]], timeout: float) -> None:
        """Runs it after the start; readiness waits for its end, or for `timeout` seconds."""
        if not self._warm_ups:
            self.registry.show(WARM_UP, lambda: self._warmth, layer=HealthLayer.MACHINE)
            self.service.hold(WARM_UP)
        self._warm_ups.append((function, timeout))

    def snapshot(self) -> dict[str, Any]:
        """Everything, as a JSON document (`kit.health.snapshot`)."""
        return snapshot(self.service, self.registry)

    # The server's life

    async def begin(self, services: Iterable[str]) -> None:
        """Before the start. Raises ConfigurationError where the port for probes is taken."""
        self.service.register([OVERALL, *services, LIVENESS, READINESS, STARTUP])
        self._loop.start()
        if self._port is not None:
            await self._port.open()

    def started(self) -> None:
        """The start is done, and calls are taken."""
        self.registry.on_check = self._follow
        self.registry.start()
        self._running = True
        if self._warm_ups:
            self._warming = asyncio.create_task(self._warm(), name="warm-up", context=Context())
        self.service.ready()
        if self.service.in_the_way:
            log.info("not ready yet", waits_for=self.service.in_the_way)

    def drain(self) -> None:
        """The stop has begun."""
        self._running = False
        self.service.drain()

    async def stop(self) -> None:
        """Ends what runs beside the calls."""
        if self._warming is not None:
            self._warming.cancel()
            await asyncio.wait([self._warming])
        await self.registry.close()

    async def close(self) -> None:
        """The last thing of all."""
        self._loop.stop()
        self.service.close()
        if self._port is not None:
            await self._port.close()

    def _follow(self) -> None:
        """Takes over into readiness what the components are now."""
        missing = set(self.registry.missing())
        if missing == self._missing:
            return
        was_ready = self.service.serving(READINESS)
        for name in self._missing - missing:
            self.service.release(name)
        for name in missing - self._missing:
            self.service.hold(name)
        self._missing = missing
        self._tell_readiness(was_ready)

    def _tell_readiness(self, was_ready: bool) -> None:
        if not self._running or was_ready == self.service.serving(READINESS):
            return
        if was_ready:
            why = {name: self.registry.result(name).message for name in sorted(self._missing)}
            log.warning("not ready any more", missing=why)
        else:
            log.info("ready")

    async def _warm(self) -> None:
        began = time.monotonic()
        self._warmth = Finding(Health.DEGRADED, "is under way")
        failures = await asyncio.gather(*(_warm_one(*one) for one in self._warm_ups))
        seconds = time.monotonic() - began
        failed = [failure for failure in failures if failure]
        if failed:
            # A cold process is better than none.
            self._warmth = Finding(Health.DEGRADED, f"failed, and it serves cold: {'; '.join(failed)}")
        else:
            self._warmth = Finding(message=f"took {seconds:.2f} s")
        log.info("warmed up", seconds=round(seconds, 3), failed=len(failed))
        was_ready = self.service.serving(READINESS)
        self.service.release(WARM_UP)
        self._tell_readiness(was_ready)


async def _warm_one(function: Callable[[], Awaitable[object]], timeout: float) -> str:
    """What went wrong; "" for nothing."""
    name = getattr(function, "__qualname__", repr(function))
    try:
        async with asyncio.timeout(timeout) as scope:
            await function()
    except Exception as error:
        if isinstance(error, TimeoutError) and scope.expired():
            log.error("a warm-up took too long", function=name, timeout=timeout)  # noqa: TRY400 - it has no traceback
            return f"{name} took more than {timeout:g} s"
        log.exception("a warm-up failed", function=name)
        return f"{name} raised {type(error).__name__}"
    return ""
