"""Checks that are ready to be used: `server.depends_on("disk", kit.health.DiskSpace(folder))`.

What asks the system does so in a thread of its own: a file system that hangs holds up neither the event loop nor the
end of the process.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2

from kit.errors import ConfigurationError
from kit.health.result import Finding, HealthLayer
from kit.resilience.pulse import Health

__all__ = ["DiskSpace", "GrpcHealth", "OpenFiles", "TcpPort"]

_T = TypeVar("_T")
_MIB = 1 << 20
_CHECK = "/grpc.health.v1.Health/Check"
_STATUS = health_pb2.HealthCheckResponse.ServingStatus
#: The server answers, and has no health service or does not tell us.
_MUTE = frozenset({grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """Room on the file system of a folder, for whoever runs without privileges.

    Below `low` bytes DEGRADED, below `minimum` UNHEALTHY: what is left then is for those who tidy up. A folder that is
    not there yet stands for the nearest one above it that is.
    """

    folder: str | os.PathLike[str]
    low: int = 256 * _MIB
    minimum: int = 16 * _MIB
    layer: HealthLayer = HealthLayer.MACHINE

    def __post_init__(self) -> None:
        if not 0 <= self.minimum <= self.low:
            raise ConfigurationError(f"disk space: 0 <= minimum <= low is needed, not {self.minimum} and {self.low}")

    @property
    def endpoint(self) -> str:
        return os.fspath(self.folder)

    async def __call__(self) -> Finding:
        used = await _in_thread(lambda: shutil.disk_usage(_existing(Path(self.folder))))
        details = {"free_bytes": str(used.free), "total_bytes": str(used.total)}
        said = f"{used.free // _MIB} MiB are free at {self.endpoint}"
        if used.free < self.minimum:
            return Finding(Health.UNHEALTHY, f"{said}, {self.minimum // _MIB} are needed", details)
        return Finding(Health.DEGRADED if used.free < self.low else Health.HEALTHY, said, details)


@dataclass(frozen=True, slots=True)
class OpenFiles:
    """File descriptors of this process, sockets among them, as a share of what it may open."""

    low: float = 0.8
    maximum: float = 0.95
    layer: HealthLayer = HealthLayer.MACHINE

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.maximum <= 1:
            raise ConfigurationError(f"open files: 0 < low <= maximum <= 1 is needed, not {self.low}, {self.maximum}")
        _descriptors()

    @property
    def endpoint(self) -> str:
        return ""

    async def __call__(self) -> Finding:
        import resource

        folder = _descriptors()
        # The descriptor that lists them is one of them.
        count = len(await _in_thread(lambda: os.listdir(folder))) - 1
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if limit == resource.RLIM_INFINITY:
            return Finding(message=f"{count} open files", details={"open": str(count)})
        share, said = count / limit, f"{count} of {limit} open files"
        status = Health.UNHEALTHY if share > self.maximum else Health.DEGRADED if share > self.low else Health.HEALTHY
        return Finding(status, said, {"open": str(count), "limit": str(limit)})


@dataclass(frozen=True, slots=True)
class TcpPort:
    """Something at `address`, "host:port", takes connections. For what does not speak gRPC: a database, a broker."""

    address: str
    layer: HealthLayer = HealthLayer.PORTS

    def __post_init__(self) -> None:
        host, _, port = self.address.rpartition(":")
        if not (host and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise ConfigurationError(f'"host:port" is needed for a TCP port, not {self.address!r}')

    @property
    def endpoint(self) -> str:
        return self.address

    async def __call__(self) -> None:
        host, _, port = self.address.rpartition(":")
        _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


class GrpcHealth:
    """A server, asked by grpc.health.v1. One that has no health service, or does not tell us, is well if it answers.

    `target` is as for `kit.channel`; its channel is opened for the checks and closed with them. Or a channel, or a
    function that gives one, for channels that open with the server. Of a kit channel all endpoints are asked: it is
    DEGRADED where some do not serve. `service` is whose status is asked for; "" is that of the server as a whole.
    """

    layer = HealthLayer.SERVICES

    def __init__(self, target: str | grpc.aio.Channel | Callable[[], grpc.aio.Channel], service: str = "") -> None:
        self._target = target
        self._service = service
        self._own: Any = None

    @property
    def endpoint(self) -> str:
        """The target; "" where that is the channel's own affair."""
        target = self._target if isinstance(self._target, str) else getattr(self._target, "target", "")
        return target if isinstance(target, str) else ""

    async def __call__(self) -> Finding:
        channel = self._channel()
        if not self._service and hasattr(channel, "check_now"):
            return _of_report(await channel.check_now())
        ask = channel.unary_unary(
            _CHECK,
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            answer = await ask(health_pb2.HealthCheckRequest(service=self._service))
        except grpc.aio.AioRpcError as error:
            if error.code() in _MUTE:
                return Finding(message="answers, and does not tell its health")
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return Finding(Health.UNHEALTHY, f"knows no service {self._service!r}")
            raise
        if answer.status == _STATUS.Value("SERVING"):
            return Finding(message="SERVING")
        name = _STATUS.Name(answer.status) if answer.status in _STATUS.values() else f"status {answer.status}"
        return Finding(Health.UNHEALTHY, f"answers {name}")

    async def close(self) -> None:
        """Closes the channel if it is its own."""
        own, self._own = self._own, None
        if own is not None:
            await own.close()

    def _channel(self) -> Any:
        if isinstance(self._target, str):
            if self._own is None:
                from kit.client import channel

                self._own = channel(self._target, warm_up=False)
            return self._own
        return self._target if hasattr(self._target, "unary_unary") else self._target()


def _of_report(report: Any) -> Finding:
    """What a kit channel found at its endpoints. That they were slow is measured by whoever runs the check."""
    if not report.endpoints:
        return Finding(Health.UNKNOWN, f"{report.target} has no endpoint")
    failing = [one for one in report.endpoints if not one.serving]
    details = {one.address: one.message for one in report.endpoints}
    if not failing:
        return Finding(message="SERVING", details=details)
    said = "; ".join(f"{one.address}: {one.message}" for one in failing)
    if len(failing) < len(report.endpoints):
        return Finding(Health.DEGRADED, f"{len(failing)} of {len(report.endpoints)} do not serve: {said}", details)
    # An endpoint that says no knows better than we; one that cannot be reached may be back in a moment.
    said_no = all(one.said_no for one in failing)
    return Finding(Health.UNHEALTHY if said_no else Health.UNKNOWN, said, details)


def _existing(folder: Path) -> Path:
    return next((one for one in (folder, *folder.absolute().parents) if one.exists()), folder)


def _descriptors() -> str:
    """The folder that has an entry for each open file. Raises ConfigurationError where the system has none."""
    folder = "/proc/self/fd" if sys.platform == "linux" else "/dev/fd"
    if not os.path.isdir(folder):
        raise ConfigurationError(f"open files cannot be counted here: there is no {folder}")
    return folder


async def _in_thread(function: Callable[[], _T]) -> _T:
    """Runs it in a daemon thread: one of the executor's would be waited for at the end of the process."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_T] = loop.create_future()

    def settle(set_outcome: Callable[[Any], None], outcome: Any) -> None:
        if not done.done():
            set_outcome(outcome)

    def work() -> None:
        try:
            outcome: Any = function()
            set_outcome: Callable[[Any], None] = done.set_result
        except Exception as error:  # noqa: BLE001 - it is raised where it is awaited
            outcome, set_outcome = error, done.set_exception
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, set_outcome, outcome)

    threading.Thread(target=work, name="health check", daemon=True).start()
    return await done
