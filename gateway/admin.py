"""What the gateway tells of itself as every process of the kit does: over gRPC, and to Prometheus.

grpc.health.v1 says how it and the services behind it are, `kitapi.v1.OpsService` has its channels, breakers and calls
(`kit breakers gateway`). It listens at KIT_LISTEN, by default on a free port of loopback that the registry knows.
"""

from __future__ import annotations

from functools import partial

import kit
from gateway.config import Config
from gateway.upstream import Upstreams
from kit.health import GrpcHealth

__all__ = ["admin_server"]


def admin_server(config: Config, upstreams: Upstreams) -> kit.Server:
    """The server, not yet started. The channels must be open when it is."""
    server = kit.Server("gateway", register=False, drain_delay=0, grace=0)
    for service in config.services:
        health = GrpcHealth(partial(upstreams.channel, service.name))
        server.depends_on(service.name, health, required=service.required)
    return server
