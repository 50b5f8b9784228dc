"""What one connection may cost a server: the options of grpc core that stop slow and hostile clients.

    a client that                                   is stopped by
    opens a connection and says nothing             handshake_timeout: no TLS, or no SETTINGS of HTTP/2, in that time
    goes on to say nothing after that               idle_timeout: no call for as long
    sends a message that is too large               max_request_bytes: RESOURCE_EXHAUSTED, before it is parsed
    sends metadata that is too large                max_metadata_bytes: RESOURCE_EXHAUSTED
    opens streams without end                       max_streams: further ones wait at the client
    pings without end                               min_ping_interval: GOAWAY "too_many_pings" after max_ping_strikes
    opens connections without end                   max_connections, where it is given: further ones are closed

A call that is open counts for nothing here: it ends by its deadline, and handlers are limited by admission.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from kit.errors import ConfigurationError

__all__ = ["ConnectionLimits"]

#: What fits into grpc's 32 bits.
_MOST = 2**31 - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectionLimits:
    """See the module. Times are seconds; `math.inf` is no limit. Raises ConfigurationError."""

    #: Of one message; grpc's own default.
    max_request_bytes: int = 4 * 1024 * 1024
    #: Of a call, as HTTP/2 counts them: key, value and 32 for each pair; grpc's own default. A client of the kit sends
    #: no more unless it is told to.
    max_metadata_bytes: int = 16 * 1024
    #: Calls at a time over one connection. A gateway with a thousand streams has room.
    max_streams: int = 4096
    #: grpc's own is two minutes, in which a few hundred packets hold a few thousand connections.
    handshake_timeout: float = 20.0
    #: As long as clients of gRPC keep a connection that they do not use.
    idle_timeout: float = 1800.0
    #: What clients may ping at, also between calls. grpc's own five minutes cut off those that keep connections alive.
    min_ping_interval: float = 10.0
    max_ping_strikes: int = 2
    #: None for no limit but that of the system on open files.
    max_connections: int | None = None

    def __post_init__(self) -> None:
        for name, least in (
            ("max_request_bytes", 1),
            ("max_metadata_bytes", 1024),
            ("max_streams", 1),
            ("max_ping_strikes", 1),
            ("max_connections", 1),
        ):
            value = getattr(self, name)
            if value is None and name == "max_connections":
                continue
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value < _MOST:
                raise ConfigurationError(f"limits: {name} is {value!r}; give a whole number, {least} or more")
        for name in ("handshake_timeout", "idle_timeout", "min_ping_interval"):
            value = getattr(self, name)
            known = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not known or not (value == math.inf or 0.001 <= value <= _MOST / 1000):
                raise ConfigurationError(f"limits: {name} is {value!r}; give seconds, or math.inf for no limit")

    def options(self) -> tuple[tuple[str, Any], ...]:
        """The same for grpc core."""
        return (
            ("grpc.max_receive_message_length", self.max_request_bytes),
            # Two limits, between which grpc refuses by chance: one limit is told apart from a fault of the network.
            # What reaches it is refused.
            ("grpc.max_metadata_size", self.max_metadata_bytes + 1),
            ("grpc.absolute_max_metadata_size", self.max_metadata_bytes + 1),
            ("grpc.max_concurrent_streams", self.max_streams),
            ("grpc.server_handshake_timeout_ms", _milliseconds(self.handshake_timeout)),
            ("grpc.max_connection_idle_ms", _milliseconds(self.idle_timeout)),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", _milliseconds(self.min_ping_interval)),
            ("grpc.http2.max_ping_strikes", self.max_ping_strikes),
            *(
                []
                if self.max_connections is None
                else [("grpc.max_allowed_incoming_connections", self.max_connections)]
            ),
        )


def _milliseconds(seconds: float) -> int:
    return _MOST if seconds == math.inf else round(seconds * 1000)
