"""Passes an upload on: a body of any size as a stream of messages, one answer back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.protobuf.message import Message

from gateway.exchange import ClientGoneError, Exchange
from gateway.forward import Call, answer
from gateway.problem import RefusedError, of_call
from gateway.transcode.routes import Route

__all__ = ["forward_upload"]

#: Bytes of an upload that one message carries at most.
CHUNK_BYTES = 256 << 10
#: Seconds that a service has to refuse an upload by its first message, before the bulk is sent. A write that is under
#: way when a call ends makes grpc.aio forget the status: every third refusal would be an "internal error".
_MOMENT = 0.1


async def forward_upload(exchange: Exchange, call: Call, *, limit: int, idle: float) -> None:
    """A body of any size in, in pieces, one message out. Raises RefusedError, ClientGoneError.

    The body is pumped by a task of its own, so that a service that refuses early is heard at once and not when the
    client sends the next piece.
    """
    made = call.make(metadata=call.metadata, timeout=call.timeout)
    pump = asyncio.get_running_loop().create_task(_pump(exchange, call, made, limit=limit, idle=idle))
    try:
        message = await made
    except (asyncio.CancelledError, grpc.aio.AioRpcError) as error:
        if pump.done() and not pump.cancelled() and (cause := pump.exception()) is not None:
            raise cause from None
        if exchange.client_gone:
            raise ClientGoneError from None
        if isinstance(error, grpc.aio.AioRpcError):
            raise RefusedError(of_call(error, call.rpc.upstream)) from error
        raise
    finally:
        pump.cancel()
        await asyncio.wait([pump])
    await answer(exchange, message)


async def _pump(exchange: Exchange, call: Call, made: Any, *, limit: int, idle: float) -> None:
    """Writes the body, then waits for the client to go. Whatever ends it early cancels the call."""
    try:
        async for message, first in _upload_messages(exchange, call, limit=limit, idle=idle):
            await made.write(message)
            if first:
                await asyncio.sleep(_MOMENT)
        await made.done_writing()
        await exchange.wait_until_gone()
        made.cancel()
    except (asyncio.InvalidStateError, grpc.aio.AioRpcError):
        # The service ended the call before it had everything. Its answer says why; the write's own error does not.
        return
    except BaseException:
        made.cancel()
        raise


async def _upload_messages(
    exchange: Exchange, call: Call, *, limit: int, idle: float
) -> AsyncIterator[tuple[Message, bool]]:
    """The request with the first piece, then messages with nothing but the next pieces; whether it is the first."""
    message: Any = call.request
    _content(call.route, message).content_type = exchange.header(b"content-type") or "application/octet-stream"
    first = True
    async for piece in exchange.pieces(limit, idle=idle):
        for start in range(0, len(piece), CHUNK_BYTES):
            if not first:
                message = call.rpc.request()
            _content(call.route, message).data = piece[start : start + CHUNK_BYTES]
            yield message, first
            first = False
    if first:
        yield message, False


def _content(route: Route, message: Any) -> Any:
    return getattr(message, route.raw_body) if route.raw_body else message
