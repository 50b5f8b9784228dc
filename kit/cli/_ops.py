"""What the commands that ask OpsService have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from kit.cli._asking import Server, ask, asking, note_worker, show
from kitapi.v1 import ops_pb2_grpc

__all__ = ["duration", "listing", "wall"]


def listing(
    name: str,
    text: str,
    question: Callable[[Any], tuple[str, Any, str]],
    head: Sequence[str],
    row: Callable[[Any], Sequence[str]],
    options: Sequence[Callable[[Any], Any]] = (),
) -> click.Command:
    """A command that prints what one method lists.

    `question` makes of the options the method's name, its request, and the field of the response.
    """

    def command(server: Server, as_json: bool, **given: Any) -> None:
        method, request, field = question(given)

        async def asked(channel: Any) -> Any:
            stub = ops_pb2_grpc.OpsServiceStub(channel)
            if not as_json:
                await note_worker(server, stub)
            return await getattr(stub, method)(request, timeout=server.timeout, metadata=server.metadata)

        show(getattr(ask(server, asked), field), head, row, as_json=as_json)

    decorated: Any = asking(command)
    for decorate in (
        *reversed(options),
        click.option("--json", "as_json", is_flag=True, help="One JSON object per line."),
    ):
        decorated = decorate(decorated)
    made: click.Command = click.command(name, help=text)(decorated)
    return made


def duration(message: Any, field: str) -> str:
    """A duration for people; "" where it is not set."""
    if not message.HasField(field):
        return ""
    seconds = getattr(message, field).ToNanoseconds() / 1e9
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"


def wall(message: Any, field: str) -> str:
    """A time for people, in UTC to the millisecond; "" where it is not set."""
    if not message.HasField(field):
        return ""
    return str(getattr(message, field).ToDatetime().isoformat(timespec="milliseconds")) + "Z"
