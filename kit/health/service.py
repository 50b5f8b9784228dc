"""The grpc.health.v1 service: Check, List and Watch.

Our own because a drain must be able to end the Watch streams: they never end by themselves and would hold up the stop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from kit.errors import NotFound

#: The health of the process as a whole.
OVERALL = ""
#: The event loop turns. Never depends on anything else, and stays SERVING while the process drains.
LIVENESS = "liveness"
#: Calls are welcome.
READINESS = "readiness"
#: Start-up is done.
STARTUP = "startup"

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class HealthService(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # the package has no types
    """Keeps the status of each name and tells it."""

    def __init__(self) -> None:
        self._statuses: dict[str, int] = {}
        self._told: set[str] = set()
        self._watchers: set[asyncio.Event] = set()
        self._draining = False
        self._closed = False

    def set(self, name: str, serving: bool) -> None:
        """Sets the status of a name and tells its watchers. Once the drain has begun it acts on liveness only."""
        self._told.add(name)
        if not self._draining or name == LIVENESS:
            self._set(name, serving)

    def register(self, names: Iterable[str]) -> None:
        """Makes names known, NOT_SERVING until they are set or `ready` is called."""
        for name in names:
            self._statuses.setdefault(name, _NOT_SERVING)

    def ready(self) -> None:
        """Everything is SERVING from now on but what `set` has decided."""
        for name in self._statuses:
            if name not in self._told and not self._draining:
                self._set(name, serving=True)

    def names(self) -> list[str]:
        """Names that have a status, in the order in which they got one."""
        return list(self._statuses)

    def serving(self, name: str) -> bool:
        """Whether the name is SERVING; False for one that is not known."""
        return bool(self._statuses.get(name) == _SERVING)

    def drain(self) -> None:
        """Everything but liveness is NOT_SERVING from now on. May be called again."""
        self._draining = True
        for name in self._statuses:
            if name != LIVENESS:
                self._set(name, serving=False)

    def close(self) -> None:
        """Ends every Watch stream, after its last status was sent."""
        self._closed = True
        self._wake()

    async def Check(self, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:  # noqa: N802
        """The status of one name; NOT_FOUND for one that is not known."""
        status = self._statuses.get(request.service)
        if status is None:
            raise NotFound(f"no service {request.service!r} is known here")
        return health_pb2.HealthCheckResponse(status=status)

    async def List(self, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:  # noqa: N802
        """The status of every name."""
        response = health_pb2.HealthListResponse()
        for name, status in self._statuses.items():
            response.statuses[name].status = status
        return response

    async def Watch(  # noqa: N802
        self, request: Any, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[Any]:
        """The status of one name now and after every change; what it was in between is left out."""
        changed = asyncio.Event()
        self._watchers.add(changed)
        last: int | None = None
        try:
            while True:
                changed.clear()
                status = self._statuses.get(request.service, _UNKNOWN)
                if status != last:
                    last = status
                    yield health_pb2.HealthCheckResponse(status=status)
                elif self._closed:
                    return
                else:
                    await changed.wait()
        finally:
            self._watchers.discard(changed)

    def _set(self, name: str, serving: bool) -> None:
        self._statuses[name] = _SERVING if serving else _NOT_SERVING
        self._wake()

    def _wake(self) -> None:
        for changed in self._watchers:
            changed.set()
