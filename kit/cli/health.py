"""`kit health`: what a server says of its health."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from datetime import datetime

import click
import grpc
import grpc.aio
from google.protobuf import json_format
from grpc_health.v1 import health_pb2, health_pb2_grpc

from kit.cli._asking import Server, ask, asking
from kit.cli._table import table
from kitapi.v1 import ops_pb2, ops_pb2_grpc

#: The server does not list its names: it is older than List, or has too many.
_NO_LIST = frozenset({grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.RESOURCE_EXHAUSTED})
#: The server does not tell of its components, or not us.
_NO_OPS = frozenset({grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})
#: Seconds until a server that went away is watched again.
_AGAIN = 1.0
_Statuses = list[tuple[str, str]]


@click.command()
@asking
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--watch", is_flag=True, help="Go on, and print every change with its time, until interrupted.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def health(server: Server, names: tuple[str, ...], watch: bool, as_json: bool) -> None:
    """Ask the server at ADDRESS ("host:port", or a name in the local registry) for the health of each NAME.

    Without a NAME all that the server lists are shown, and its components where it tells of them. The exit status is 0
    when every name is SERVING, 1 when one is not, 2 when the server cannot be reached.
    """

    async def question(channel: grpc.aio.Channel) -> bool:
        statuses = await _ask(channel, server, names)
        components = [] if names else await _components(channel, server)
        _show(statuses, components, as_json=as_json)
        if watch:
            await asyncio.gather(*(_watch(channel, server, name, status) for name, status in statuses))
        return all(status == "SERVING" for _, status in statuses)

    try:
        well = ask(server, question)
    except KeyboardInterrupt:
        # As a shell reports a command that SIGINT ended.
        raise click.exceptions.Exit(130) from None
    if not well:
        raise click.exceptions.Exit(1)


def _show(statuses: _Statuses, components: list[ops_pb2.ComponentHealth], *, as_json: bool) -> None:
    if as_json:
        parts = [json_format.MessageToDict(one, always_print_fields_with_no_presence=True) for one in components]
        click.echo(json.dumps({"statuses": dict(statuses), "components": parts}, sort_keys=True, ensure_ascii=False))
        return
    for line in table(["NAME", "STATUS"], [(_shown(name), status) for name, status in statuses]):
        click.echo(line)
    if components:
        click.echo()
        for line in table(["COMPONENT", "STATUS", "LATENCY", "MESSAGE"], map(_row, components)):
            click.echo(line)


async def _ask(channel: grpc.aio.Channel, server: Server, names: Iterable[str]) -> _Statuses:
    stub = health_pb2_grpc.HealthStub(channel)
    if names:
        return [(name, await _check(stub, server, name)) for name in names]
    try:
        listed = await stub.List(health_pb2.HealthListRequest(), timeout=server.timeout, metadata=server.metadata)
    except grpc.aio.AioRpcError as error:
        if error.code() not in _NO_LIST:
            raise
        return [("", await _check(stub, server, ""))]
    return sorted((name, _word(answer.status)) for name, answer in listed.statuses.items())


async def _check(stub: health_pb2_grpc.HealthStub, server: Server, name: str) -> str:
    request = health_pb2.HealthCheckRequest(service=name)
    try:
        answer = await stub.Check(request, timeout=server.timeout, metadata=server.metadata)
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            return "NOT_FOUND"
        raise
    return _word(answer.status)


async def _components(channel: grpc.aio.Channel, server: Server) -> list[ops_pb2.ComponentHealth]:
    stub = ops_pb2_grpc.OpsServiceStub(channel)
    try:
        answer = await stub.ListHealth(ops_pb2.ListHealthRequest(), timeout=server.timeout, metadata=server.metadata)
    except grpc.aio.AioRpcError as error:
        if error.code() in _NO_OPS:
            return []
        raise
    return list(answer.components)


def _row(component: ops_pb2.ComponentHealth) -> tuple[str, str, str, str]:
    optional = component.details.get("required") == "false"
    latency = f"{component.latency.ToNanoseconds() / 1e6:.1f} ms" if component.HasField("latency") else "-"
    return (
        component.component,
        ops_pb2.Endpoint.Health.Name(component.status),
        latency,
        f"{component.message}{' (not required)' if optional else ''}".strip(),
    )


async def _watch(channel: grpc.aio.Channel, server: Server, name: str, last: str) -> None:
    """Prints every change, for ever."""
    stub = health_pb2_grpc.HealthStub(channel)
    while True:
        try:
            async for answer in stub.Watch(health_pb2.HealthCheckRequest(service=name), metadata=server.metadata):
                last = _tell(name, last, _word(answer.status))
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                raise
        last = _tell(name, last, "UNREACHABLE")
        await asyncio.sleep(_AGAIN)


def _tell(name: str, last: str, now: str) -> str:
    if now != last:
        click.echo(f"{datetime.now().astimezone():%H:%M:%S}  {_shown(name)}  {now}")
    return now


def _shown(name: str) -> str:
    return name or '""'


def _word(status: int) -> str:
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(status))
