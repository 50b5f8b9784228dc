"""`kit health`: what a server says of its health."""

from __future__ import annotations

import asyncio

import click
import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from kit.cli._table import table
from kit.discovery import Registry


@click.command()
@click.argument("address")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--timeout", type=float, default=5.0, show_default=True, help="Seconds to wait for an answer.")
def health(address: str, names: tuple[str, ...], timeout: float) -> None:
    """Ask the server at ADDRESS ("host:port", or a name in the local registry) for the health of each NAME.

    Without a NAME all that the server lists are shown. The exit status is 0 when every one is SERVING, 1 when one is
    not, 2 when the server cannot be reached.
    """
    if ":" not in address:
        found = Registry().lookup(address)
        if not found:
            raise click.ClickException(f"no {address} is in the local registry; see `kit ports`")
        address = found[0].address
    try:
        statuses = asyncio.run(_ask(address, names, timeout))
    except grpc.aio.AioRpcError as error:
        click.echo(f"{address}: {error.code().name}: {error.details()}", err=True)
        raise click.exceptions.Exit(2) from error
    for line in table(["NAME", "STATUS"], [(name or '""', status) for name, status in statuses]):
        click.echo(line)
    if any(status != "SERVING" for _, status in statuses):
        raise click.exceptions.Exit(1)


async def _ask(address: str, names: tuple[str, ...], timeout: float) -> list[tuple[str, str]]:
    async with grpc.aio.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        if names:
            return [(name, await _check(stub, name, timeout)) for name in names]
        try:
            listed = await stub.List(health_pb2.HealthListRequest(), timeout=timeout)
        except grpc.aio.AioRpcError as error:
            # An older server has no List.
            if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                raise
            return [("", await _check(stub, "", timeout))]
        return sorted((name, _word(answer.status)) for name, answer in listed.statuses.items())


async def _check(stub: health_pb2_grpc.HealthStub, name: str, timeout: float) -> str:
    try:
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=timeout)
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            return "NOT_FOUND"
        raise
    return _word(answer.status)


def _word(status: int) -> str:
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(status))
