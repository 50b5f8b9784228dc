"""`kit ports`: what runs on a machine, by its local registry, and which ports are held."""

from __future__ import annotations

import functools
import json
from typing import Any

import click

from kit.cli._asking import Server, ask, asking, show
from kit.cli._table import table
from kit.discovery import Instance, Ports, Registry, port_of
from kitapi.v1 import ops_pb2, ops_pb2_grpc


@click.command()
@functools.partial(asking, required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@click.option("--free", "count", type=click.IntRange(1), metavar="N", help="Print N ports that are free, and no list.")
def ports(server: Server | None, as_json: bool, count: int | None) -> None:
    """List the live instances in the local registry (under KIT_DATA_DIR, else the user data folder).

    Behind them ports that a service holds and has not announced, without an address. With ADDRESS the process there is
    asked what is on its machine, and whether somebody takes connections.
    """
    if server is not None:
        if count is not None:
            raise click.UsageError("--free is about this machine, ADDRESS about another process's")
        show(_asked(server), ("SERVICE", "ADDRESS", "PID", "LISTENING", "INSTANCE"), _row, as_json=as_json)
        return
    if count is not None:
        for port in Ports().find_many(count):
            click.echo(str(port))
        return
    registry = Registry()
    instances = [instance for name in registry.services() for instance in registry.lookup(name)]
    announced = {port_of(instance.address) for instance in instances}
    held = [one for one in Ports().leases() if one.port not in announced]
    if as_json:
        found: list[Any] = [json.loads(instance.to_json()) for instance in instances]
        found += [{"name": one.service, "port": one.port, "pid": one.pid} for one in held]
        for one in found:
            click.echo(json.dumps(one, sort_keys=True))
        return
    rows = [(one.name, one.address, _processes(one), one.start_time, one.instance_id) for one in instances]
    rows += [(one.service, f"(port {one.port})", str(one.pid), "", "") for one in held]
    for line in table(["SERVICE", "ADDRESS", "PID", "SINCE", "INSTANCE"], rows):
        click.echo(line)


def _processes(instance: Instance) -> str:
    workers = instance.metadata.get("workers", "")
    return f"{instance.pid} (workers {workers.replace(',', ' ')})" if workers else str(instance.pid)


def _asked(server: Server) -> list[ops_pb2.Port]:
    async def listed(channel: Any) -> Any:
        stub = ops_pb2_grpc.OpsServiceStub(channel)
        return await stub.ListPorts(ops_pb2.ListPortsRequest(), timeout=server.timeout, metadata=server.metadata)

    return list(ask(server, listed).ports)


def _row(one: ops_pb2.Port) -> tuple[str, ...]:
    address = one.address or f"(port {one.port})"
    return one.service, address, str(one.pid), "yes" if one.healthy else "no", one.instance_id
