"""What the commands that ask a running server have in common: how they reach it, and what they say when they cannot.

Exit status: 0 it answered; 1 it answered with an error, or has no such service; 2 nobody could be reached.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click
import grpc
import grpc.aio
from google.protobuf import json_format
from google.protobuf.message import Message

from kit.cli._table import table
from kit.discovery import Registry
from kitapi.v1 import ops_pb2

__all__ = ["Server", "as_line", "ask", "asking", "note_worker", "show"]

_T = TypeVar("_T")
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_NOT_REACHED = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
#: Methods of OpsService need no more than this to be told apart from those of others.
_OPS = "kitapi.v1.OpsService"


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """Whom to ask, and how."""

    address: str
    #: Seconds for an answer; None for as long as it takes.
    timeout: float | None
    metadata: tuple[tuple[str, str], ...]
    credentials: grpc.ChannelCredentials | None

    def channel(self) -> grpc.aio.Channel:
        """A bare one: nothing is tried again, so that what is seen is what there is."""
        if self.credentials is None:
            return grpc.aio.insecure_channel(self.address)
        return grpc.aio.secure_channel(self.address, self.credentials)


def asking(function: Callable[..., None], *, required: bool = True) -> Callable[..., None]:
    """Adds ADDRESS and the options by which a server is reached; the function gets `server`.

    Where ADDRESS is not required and not given, that is None.
    """

    @functools.wraps(function)
    def resolved(
        *,
        address: str | None,
        timeout: float,
        header: tuple[str, ...],
        ca: Path | None,
        cert: Path | None,
        key: Path | None,
        **others: Any,
    ) -> None:
        server = None
        if address is not None:
            server = Server(
                address=_address_of(address),
                timeout=timeout,
                metadata=tuple(_pair(text) for text in header),
                credentials=_credentials(ca, cert, key),
            )
        function(server=server, **others)

    decorated: Callable[..., None] = resolved
    for decorate in (
        click.option("--key", type=_FILE, help="Its private key."),
        click.option("--cert", type=_FILE, help="The client's certificate, for mutual TLS."),
        click.option("--ca", type=_FILE, help="Certificates that sign the server's; TLS is used."),
        click.option("-H", "--header", multiple=True, metavar="NAME:VALUE", help="Metadata; may be repeated."),
        click.option("--timeout", type=float, default=5.0, show_default=True, help="Seconds to wait for an answer."),
        click.argument("address", required=required),
    ):
        decorated = decorate(decorated)
    return decorated


def ask(server: Server, question: Callable[[grpc.aio.Channel], Awaitable[_T]]) -> _T:
    """The answer; where there is none, says why and ends the program."""

    async def run() -> _T:
        async with server.channel() as channel:
            return await question(channel)

    try:
        return asyncio.run(run())
    except grpc.aio.AioRpcError as error:
        fail(server, error)
        raise click.exceptions.Exit(2 if error.code() in _NOT_REACHED else 1) from error


async def note_worker(server: Server, stub: Any) -> None:
    """Says which of several workers answers: the others know other things."""
    with contextlib.suppress(grpc.aio.AioRpcError):
        request = ops_pb2.GetProcessRequest()
        process = await stub.GetProcess(request, timeout=server.timeout, metadata=server.metadata)
        if process.workers > 1:
            click.echo(f"answered by process {process.pid}, one of {process.workers} workers", err=True)


def fail(server: Server, error: grpc.aio.AioRpcError) -> None:
    """Says what went wrong, and what to do about it."""
    code, details = error.code(), error.details() or ""
    said = f"{server.address}: {code.name}: {details}"
    if code is grpc.StatusCode.UNIMPLEMENTED and (_OPS in details or "Method not found" in details):
        said = (
            f"{server.address}: this server does not tell of itself. kit.Server does so on loopback; elsewhere with "
            "authenticators=, or admin=True"
        )
    elif code is grpc.StatusCode.UNAVAILABLE and server.credentials is None and "Socket closed" in details:
        said += "; does it speak TLS? Then give --ca"
    elif code is grpc.StatusCode.UNAUTHENTICATED:
        said += '; give -H "authorization: Bearer ..."'
    click.echo(said, err=True)


def show(
    messages: Iterable[Message], head: Sequence[str], row: Callable[[Any], Sequence[str]], *, as_json: bool
) -> None:
    """A table for people, or one JSON object per line."""
    if as_json:
        for message in messages:
            click.echo(as_line(message))
        return
    for line in table(head, [row(message) for message in messages]):
        click.echo(line)


def as_line(message: Message) -> str:
    """A message as JSON, on one line; 64-bit integers are texts, as protobuf has it."""
    plain = json_format.MessageToDict(message, always_print_fields_with_no_presence=True)
    return json.dumps(plain, sort_keys=True, ensure_ascii=False)


def _address_of(address: str) -> str:
    if ":" in address:
        return address
    found = Registry().lookup(address)
    if not found:
        raise click.ClickException(f"no {address} is in the local registry; see `kit ports`")
    # What speaks another protocol there, as the gateway does, says where it answers gRPC.
    return found[0].metadata.get("grpc", found[0].address)


def _pair(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise click.UsageError(f'{text!r} is no metadata; write "name: value"')
    return name.strip().lower(), value.strip()


def _credentials(ca: Path | None, cert: Path | None, key: Path | None) -> grpc.ChannelCredentials | None:
    if (cert is None) != (key is None):
        raise click.UsageError("--cert and --key belong together")
    if ca is None and cert is None:
        return None
    read = [None if path is None else path.read_bytes() for path in (ca, key, cert)]
    return grpc.ssl_channel_credentials(*read)
