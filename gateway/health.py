"""/livez and /readyz. Live: the event loop turns. Ready: every required service answers grpc.health.v1."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import grpc.aio

from gateway.upstream import Upstreams
from kit.health import GrpcHealth, Health

__all__ = ["Readiness"]

#: Seconds that a service has to answer. A probe usually waits 2 s for the gateway.
_TIMEOUT = 1.0
#: Seconds that an answer is used again, so that many probes cost no more than one.
_FRESH = 0.5
#: A service that serves at some of its endpoints serves.
_WORDS = {
    Health.HEALTHY: "SERVING",
    Health.DEGRADED: "SERVING",
    Health.UNHEALTHY: "NOT_SERVING",
    Health.UNKNOWN: "UNREACHABLE",
}


class Readiness:
    """Asks the services, at most once at a time. `required` are the names that count; `now` is monotonic seconds."""

    def __init__(self, upstreams: Upstreams, required: frozenset[str], now: Callable[[], float]) -> None:
        self._upstreams = upstreams
        self._required = required
        self._now = now
        self._asking: asyncio.Task[Mapping[str, str]] | None = None
        self._known: Mapping[str, str] = {}
        self._until = float("-inf")
        #: The gateway is being stopped: it is not ready whatever the services say.
        self.stopping = False

    async def check(self) -> tuple[bool, dict[str, Any]]:
        """Whether the gateway is ready, and a document that says why not."""
        states = await self._states()
        ready = not self.stopping and all(states[name] == "SERVING" for name in self._required)
        services = {
            name: {"status": state, "required": name in self._required} for name, state in sorted(states.items())
        }
        status = "stopping" if self.stopping else "ready" if ready else "not ready"
        return ready, {"status": status, "services": services}

    def forget(self) -> None:
        """Asks anew at the next check."""
        self._until = float("-inf")

    async def _states(self) -> Mapping[str, str]:
        if self._now() < self._until:
            return self._known
        if self._asking is None:
            self._asking = asyncio.get_running_loop().create_task(self._ask_all())
        return await asyncio.shield(self._asking)

    async def _ask_all(self) -> Mapping[str, str]:
        names = sorted(self._upstreams.names)
        try:
            states = await asyncio.gather(*(self._ask(name) for name in names))
        finally:
            self._asking = None
        self._known = dict(zip(names, states, strict=True))
        self._until = self._now() + _FRESH
        return self._known

    async def _ask(self, name: str) -> str:
        try:
            async with asyncio.timeout(_TIMEOUT):
                found = await GrpcHealth(self._upstreams.channel(name))()
        except (grpc.aio.AioRpcError, TimeoutError):
            return "UNREACHABLE"
        return _WORDS[found.status]
