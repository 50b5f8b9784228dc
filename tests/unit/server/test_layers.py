"""The layers one by one, around a handler of the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
import pytest

from kit import errors
from kit.call import set_deadline
from kit.clock import SYSTEM
from kit.pipeline import Shape
from kit.policy import policy_for
from kit.server._call import Handler, ServerCall, ServerMethod, compose
from kit.server._inflight import InFlight
from kit.server._layers import DeadlineLayer, MapErrorsLayer
from kit.server._pipeline import server_pipeline
from tests.unit.server.fakes import FakeContext

PATH = "/test.Echo/UnaryUnary"
METHOD = ServerMethod(PATH, Shape.UNARY_UNARY, policy_for(PATH))


def call_of(context: FakeContext) -> ServerCall:
    return ServerCall(PATH, "request", context)  # type: ignore[arg-type]  # a fake


def handler(act: Callable[[], Awaitable[Any]]) -> Handler:
    async def handle(_: ServerCall) -> Any:
        return await act()

    return handle


async def test_layers_wrap_in_the_order_in_which_they_are_listed() -> None:
    order: list[str] = []

    class Noting:
        def __init__(self, name: str) -> None:
            self.name = name

        def wrap(self, method: ServerMethod, inner: Handler) -> Handler:
            async def handle(call: ServerCall) -> Any:
                order.append(self.name)
                return await inner(call)

            return handle

    async def act() -> str:
        return "done"

    assert await compose([Noting("a"), Noting("b")], METHOD, handler(act))(call_of(FakeContext())) == "done"
    assert order == ["a", "b"]


#: As docs/architecture.md has it; of the names in a certificate before what the call brings.
ORDER = [
    *("in flight", "telemetry", "access", "map errors", "admit", "deadline", "peer names", "authenticate"),
    *("authorise", "validate", "audit", "deduplicate", "domain errors"),
]


def test_the_servers_layers_are_in_order() -> None:
    described = server_pipeline(in_flight=InFlight(), allowed_names=["client"], audit=True).describe()
    assert {"in flight", "telemetry", "deadline", "peer names", "authenticate", "authorise", "audit"} <= set(described)
    assert [name for name in ORDER if name in described] == described


async def test_an_expired_call_is_refused_before_the_handler() -> None:
    async def act() -> None:
        raise AssertionError("the handler ran")

    context = FakeContext(remaining=0)
    with pytest.raises(grpc.aio.AbortError):
        await compose(server_pipeline().layers, METHOD, handler(act))(call_of(context))
    assert context.aborted is not None
    assert context.aborted[0] is grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize(
    ("given", "left", "code"),
    [
        (0.3, 0.0, grpc.StatusCode.DEADLINE_EXCEEDED),
        # The client's own time was up, of which gRPC has made 30.1 s on the way.
        (30.1, 0.1, grpc.StatusCode.DEADLINE_EXCEEDED),
        (30.0, 15.0, grpc.StatusCode.CANCELLED),
        (None, None, grpc.StatusCode.CANCELLED),
    ],
)
async def test_a_handler_that_grpc_cancels_at_its_deadline_has_exceeded_it(
    given: float | None, left: float | None, code: grpc.StatusCode
) -> None:
    async def act() -> None:
        if left is not None:
            set_deadline(SYSTEM.now() + left)
        raise asyncio.CancelledError

    call = call_of(FakeContext(remaining=given))
    with pytest.raises(asyncio.CancelledError):
        await compose([MapErrorsLayer(), DeadlineLayer()], METHOD, handler(act))(call)
    assert call.code is code


async def test_a_write_to_a_client_that_is_gone_is_no_defect() -> None:
    async def act() -> None:
        raise grpc.aio.InternalError("execute_batch failed")

    call = call_of(FakeContext())
    with pytest.raises(asyncio.CancelledError):
        await MapErrorsLayer().wrap(METHOD, handler(act))(call)
    assert call.code is grpc.StatusCode.CANCELLED


async def test_an_error_raised_after_the_handlers_own_abort_keeps_the_aborts_status() -> None:
    class AbortedContext(FakeContext):
        async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()) -> None:
            raise grpc.aio.UsageError("Abort already called!")

        def done(self) -> bool:
            return True

    async def act() -> None:
        raise errors.NotFound("late")

    with pytest.raises(asyncio.CancelledError):
        await MapErrorsLayer().wrap(METHOD, handler(act))(call_of(AbortedContext()))
