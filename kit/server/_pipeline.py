"""The layers of a call on the server side, put in order. Nowhere else are they.

in flight > telemetry > access > map errors > admit > deadline > peer names > authenticate > authorise > validate
  > audit > deduplicate > domain errors > handler
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from kit.clock import SYSTEM, Clock
from kit.events.publishing import publish
from kit.observe import get_logger
from kit.policy import PolicySource, Resolved
from kit.policy.followed import Policies
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
from kitapi.v1 import events_pb2

__all__ = ["ServerPipeline", "server_pipeline"]

log = get_logger("kit.server")


class ServerPipeline:
    """Layers in order, the outermost first, and the policies that they work by."""

    def __init__(self, layers: Sequence[Layer], policy: PolicySource = None, *, clock: Clock = SYSTEM) -> None:
        """Raises PolicyError for a policy that cannot be read."""
        self._layers = tuple(layers)
        #: They follow the files that they stand in once a call has come.
        self.policies = Policies(policy, clock, _tell_reloaded)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers themselves, outermost first."""
        return self._layers

    def method(self, rpc: grpc.RpcMethodHandler[Any, Any], path: str, policy: Resolved | None = None) -> ServerMethod:
        """What is known of a method that is served, by the policy that is given or else the one in force.

        Raises PolicyError for one whose policy is wrong.
        """
        return ServerMethod(
            path=path,
            shape=shape_of(rpc),
            policy=self.policies.policy_for(path) if policy is None else policy,
            request_deserializer=rpc.request_deserializer,
            response_serializer=rpc.response_serializer,
            in_thread=runs_in_thread(rpc),
        )

    def wrap(
        self, rpc: grpc.RpcMethodHandler[Any, Any], path: str, policy: Resolved | None = None
    ) -> grpc.RpcMethodHandler[Any, Any]:
        """The same method with the layers around it. Build it once for each policy."""
        return wrap(rpc, self.method(rpc, path, policy), self._layers)

    def gate(
        self, rpc: grpc.RpcMethodHandler[Any, Any], path: str, policy: Resolved | None = None
    ) -> tuple[Gate, grpc.RpcMethodHandler[Any, Any]] | None:
        """What refuses calls before their request is received, and what serves those; None where none ever is."""
        for index, layer in enumerate(self._layers):
            if isinstance(layer, AdmitLayer):
                method = self.method(rpc, path, policy)
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


def _tell_reloaded(file: Path, methods: tuple[str, ...], reason: str) -> None:
    if reason:
        log.warning("policy is refused, the former one stays in force", file=str(file), reason=reason)
    else:
        log.info("policy is in force", file=str(file), methods=methods)
    publish(events_pb2.PolicyReloaded(path=str(file), accepted=not reason, error=reason), subject=f"policies/{file}")


async def _nowhere(_call: object) -> Any:
    raise NotImplementedError
