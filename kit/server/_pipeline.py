"""The layers of a call on the server side, put in order. Nowhere else are they.

in flight > telemetry > access > map errors > admit > deadline > peer names > authenticate > authorise > validate
  > audit > deduplicate > domain errors > handler
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import grpc
import grpc.aio

from kit.policy import Overrides, PolicySource, policy_for, standing
from kit.server._access import AccessLayer, AccessLog, access_log
from kit.server._admit import AdmitLayer, Gate
from kit.server._audit import AuditLayer
from kit.server._authenticate import authentication
from kit.server._authorise import AuthoriseLayer
from kit.server._call import Layer, ServerMethod, runs_in_thread, shape_of, unread, wrap
from kit.server._deduplicate import DeduplicateLayer
from kit.server._errors import DomainErrorsLayer, ErrorRules
from kit.server._inflight import InFlight
from kit.server._layers import DeadlineLayer, MapErrorsLayer
from kit.server._telemetry import TelemetryLayer
from kit.server._validate import ValidateLayer
from kit.server.auth import Authenticator

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
            in_thread=runs_in_thread(rpc),
        )

    def wrap(self, rpc: grpc.RpcMethodHandler[Any, Any], path: str) -> grpc.RpcMethodHandler[Any, Any]:
        """The same method with the layers around it. Build it once."""
        return wrap(rpc, self.method(rpc, path), self._layers)

    def gate(
        self, rpc: grpc.RpcMethodHandler[Any, Any], path: str
    ) -> tuple[Gate, grpc.RpcMethodHandler[Any, Any]] | None:
        """What refuses calls before their request is received, and what serves those; None where none ever is."""
        for index, layer in enumerate(self._layers):
            if isinstance(layer, AdmitLayer):
                method = self.method(rpc, path)
                gate = layer.gate(method)
                return None if gate is None else (gate, unread(layer.refuse, method, self._layers[:index]))
        return None

    def describe(self, method: ServerMethod | None = None) -> list[str]:
        """The names of the layers, outermost first; with a method, only of those that act on it."""
        if method is None:
            return [layer.name for layer in self._layers]
        return [layer.name for layer in self._layers if layer.wrap(method, _nowhere) is not _nowhere]

    def check(self, methods: Iterable[ServerMethod]) -> None:
        """Raises ConfigurationError for a method that could not be served as it is declared."""
        for method in methods:
            self.describe(method)


def server_pipeline(
    *,
    policy: PolicySource = None,
    in_flight: InFlight | None = None,
    authenticators: Sequence[Authenticator] = (),
    allowed_names: Sequence[str] | None = None,
    ignore_auth: bool = False,
    audit: bool | None = None,
    admit: AdmitLayer | None = None,
    deduplicate: DeduplicateLayer | None = None,
    access: AccessLog | bool | None = None,
    validate: bool = True,
    errors: ErrorRules | None = None,
) -> ServerPipeline:
    """The layers of a call. Without `in_flight` (on a stock server) nobody waits for handlers at a stop.

    `allowed_names` are those that a client's certificate may have. With `ignore_auth` nobody is asked who they are.
    `audit` None is yes where there are authenticators; `admit` None limits nothing; `deduplicate` None leaves keys to
    the handlers. Raises ConfigurationError for what contradicts itself.
    """
    audited = AuditLayer() if (bool(authenticators) if audit is None else audit) else None
    layers: list[Layer] = [
        *([] if in_flight is None else [in_flight]),
        TelemetryLayer(),
        AccessLayer(access_log(access)),
        MapErrorsLayer(),
        AdmitLayer() if admit is None else admit,
        DeadlineLayer(),
        *authentication(authenticators, allowed_names, ignored=ignore_auth),
        *([] if ignore_auth else [AuthoriseLayer(None if audited is None else audited.denials)]),
        ValidateLayer(validate),
        *([] if audited is None else [audited]),
        *([] if deduplicate is None else [deduplicate]),
        DomainErrorsLayer(errors),
    ]
    return ServerPipeline(layers, policy)


async def _nowhere(_call: object) -> Any:
    raise NotImplementedError
