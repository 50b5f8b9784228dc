"""What a server offers to who looks after it: `kitapi.v1.OpsService` where that is safe, and its events.

`kit.ops` has the service; it is imported when a server is built that offers it. Beside it stands grpc core's own
`grpc.channelz.v1.Channelz` (sockets, connections, calls on them) where the extra `channelz` is installed. Core counts
for it in any case, unless the option `grpc.enable_channelz` is 0: nothing is measured in addition.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import grpc.aio

from kit.discovery import Registry, port_of
from kit.durations import to_duration
from kit.health import HealthChanged, HealthEvent, HealthResult, LatencyAnomaly
from kit.ops.access import access_for, from_env
from kit.policy import Resolved
from kit.server._pipeline import ServerPipeline
from kit.server._recorder import Recorder
from kit.server._security import Security
from kit.server._worker import processes
from kit.server.auth import principal

if TYPE_CHECKING:
    from kit.server.server import Server
    from kitapi.v1 import ops_pb2

__all__ = ["Ops", "tell_drain", "tell_health", "tell_restart", "tell_started"]


class Ops:
    """What one server tells of itself, and to whom. It is the `kit.ops.service.Host` of its server."""

    def __init__(self, server: Server, admin: object, security: Security, *, loopback: bool) -> None:
        """Raises ConfigurationError for what `admin` cannot be."""
        self._server = server
        self._access = access_for(
            from_env() if admin is None else admin,
            loopback=loopback,
            knows_callers=bool(security.layers["authenticators"]) and not security.ignored,
            knows_peers=security.layers["allowed_names"] is not None,
            caller=principal,
        )
        server.components.listen(tell_health)

    def add_to(
        self, server: grpc.aio.Server, pipeline: ServerPipeline, recorder: Recorder, registry: Registry | None
    ) -> list[str]:
        """Adds the services that are offered; returns their names."""
        if self._access is None:
            return []
        from kit.ops.service import OpsService
        from kitapi.v1 import ops_pb2, ops_pb2_grpc

        self._pipeline, self._recorder = pipeline, recorder
        service = OpsService(self, self._access, registry=registry, caller_name=_caller)
        ops_pb2_grpc.add_OpsServiceServicer_to_server(service, server)
        names = [ops_pb2.DESCRIPTOR.services_by_name["OpsService"].full_name]
        if find_spec("grpc_channelz") is not None:
            from grpc_channelz.v1 import channelz, channelz_pb2

            channelz.add_channelz_servicer(server)
            names.append(channelz_pb2.DESCRIPTOR.services_by_name["Channelz"].full_name)
        return names

    def policies(self) -> list[Resolved]:
        """Of the methods that are served and known by name."""
        return [self._pipeline.method(rpc, path).policy for path, rpc in self._recorder.methods()]

    def limits(self) -> list[ops_pb2.Limit]:
        """Of the calls that are served."""
        from kitapi.v1 import ops_pb2

        return [
            ops_pb2.Limit(
                name=one.name.removeprefix("/"), kind=one.kind, limit=one.limit, used=one.used, rejected=one.rejected
            )
            for one in self._server.limits()
        ]

    @property
    def instance_id(self) -> str:
        """The server's."""
        return self._server.instance_id

    @property
    def workers(self) -> int:
        """Processes that serve at the same address."""
        return processes()

    @property
    def name(self) -> str:
        """The server's."""
        return self._server.name

    @property
    def address(self) -> str:
        """The server's."""
        return self._server.address

    @property
    def services(self) -> Sequence[str]:
        """Those that were added."""
        return self._server.services

    @property
    def in_flight(self) -> int:
        """Calls that are served now."""
        return self._server.in_flight

    @property
    def draining(self) -> bool:
        """Whether the stop has begun."""
        return self._server.draining

    def health_components(self) -> Sequence[HealthResult]:
        """What the process depends on."""
        return self._server.health_components()


def _caller() -> str:
    who = principal()
    return "" if who is None else who.name


def tell_started(server: Server) -> None:
    """Tells the event bus that calls are taken; the events of this process carry the server's name from now on."""
    from kit.events.publishing import publish, told_by
    from kitapi.v1 import events_pb2

    told_by(server.name)
    event = events_pb2.ServerStarted(name=server.name, address=server.address)
    publish(event, subject=f"servers/{server.name}")


def tell_drain(server: Server) -> None:
    """Tells the event bus that the stop has begun."""
    from kit import events
    from kitapi.v1 import events_pb2

    event = events_pb2.DrainBegun(name=server.name, address=server.address, in_flight=server.in_flight)
    events.publish(event, subject=f"servers/{server.name}")


def tell_restart(name: str, *, worker: int, old_pid: int, new_pid: int) -> None:
    """Tells the event bus that another process has taken the place of a worker."""
    from kit import events
    from kitapi.v1 import events_pb2

    event = events_pb2.WorkerRestarted(name=name, worker=worker, old_pid=old_pid, new_pid=new_pid)
    events.publish(event, subject=f"servers/{name}/workers/{worker}")


def tell_health(event: HealthEvent) -> None:
    """A listener of the server's health components that tells the event bus."""
    from kit import events
    from kitapi.v1 import events_pb2

    payload: Any
    if isinstance(event, LatencyAnomaly):
        payload = events_pb2.LatencyAnomaly(
            component=event.component,
            endpoint=event.endpoint,
            latency=to_duration(event.latency),
            usual=to_duration(event.usual),
        )
    elif event.better:
        payload = events_pb2.HealthCheckSuccess(service=event.component, port=port_of(event.endpoint))
    else:
        payload = events_pb2.HealthCheckFailed(
            service=event.component, port=port_of(event.endpoint), error=event.result.message
        )
    if isinstance(event, HealthChanged):
        payload.old_status, payload.new_status = event.old.name, event.new.name
    events.publish(payload, subject=f"components/{event.component}")
