"""`kit events`: what happens in a running process, as it happens."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import click
import grpc
import grpc.aio
from google.protobuf import json_format

from kit.cli._asking import Server, ask, asking
from kit.cli._ops import wall
from kitapi.v1 import events_pb2, ops_pb2, ops_pb2_grpc


@click.command()
@asking
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@click.option("--after", type=click.IntRange(0), default=0, help="Only those behind this position.")
@click.option("--type", "types", multiple=True, metavar="NAME", help="Only these, such as BreakerStateChanged.")
@click.option("--follow/--no-follow", default=True, help="Wait for those to come, or end with the last that there is.")
def events(server: Server, as_json: bool, after: int, types: tuple[str, ...], follow: bool) -> None:
    """Print the events of the process at ADDRESS, those that it still has first, until it stops.

    A reader that is too slow is told which events it has missed. Positions count anew in every process.
    """

    async def print_all(channel: Any) -> None:
        stub = ops_pb2_grpc.OpsServiceStub(channel)
        request = ops_pb2.WatchEventsRequest(after_sequence=after, types=types, only_past=not follow)
        timeout = None if follow else server.timeout
        seen = False
        try:
            async for event in stub.WatchEvents(request, timeout=timeout, metadata=server.metadata):
                seen = True
                click.echo(_json(event) if as_json else _line(event))
        except grpc.aio.AioRpcError as error:
            if not (follow and seen and error.code() is grpc.StatusCode.UNAVAILABLE):
                raise
            # Its process has stopped, as processes do.
            click.echo(f"{server.address}: {error.details()}", err=True)

    with contextlib.suppress(KeyboardInterrupt):
        ask(server, print_all)


def _json(event: events_pb2.Event) -> str:
    return json.dumps(_plain(event), sort_keys=True, ensure_ascii=False)


def _line(event: events_pb2.Event) -> str:
    kind = event.payload.TypeName().rpartition(".")[2]
    payload = _plain(event)["payload"]
    said = ", ".join(f"{name}={value}" for name, value in payload.items() if name != "@type")
    return f"{event.sequence:>6}  {wall(event, 'time')}  {kind}  {event.subject}  {said}".rstrip()


def _plain(event: events_pb2.Event) -> dict[str, Any]:
    """As JSON has it; a payload of a type that is not known here as its bytes."""
    head = events_pb2.Event()
    head.CopyFrom(event)
    head.ClearField("payload")
    plain: dict[str, Any] = json_format.MessageToDict(head, always_print_fields_with_no_presence=True)
    try:
        plain["payload"] = json_format.MessageToDict(event.payload)
    except TypeError:
        value = base64.b64encode(event.payload.value).decode()
        plain["payload"] = {"@type": event.payload.type_url, "value": value}
    return plain
