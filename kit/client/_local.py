"""The live instances of a service in the registry of this machine."""

from __future__ import annotations

from collections.abc import Callable

import grpc
import grpc.aio

from kit.client.endpoints import LOOK_INTERVAL, Endpoint, Endpoints
from kit.client.events import Listeners
from kit.clock import Clock
from kit.discovery import Registry

__all__ = ["LocalEndpoints"]

#: Seconds that a call waits for a service that is not registered, if its deadline lets it.
APPEAR_TIMEOUT = 2.0
#: Seconds between two looks while it waits.
APPEAR_INTERVAL = 0.05


class LocalEndpoints(Endpoints):
    """Looked up again when they may have changed: every `LOOK_INTERVAL` while all are connected."""

    def __init__(
        self,
        name: str,
        dial: Callable[[str], grpc.aio.Channel],
        registry: Registry,
        now: Callable[[], float],
        listeners: Listeners | None = None,
    ) -> None:
        super().__init__(f"local:///{name}", dial, (), listeners)
        self._name = name
        self._registry = registry
        self._now = now
        self._looked_at = -LOOK_INTERVAL
        self.refresh()

    def look(self, *, again: bool = False) -> list[Endpoint]:
        if again or self._now() - self._looked_at >= LOOK_INTERVAL:
            self.refresh()
        return super().look()

    def still_there(self, endpoint: Endpoint) -> bool:
        if endpoint.is_ready():
            return True
        # It may just have gone, and another one come: ask before the call is lost on it.
        self.refresh()
        return endpoint in self.all

    async def appear(self, expires_at: float, clock: Clock, *, patient: bool = False) -> None:
        until = expires_at if patient else min(expires_at, clock.now() + APPEAR_TIMEOUT)
        while not self.all and not self._closed and (left := until - clock.now()) > 0:
            await clock.sleep(min(APPEAR_INTERVAL, left))
            self.refresh()

    def missing(self) -> str:
        return super().missing() if self.all else f"no instance of {self._name!r} is registered on this machine"

    def state(self, try_to_connect: bool) -> grpc.ChannelConnectivity:
        self.refresh()
        return super().state(try_to_connect)

    def refresh(self) -> None:
        """Dials what is new in the registry and lets go of what is no longer there."""
        self._looked_at = self._now()
        self.update({instance.address: instance.weight for instance in self._registry.lookup(self._name)})
