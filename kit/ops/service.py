"""`kitapi.v1.OpsService`: reads what the process knows when somebody asks, and keeps nothing itself."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from importlib import metadata
from typing import Any, Protocol

import grpc.aio

from kit import events
from kit.client._facts import CLIENTS
from kit.discovery import Registry
from kit.errors import InvalidArgument
from kit.health import HealthResult
from kit.layers.recent import RECENT
from kit.observe import get_logger
from kit.ops import clients
from kit.ops.access import Access
from kit.ops.calls import call_message
from kit.ops.components import component_message
from kit.ops.policies import effective_policy
from kit.ops.ports import ports
from kit.policy import Resolved
from kit.server._inflight import unless_draining
from kitapi.v1 import events_pb2, ops_pb2, ops_pb2_grpc

__all__ = ["Host", "OpsService"]

#: Calls that are listed where nobody says how many.
PAGE_SIZE = 100

log = get_logger("kit.ops")
_Context = grpc.aio.ServicerContext[Any, Any]


class Host(Protocol):
    """The server that offers the service, as far as it is asked."""

    @property
    def name(self) -> str:
        """Of the service."""
        ...

    @property
    def instance_id(self) -> str:
        """In the registry; "" where it is not registered."""
        ...

    @property
    def address(self) -> str:
        """ "host:port"."""
        ...

    @property
    def workers(self) -> int:
        """Processes that serve there."""
        ...

    @property
    def services(self) -> Sequence[str]:
        """Full names."""
        ...

    @property
    def in_flight(self) -> int:
        """Calls that are served now."""
        ...

    @property
    def draining(self) -> bool:
        """Whether it is about to stop."""
        ...

    def policies(self) -> Sequence[Resolved]:
        """Of the methods that are served."""
        ...

    def limits(self) -> Sequence[ops_pb2.Limit]:
        """Of calls that are served."""
        ...

    def health_components(self) -> Sequence[HealthResult]:
        """What the process depends on."""
        ...


class OpsService(ops_pb2_grpc.OpsServiceServicer):
    """See ops.proto. `registry` is that of the server; `caller_name` names who calls, for reasons and the log."""

    def __init__(
        self,
        host: Host,
        access: Access,
        *,
        registry: Registry | None = None,
        caller_name: Callable[[], str] = lambda: "",
    ) -> None:
        self._host = host
        self._access = access
        self._registry = registry
        self._caller_name = caller_name
        self._started = time.time()

    async def GetProcess(self, request: ops_pb2.GetProcessRequest, context: _Context) -> ops_pb2.Process:  # noqa: N802
        """Who this process is."""
        self._access.read()
        host = self._host
        process = ops_pb2.Process(
            name=host.name,
            instance_id=host.instance_id,
            version=metadata.version("grpc-service-kit"),
            pid=os.getpid(),
            address=host.address,
            workers=host.workers,
            services=host.services,
            in_flight=host.in_flight,
            draining=host.draining,
            last_event=events.bus().last,
        )
        process.start_time.FromNanoseconds(round(self._started * 1e9))
        return process

    async def ListBreakers(  # noqa: N802
        self, request: ops_pb2.ListBreakersRequest, context: _Context
    ) -> ops_pb2.ListBreakersResponse:
        """Those that calls have met."""
        self._access.read()
        return ops_pb2.ListBreakersResponse(breakers=clients.breakers())

    async def SetBreaker(self, request: ops_pb2.SetBreakerRequest, context: _Context) -> ops_pb2.Breaker:  # noqa: N802
        """Opens or closes one by hand; logged with who did it."""
        self._access.write()
        who = self._caller_name() or str(context.peer())
        breaker = clients.set_breaker(request, who)
        log.warning(
            "a breaker was set by hand",
            endpoint=request.endpoint,
            target=breaker.target,
            state=ops_pb2.Breaker.State.Name(breaker.state),
            reason=request.reason,
            caller=who,
        )
        return breaker

    async def ListEndpoints(  # noqa: N802
        self, request: ops_pb2.ListEndpointsRequest, context: _Context
    ) -> ops_pb2.ListEndpointsResponse:
        """Of every channel, or of those to one target."""
        self._access.read()
        return ops_pb2.ListEndpointsResponse(endpoints=clients.endpoints(request.target))

    async def ListLimits(  # noqa: N802
        self, request: ops_pb2.ListLimitsRequest, context: _Context
    ) -> ops_pb2.ListLimitsResponse:
        """The server's, then those of channels."""
        self._access.read()
        return ops_pb2.ListLimitsResponse(limits=[*self._host.limits(), *clients.limits()])

    async def ListPolicies(  # noqa: N802
        self, request: ops_pb2.ListPoliciesRequest, context: _Context
    ) -> ops_pb2.ListPoliciesResponse:
        """Those of methods that are served, then those of methods that are called."""
        self._access.read()
        served = [effective_policy(policy, served=True) for policy in self._host.policies()]
        called = [
            effective_policy(method.policy, served=False, target=facts.target)
            for facts in CLIENTS.all()
            for method in facts.methods()
        ]
        return ops_pb2.ListPoliciesResponse(policies=[*served, *called])

    async def ListCalls(  # noqa: N802
        self, request: ops_pb2.ListCallsRequest, context: _Context
    ) -> ops_pb2.ListCallsResponse:
        """The newest first."""
        self._access.read()
        if request.page_size < 0:
            raise InvalidArgument("page_size: 0 or more is needed")
        recent = (
            one
            for one in RECENT.newest_first()
            if not request.failed_only or one.report.code is not grpc.StatusCode.OK or one.report.degraded
        )
        size = request.page_size or PAGE_SIZE
        return ops_pb2.ListCallsResponse(calls=[call_message(one) for one, _ in zip(recent, range(size), strict=False)])

    async def ListPorts(  # noqa: N802
        self, request: ops_pb2.ListPortsRequest, context: _Context
    ) -> ops_pb2.ListPortsResponse:
        """Of this machine."""
        self._access.read()
        return ops_pb2.ListPortsResponse(ports=await ports(self._registry))

    async def ListHealth(  # noqa: N802
        self, request: ops_pb2.ListHealthRequest, context: _Context
    ) -> ops_pb2.ListHealthResponse:
        """What the process depends on."""
        self._access.read()
        components = [component_message(one) for one in self._host.health_components()]
        return ops_pb2.ListHealthResponse(components=components)

    async def WatchEvents(  # noqa: N802
        self, request: ops_pb2.WatchEventsRequest, context: _Context
    ) -> AsyncIterator[events_pb2.Event]:
        """From a position on, until the process drains."""
        self._access.read()
        wanted = {_full(name) for name in request.types}
        if wanted:
            wanted.add(events_pb2.EventsLost.DESCRIPTOR.full_name)
        bus = events.bus()
        newest = bus.last
        if request.only_past and request.after_sequence == newest:
            return
        async with aclosing(bus.watch(request.after_sequence)) as following:
            while True:
                event = await unless_draining(anext(following))
                if not wanted or event.payload.TypeName() in wanted:
                    yield event
                if request.only_past and event.sequence >= newest:
                    return


def _full(name: str) -> str:
    return name if "." in name else f"kitapi.v1.{name}"
