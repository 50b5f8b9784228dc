"""What a channel, or the interceptors on one of grpc's own, can be asked about itself; the process lists them weakly.

Nothing here is on the way of a call: it is read when somebody looks (`kit.ops`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kit.client.reports import ChannelStatistics
from kit.inventory import Inventory
from kit.layers import Allowances, Breakers, ConcurrencyLayer, Limits
from kit.pipeline import Built, Method, Pipeline

__all__ = ["CLIENTS", "ClientFacts"]


class ClientFacts:
    """Refers to parts of a channel, never to the channel: it must not keep it alive."""

    __slots__ = ("__weakref__", "_built", "allowances", "breakers", "limits", "statistics", "target")

    def __init__(
        self,
        target: str,
        pipeline: Pipeline,
        breakers: Breakers,
        allowances: Allowances,
        built: Iterable[Mapping[Any, Built]],
        statistics: Callable[[], ChannelStatistics] | None = None,
    ) -> None:
        #: What the channel was opened to; "" where it is grpc's own.
        self.target = target
        self.breakers = breakers
        self.allowances = allowances
        self.limits: Limits = next(layer for layer in pipeline.layers if isinstance(layer, ConcurrencyLayer)).limits
        #: None where the channel is grpc's own.
        self.statistics = statistics
        self._built = tuple(built)

    def methods(self) -> list[Method]:
        """Those that have been called, or have a stub; each path once."""
        found: dict[str, Method] = {}
        for built in self._built:
            for method, _ in tuple(built.values()):
                found.setdefault(method.path, method)
        return list(found.values())


#: Of this process. What runs on another clock than the machine's, as simulations do, is not listed.
CLIENTS: Inventory[ClientFacts] = Inventory()
