"""A port of its own for probes: plain text, nothing but grpc.health.v1, open from the very beginning to the very end.

For probes that cannot speak TLS where the service's port does, as those of Kubernetes, and for whoever wants an answer
while a long start still runs. The service's own port opens when the start is done, and not before: until then
connections to it are refused, which clients tell apart from an answer. They wait, or go elsewhere, and know that
nothing of their call has happened; a call that was taken and then refused would have failed for whoever may not repeat
it. A startup probe fails in either case.
"""

from __future__ import annotations

import grpc.aio
from grpc_health.v1 import health_pb2_grpc

from kit.errors import ConfigurationError
from kit.health.service import HealthService

__all__ = ["HealthPort"]


class HealthPort:
    """A server for `service` at `listen`, "host:port"; port 0 for one that the system picks."""

    def __init__(self, listen: str, service: HealthService) -> None:
        host, _, port = listen.rpartition(":")
        if not (host and port.isascii() and port.isdigit() and int(port) < 65536):
            raise ConfigurationError(f'health_listen: "host:port" is needed, not {listen!r}')
        self._listen = listen
        self._service = service
        #: Whether other processes listen there too, each of which answers for all.
        self.shared = False
        self._server: grpc.aio.Server | None = None
        #: 0 while it is not open.
        self.port = 0

    def share(self) -> None:
        """Before it opens. Raises ConfigurationError where the system is to pick the port."""
        if self._listen.endswith(":0"):
            raise ConfigurationError(f"health_listen: workers need a port that all of them know, not {self._listen!r}")
        self.shared = True

    async def open(self) -> None:
        """Raises ConfigurationError where the port is taken."""
        server = grpc.aio.server(
            options=[("grpc.so_reuseport", int(self.shared)), ("grpc.max_receive_message_length", 64 << 10)]
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._service, server)
        try:
            self.port = server.add_insecure_port(self._listen)
        except RuntimeError as error:
            raise ConfigurationError(f"health cannot be served on {self._listen}; is the port taken?") from error
        await server.start()
        self._server = server

    async def close(self) -> None:
        """Ends it; a second time does nothing."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop(None)
