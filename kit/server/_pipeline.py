"""The layers of a call on the server side, put in order. Nowhere else are they.

in flight > telemetry > map errors > admit > deadline > authenticate > authorise > validate > audit > deduplicate
  > handler
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc
import grpc.aio

from kit.policy import Overrides, PolicySource, policy_for, standing
from kit.server._call import Layer, ServerMethod, shape_of, wrap
from kit.server._inflight import InFlight
from kit.server._layers import DeadlineLayer, MapErrorsLayer
from kit.server._telemetry import TelemetryLayer

__all__ = ["ServerPipeline", "server_pipeline"]


class ServerPipeline:
    """Layers in order, the outermost first, and the policies that they work by."""

    def __init__(self, layers: Sequence[Layer], policy: PolicySource | Overrides = None) -> None:
        """Raises PolicyError for a policy that cannot be read."""
        self._layers = tuple(layers)
        self._policy = policy if isinstance(policy, Overrides) else standing(policy)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers themselves, outermost first."""
        return self._layers

    def method(self, rpc: grpc.RpcMethodHandler[Any, Any], path: str) -> ServerMethod:
        """What is known of a method that is served. Raises PolicyError for one whose policy is wrong."""
        return ServerMethod(
            path=path,
            shape=shape_of(rpc),
            policy=policy_for(path, self._policy),
            request_deserializer=rpc.request_deserializer,
            response_serializer=rpc.response_serializer,
        )

    def wrap(self, rpc: grpc.RpcMethodHandler[Any, Any], path: str) -> grpc.RpcMethodHandler[Any, Any]:
        """The same method with the layers around it. Build it once."""
        return wrap(rpc, self.method(rpc, path), self._layers)

    def describe(self, method: ServerMethod | None = None) -> list[str]:
        """The names of the layers, outermost first; with a method, only of those that act on it."""
        if method is None:
            return [layer.name for layer in self._layers]
        return [layer.name for layer in self._layers if layer.wrap(method, _nowhere) is not _nowhere]


def server_pipeline(*, policy: PolicySource = None, in_flight: InFlight | None = None) -> ServerPipeline:
    """The layers of a call. Without `in_flight` (on a stock server) nobody waits for handlers at a stop.

    Raises ConfigurationError for what contradicts itself.
    """
    layers: list[Layer] = [
        *([] if in_flight is None else [in_flight]),
        TelemetryLayer(),
        MapErrorsLayer(),
        DeadlineLayer(),
    ]
    return ServerPipeline(layers, policy)


async def _nowhere(_call: object) -> Any:
    raise NotImplementedError
