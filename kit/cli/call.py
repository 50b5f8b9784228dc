"""`kit call`: one call to a running server, with messages as JSON; which they are the server says itself."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import click
import grpc
import grpc.aio
from google.protobuf import json_format
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from kit.cli._asking import Server, ask, asking
from kit.cli._reflection import NotDescribed, Reflection
from kit.errors import details_of


@click.command()
@asking
@click.argument("method", required=False)
@click.argument("request", required=False, default="{}")
@click.option("--compact", is_flag=True, help="One line for each message.")
def call(server: Server, method: str | None, request: str, compact: bool) -> None:
    """Call METHOD of the server at ADDRESS with REQUEST, and print the answer.

    METHOD is "package.Service/Method", or "Service/Method" where that is clear; without it the methods are listed.
    REQUEST is JSON ("{}" if it is left out), "-" to read it from standard input, or "@FILE". A stream of requests is a
    JSON array; streamed answers are printed as they come. --timeout is the call's deadline. Nothing is tried again.
    """

    async def made(channel: grpc.aio.Channel) -> None:
        options: dict[str, Any] = {"timeout": server.timeout, "metadata": server.metadata}
        reflection = Reflection(channel, **options)
        if method is None:
            for line in [line async for line in _listed(reflection)]:
                click.echo(line)
            return
        await _call(channel, await reflection.method(method), reflection, request, compact=compact, **options)

    ask(server, made)


async def _listed(reflection: Reflection) -> AsyncIterator[str]:
    for name in await reflection.services():
        try:
            service = await reflection.service(name)
        except NotDescribed:
            yield f"{name} (not described)"
            continue
        for method in service.methods:
            sent = f"{'stream ' if method.client_streaming else ''}{method.input_type.full_name}"
            answered = f"{'stream ' if method.server_streaming else ''}{method.output_type.full_name}"
            yield f"{name}/{method.name} ({sent}) returns ({answered})"


async def _call(
    channel: grpc.aio.Channel,
    method: MethodDescriptor,
    reflection: Reflection,
    request: str,
    *,
    compact: bool,
    **options: Any,
) -> None:
    messages = list(_requests(method, reflection, request))
    kind = f"{'stream' if method.client_streaming else 'unary'}_{'stream' if method.server_streaming else 'unary'}"
    assert method.containing_service is not None
    stub: Any = getattr(channel, kind)(
        f"/{method.containing_service.full_name}/{method.name}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=GetMessageClass(method.output_type).FromString,
    )
    started = stub(iter(messages) if method.client_streaming else messages[0], **options)
    try:
        if method.server_streaming:
            async for answer in started:
                click.echo(_json(answer, reflection, compact=compact))
        else:
            click.echo(_json(await started, reflection, compact=compact))
    except grpc.aio.AioRpcError as error:
        for line in _details(error):
            click.echo(line, err=True)
        raise


def _requests(method: MethodDescriptor, reflection: Reflection, text: str) -> Iterator[Message]:
    try:
        raw = sys.stdin.read() if text == "-" else Path(text[1:]).read_text("utf-8") if text[:1] == "@" else text
        plain = json.loads(raw)
    except OSError as error:
        raise click.ClickException(f"{text[1:]}: {error.strerror}") from error
    except ValueError as error:
        raise click.ClickException(f"the request is no JSON: {error}") from error
    if method.client_streaming and not isinstance(plain, list):
        raise click.ClickException(f"{method.name} takes a stream of requests: give a JSON array of them")
    make = GetMessageClass(method.input_type)
    for one in plain if method.client_streaming else [plain]:
        try:
            yield json_format.ParseDict(one, make(), descriptor_pool=reflection.pool)
        # The parser raises whatever comes where the JSON is no object.
        except (json_format.ParseError, TypeError, AttributeError) as error:
            raise click.ClickException(f"the request is no {method.input_type.full_name}: {error}") from error


def _json(message: Message, reflection: Reflection, *, compact: bool) -> str:
    return json_format.MessageToJson(
        message,
        indent=None if compact else 2,
        always_print_fields_with_no_presence=True,
        ensure_ascii=False,
        descriptor_pool=reflection.pool,
    )


def _details(error: grpc.aio.AioRpcError) -> Iterator[str]:
    """What the server has put into google.rpc.Status beside the text."""
    found = details_of(error)
    if found.reason:
        yield f"reason: {found.reason}{f' ({found.domain})' if found.domain else ''}"
    for violation in found.violations:
        yield f"{violation.field}: {violation.description}"
    if found.retry_after is not None:
        yield f"retry after {found.retry_after:g} s"
