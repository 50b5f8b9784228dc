"""A service whose method declares idempotency keys: messages are google.protobuf.StringValue."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from google.protobuf.wrappers_pb2 import StringValue

import kit
from kit.errors import details_of
from kit.policy import IdempotencyKeyMode

SERVICE = "test.Shop"
ORDER, PAY, WATCH = (f"/{SERVICE}/{name}" for name in ("Order", "Pay", "Watch"))
KEY, REPLAY = "idempotency-key", "kit-idempotent-replay"
Context = grpc.aio.ServicerContext[StringValue, StringValue]
Act = Callable[[str, Context], Awaitable[object]]


def declared(
    mode: IdempotencyKeyMode = IdempotencyKeyMode.REQUIRED, ttl: float | None = None
) -> dict[str, kit.MethodPolicy]:
    """A policy by which Order and Pay take keys."""
    policy = kit.MethodPolicy(idempotency_key=kit.IdempotencyKeyPolicy(mode=mode, ttl=ttl))
    return {ORDER: policy, PAY: policy}


class Shop:
    """Calls `act` with the text of the request; its answer is that text with the number of the execution."""

    def __init__(self, act: Act | None = None) -> None:
        self.act = act
        #: The texts of the requests that were executed.
        self.executed: list[str] = []

    async def order(self, request: StringValue, context: Context) -> StringValue:
        self.executed.append(request.value)
        number = len(self.executed)
        answer = None if self.act is None else await self.act(request.value, context)
        return answer if isinstance(answer, StringValue) else StringValue(value=f"{request.value} {number}")

    async def watch(self, request: StringValue, context: Context) -> None:
        await context.write(request)


def add_shop(shop: Shop, server: Any) -> None:
    """As generated code does."""
    handlers: dict[str, Any] = {
        name: grpc.unary_unary_rpc_method_handler(shop.order, StringValue.FromString, StringValue.SerializeToString)
        for name in ("Order", "Pay")
    }
    handlers["Watch"] = grpc.unary_stream_rpc_method_handler(
        shop.watch, StringValue.FromString, StringValue.SerializeToString
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_registered_method_handlers(SERVICE, handlers)


@dataclass(frozen=True)
class Answered:
    """What a client got."""

    code: grpc.StatusCode
    #: The response, or the words of the failure.
    text: str
    reason: str = ""
    #: Trailing metadata but for gRPC's own.
    trailing: tuple[tuple[str, str | bytes], ...] = ()
    replayed: bool = False
    retry_after: float | None = None
    #: `grpc-retry-pushback-ms`
    pushback: str | None = None


async def send(
    channel: grpc.aio.Channel, text: str, *keys: str, method: str = ORDER, timeout: float | None = 30.0
) -> Answered:
    """Makes a call of a stock client."""
    stub: Any = channel.unary_unary(method, StringValue.SerializeToString, StringValue.FromString)
    call = stub(StringValue(value=text), metadata=tuple((KEY, key) for key in keys), timeout=timeout)
    code, said, reason, retry_after = grpc.StatusCode.OK, "", "", None
    try:
        said = (await call).value
    except grpc.aio.AioRpcError as error:
        details = details_of(error)
        code, said, reason, retry_after = error.code(), str(error.details()), details.reason, details.retry_after
    trailing = tuple((name, value) for name, value in await call.trailing_metadata())
    return Answered(
        code,
        said,
        reason,
        tuple(pair for pair in trailing if not pair[0].startswith("grpc-") and pair[0] != REPLAY),
        (REPLAY, "true") in trailing,
        retry_after,
        str(dict(trailing).get("grpc-retry-pushback-ms", "")) or None,
    )
