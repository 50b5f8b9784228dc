"""The grpc.health.v1 service: Check, List and Watch.

Our own because a drain must be able to end the Watch streams: they never end by themselves and would hold up the stop.
The semantics are those of gRPC's own. Nothing is asked of anybody: a status is a value that is kept.

    name          SERVING while
    "liveness"    the process answers at all; nothing else, unless `set` says otherwise
    "startup"     it has started, and is not being stopped
    "readiness"   as "startup", and nothing is in the way: a dependency, a warm-up
    any other     as "readiness"

and what `set` says of the name holds too, where that is "no".
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

__all__ = ["LIVENESS", "MAX_LISTED", "OVERALL", "READINESS", "STARTUP", "HealthService"]

#: The health of the process as a whole.
OVERALL = ""
#: The event loop turns. Never depends on anything else, and stays SERVING while the process drains.
LIVENESS = "liveness"
#: Calls are welcome.
READINESS = "readiness"
#: Start-up is done.
STARTUP = "startup"
#: Names that List gives at most, as in gRPC's own; where there are more it is refused.
MAX_LISTED = 100

_SERVING: int = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING: int = health_pb2.HealthCheckResponse.NOT_SERVING
_UNKNOWN: int = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class HealthService(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # the package has no types
    """Keeps the status of each name and tells it. Not safe for use from several threads."""

    def __init__(self, *, starting: bool = False) -> None:
        """With `starting` nothing but liveness is SERVING until `ready` is called."""
        self._statuses: dict[str, int] = {}
        self._told: dict[str, bool] = {}
        self._watchers: dict[str, set[asyncio.Event]] = {}
        self._in_the_way: set[str] = set()
        self._starting = starting
        self._draining = False
        self._closed = False

    def set(self, name: str, serving: bool) -> None:
        """What the program says of a name, and makes it known; True only takes an earlier False back."""
        self._told[name] = serving
        self._statuses.setdefault(name, 0)
        # Other names follow readiness.
        self._update(None if name == READINESS else name)

    def register(self, names: Iterable[str]) -> None:
        """Makes names known."""
        for name in names:
            self._statuses.setdefault(name, 0)
        self._update()

    def ready(self) -> None:
        """The start is done."""
        self._starting = False
        self._update()

    def hold(self, reason: str) -> None:
        """Something is in the way of readiness until it is released."""
        if reason not in self._in_the_way:
            self._in_the_way.add(reason)
            self._update()

    def release(self, reason: str) -> None:
        """It no longer is; nothing where it was not."""
        if reason in self._in_the_way:
            self._in_the_way.remove(reason)
            self._update()

    @property
    def in_the_way(self) -> tuple[str, ...]:
        """Why it is not ready, in alphabetical order; empty where nothing is held against it."""
        own = {"start"} if self._starting else set()
        own |= {"drain"} if self._draining else set()
        return tuple(sorted(self._in_the_way | own))

    def names(self) -> list[str]:
        """Names that have a status, in the order in which they got one."""
        return list(self._statuses)

    def serving(self, name: str) -> bool:
        """Whether the name is SERVING; False for one that is not known."""
        return self._statuses.get(name) == _SERVING

    def drain(self) -> None:
        """Everything but liveness is NOT_SERVING from now on. May be called again."""
        self._draining = True
        self._update()

    def close(self) -> None:
        """Ends every Watch stream, after its last status was sent."""
        self._closed = True
        for watchers in self._watchers.values():
            _wake(watchers)

    async def Check(self, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:  # noqa: N802
        """The status of one name; NOT_FOUND for one that is not known."""
        status = self._statuses.get(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service {_short(request.service)} is known here")
        return health_pb2.HealthCheckResponse(status=status)

    async def List(self, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:  # noqa: N802
        """The status of every name; RESOURCE_EXHAUSTED where they are more than MAX_LISTED."""
        if len(self._statuses) > MAX_LISTED:
            said = f"there are {len(self._statuses)} services, and at most {MAX_LISTED} are listed; check them by name"
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, said)
        response = health_pb2.HealthListResponse()
        for name, status in self._statuses.items():
            response.statuses[name].status = status
        return response

    async def Watch(  # noqa: N802
        self, request: Any, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[Any]:
        """The status of one name now and after every change; what it was in between is left out.

        SERVICE_UNKNOWN for a name that is not known, until it is.
        """
        name: str = request.service
        changed = asyncio.Event()
        watchers = self._watchers.setdefault(name, set())
        watchers.add(changed)
        last: int | None = None
        try:
            while True:
                changed.clear()
                status = self._statuses.get(name, _UNKNOWN)
                if status != last:
                    last = status
                    yield health_pb2.HealthCheckResponse(status=status)
                elif self._closed:
                    return
                else:
                    await changed.wait()
        finally:
            watchers.discard(changed)
            # Names are the clients' to choose: none is kept for longer than somebody watches it.
            if not watchers and self._watchers.get(name) is watchers:
                del self._watchers[name]

    def _update(self, only: str | None = None) -> None:
        """Computes the statuses anew, or that of one name, and wakes who watches what has changed."""
        up = not self._starting and not self._draining
        ready = up and not self._in_the_way and self._told.get(READINESS, True)
        for name in self._statuses if only is None else (only,):
            holds = True if name == LIVENESS else up if name == STARTUP else ready
            status = _SERVING if holds and self._told.get(name, True) else _NOT_SERVING
            if status != self._statuses[name]:
                self._statuses[name] = status
                _wake(self._watchers.get(name, ()))


def _wake(watchers: Iterable[asyncio.Event]) -> None:
    for changed in watchers:
        changed.set()


def _short(name: str) -> str:
    text = repr(name)
    return text if len(text) <= 100 else f"{text[:97]}..."
