"""Ports of this machine that services hold: those of the local registry, and those that are only leased."""

from __future__ import annotations

import asyncio
from pathlib import Path

from kit.discovery import Instance, LeasedPort, Ports, Registry, port_of
from kitapi.v1 import ops_pb2

__all__ = ["ports"]

#: Seconds in which somebody who listens on this machine takes a connection.
TIMEOUT = 0.5


async def ports(registry: Registry | None = None, leases: Path | None = None) -> list[ops_pb2.Port]:
    """Each with whether somebody takes connections there now. Reads files, in a thread."""
    instances, leased = await asyncio.to_thread(_read, registry, leases)
    allocator = Ports(root=leases)
    found = [
        ops_pb2.Port(
            service=one.name,
            port=port_of(one.address),
            pid=one.pid,
            address=one.address,
            instance_id=one.instance_id,
        )
        for one in instances
    ]
    announced = {one.port for one in found}
    found += [
        ops_pb2.Port(service=one.service, port=one.port, pid=one.pid) for one in leased if one.port not in announced
    ]
    checks = await allocator.health_checks({one.port for one in found if one.port}, timeout=TIMEOUT)
    for one in found:
        one.healthy = one.port in checks and checks[one.port].listening
    return sorted(found, key=lambda one: (one.service, one.port, one.instance_id))


def _read(registry: Registry | None, leases: Path | None) -> tuple[list[Instance], list[LeasedPort]]:
    known = Registry() if registry is None else registry
    return [one for name in known.services() for one in known.lookup(name)], Ports(root=leases).leases()
