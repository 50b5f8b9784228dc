"""`kit breakers`: the circuit breakers of a running process; and one of them set by hand."""

from __future__ import annotations

from typing import Any

import click

from kit.cli._asking import Server, ask, asking, note_worker, show
from kit.cli._ops import duration, wall
from kitapi.v1 import ops_pb2, ops_pb2_grpc

_HEAD = ("TARGET", "ENDPOINT", "STATE", "OPEN FOR", "SINCE", "OK", "FAILED", "REFUSED", "METHODS", "REASON")


@click.command()
@asking
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@click.option("--open", "opened", metavar="ENDPOINT", help="Open the breaker of this endpoint.")
@click.option("--close", "closed", metavar="ENDPOINT", help="Close the breaker of this endpoint.")
@click.option("--hold", is_flag=True, help="With --open: until it is closed by hand.")
@click.option("--method", default="", help="Which breaker of the endpoint: one of its methods.")
@click.option("--target", default="", help="Which channel's.")
@click.option("--reason", default="", help="Why; it is logged, and told to calls that are refused.")
def breakers(
    server: Server,
    as_json: bool,
    opened: str | None,
    closed: str | None,
    hold: bool,
    method: str,
    target: str,
    reason: str,
) -> None:
    """List the circuit breakers of the process at ADDRESS, those that are not closed first; or set one by hand.

    ADDRESS is "host:port", or a name in the local registry. Each process and worker has breakers of its own. Setting
    one needs a caller with the scope "ops.write", or a server on loopback with admin="write".
    """
    if opened is not None and closed is not None:
        raise click.UsageError("--open or --close, not both")
    if opened is None and closed is None and (hold or method or target or reason):
        raise click.UsageError("--hold, --method, --target and --reason belong to --open or --close")
    endpoint = opened if opened is not None else closed

    async def listed(channel: Any) -> Any:
        stub = ops_pb2_grpc.OpsServiceStub(channel)
        if not as_json:
            await note_worker(server, stub)
        options = {"timeout": server.timeout, "metadata": server.metadata}
        if endpoint is None:
            return (await stub.ListBreakers(ops_pb2.ListBreakersRequest(), **options)).breakers
        request = ops_pb2.SetBreakerRequest(
            endpoint=endpoint,
            method=method,
            target=target,
            reason=reason,
            state=ops_pb2.Breaker.OPEN if opened is not None else ops_pb2.Breaker.CLOSED,
            hold=hold,
        )
        return [await stub.SetBreaker(request, **options)]

    show(ask(server, listed), _HEAD, _row, as_json=as_json)


def _row(breaker: ops_pb2.Breaker) -> tuple[str, ...]:
    return (
        breaker.target or "(stock)",
        breaker.endpoint,
        ops_pb2.Breaker.State.Name(breaker.state),
        "held" if breaker.held else duration(breaker, "time_to_half_open"),
        wall(breaker, "changed_time"),
        str(breaker.successes),
        str(breaker.failures),
        str(breaker.refused),
        breaker.methods[0] + (f" and {len(breaker.methods) - 1} more" if len(breaker.methods) > 1 else "")
        if breaker.methods
        else "",
        breaker.reason,
    )
