"""What a server offers of its health to the program that makes it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Self

import grpc.aio

from kit.errors import ConfigurationError
from kit.health._component import CheckFunction
from kit.health.process import ProcessHealth
from kit.health.registry import HealthRegistry
from kit.health.result import HealthLayer, HealthResult
from kit.health.service import HealthService

__all__ = ["WithHealth"]


class WithHealth:
    """Base of `kit.Server`."""

    def __init__(self, *, health_listen: str | None) -> None:
        self._vitals = ProcessHealth(listen=health_listen)
        #: What is said over grpc.health.v1; `set` adds a word of the program's own.
        self.health: HealthService = self._vitals.service
        #: What is checked in the background, and who listens to that.
        self.components: HealthRegistry = self._vitals.registry

    def depends_on(
        self,
        name: str,
        check: CheckFunction | str | grpc.aio.Channel,
        *,
        required: bool = True,
        layer: HealthLayer | None = None,
        every: float = 30.0,
        timeout: float = 5.0,
        slow: float = 1.0,
    ) -> Self:
        """Checks something that the service needs, in the background, from the end of the start on.

        `check` is an async function, which raises where it fails (`kit.health` has some, and says what one may return),
        or a target or channel whose server is asked by grpc.health.v1. Three failures in a row make it unhealthy. What
        is `required` has to have been well once, and not to be unhealthy, for the server to be ready; what is not only
        makes its health DEGRADED. Other services should not be required: two that need each other would never be ready,
        and one that is down would take all others with it. Seconds: a check comes `every` so often, takes `timeout` at
        most, and counts as DEGRADED where it takes longer than `slow`. Raises ConfigurationError.
        """
        self._vitals.depends_on(name, check, required=required, layer=layer, every=every, timeout=timeout, slow=slow)
        return self

    def warm_up(self, function: Callable[[], Awaitable[object]], *, timeout: float = 60.0) -> Self:
        """Runs `function` after the start, beside calls; the server is not ready before it has ended.

        Several run at once. One that fails, or takes more than `timeout` seconds, is logged and leaves the server's
        health DEGRADED; it is ready all the same, for a cold process is better than none. Before the start only.
        """
        if not timeout > 0:
            raise ConfigurationError(f"warm_up: timeout must be more than 0 s, not {timeout}")
        self._vitals.warm_up(function, timeout)
        return self

    @property
    def health_port(self) -> int:
        """The port of `health_listen`; UsageError where there is none."""
        return self._vitals.port

    def health_components(self) -> list[HealthResult]:
        """What is known of each component now. Checks nothing."""
        return self.components.results()

    def health_snapshot(self) -> dict[str, Any]:
        """All of the server's health as a JSON document; `kit.health.merge_snapshots` makes one of several."""
        return self._vitals.snapshot()
