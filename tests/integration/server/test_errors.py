"""What a handler raises arrives as a status with details, for every shape and style, through a stock channel."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import grpc
import grpc.aio
import pytest

import kit
from kit import errors
from tests.integration.server.conftest import Serve
from tests.integration.server.echo import METHODS, SERVICE, Context, call, failure

every_method = pytest.mark.parametrize("method", METHODS)


@every_method
async def test_a_call_that_goes_well_passes_unchanged(serve: Serve, method: str) -> None:
    served = await serve()
    assert set(await call(served.channel, method, "hello")) == {"hello"}
    assert served.echo.ended == [method]


@every_method
async def test_a_status_error_arrives_with_code_message_and_details(serve: Serve, method: str) -> None:
    async def act(text: str, context: Context) -> None:
        raise errors.NotFound("no such thing: ü", reason="GONE", domain="test", metadata={"id": "7"})

    served = await serve(act)
    details = errors.details_of(await failure(served.channel, method))
    assert details == errors.ErrorDetails(
        grpc.StatusCode.NOT_FOUND, "no such thing: ü", reason="GONE", domain="test", metadata={"id": "7"}
    )
    assert served.echo.ended == [method]


@every_method
async def test_a_crash_is_internal_with_an_id_that_the_log_has(
    serve: Serve, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def act(text: str, context: Context) -> None:
        raise ValueError("the password is hunter2")

    served = await serve(act)
    error = await failure(served.channel, method)
    assert error.code() is grpc.StatusCode.INTERNAL
    text = error.details() or ""
    assert text.startswith("internal error, id ")
    assert "hunter2" not in str(error)
    record = next(record for record in caplog.records if record.levelno == logging.ERROR)
    assert f"error_id='{text.rpartition(' ')[2]}'" in record.getMessage()
    assert f"method='/{SERVICE}/{method}'" in record.getMessage()
    assert record.exc_info is not None
    assert "hunter2" in str(record.exc_info[1])


@every_method
async def test_abort_passes_unchanged(serve: Serve, method: str) -> None:
    async def act(text: str, context: Context) -> None:
        await context.abort(grpc.StatusCode.DATA_LOSS, "as I say", (("x-own", "1"),))

    served = await serve(act)
    error = await failure(served.channel, method)
    assert (error.code(), error.details()) == (grpc.StatusCode.DATA_LOSS, "as I say")
    assert ("x-own", "1") in tuple(error.trailing_metadata())


@every_method
async def test_a_handler_that_raises_cancelled_error_does_not_hang_its_client(serve: Serve, method: str) -> None:
    async def act(text: str, context: Context) -> None:
        raise asyncio.CancelledError

    served = await serve(act)
    assert (await failure(served.channel, method)).code() is grpc.StatusCode.CANCELLED


class OwnBaseError(BaseException):
    """What `except Exception` does not catch."""


@every_method
@pytest.mark.parametrize("kind", [OwnBaseError, SystemExit])
async def test_what_is_no_exception_is_a_defect_like_others(
    serve: Serve, method: str, kind: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    async def act(text: str, context: Context) -> None:
        raise kind("a secret")

    served = await serve(act)
    error = await failure(served.channel, method)
    assert error.code() is grpc.StatusCode.INTERNAL
    assert (error.details() or "").startswith("internal error, id ")
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], RuntimeError)
    assert isinstance(record.exc_info[1].__cause__, kind)


async def test_an_abort_that_grpc_refuses_does_not_hang_its_client(serve: Serve) -> None:
    async def act(text: str, context: Context) -> None:
        await context.abort(grpc.StatusCode.NOT_FOUND, "a secret", (("one",),))  # type: ignore[arg-type]

    served = await serve(act)
    error = await failure(served.channel, "UnaryUnary")
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "internal error, id " in (error.details() or "")
    assert "secret" not in (error.details() or "")


async def test_details_that_are_no_utf_8_do_not_hang_the_client(serve: Serve) -> None:
    async def act(text: str, context: Context) -> None:
        context.set_code(grpc.StatusCode.NOT_FOUND)
        context.set_details("no file \udcff")

    served = await serve(act)
    error = await failure(served.channel, "UnaryUnary")
    assert (error.code(), error.details()) == (grpc.StatusCode.NOT_FOUND, "no file ?")


async def test_a_code_that_the_handler_set_is_kept(serve: Serve) -> None:
    async def act(text: str, context: Context) -> None:
        context.set_code(grpc.StatusCode.OUT_OF_RANGE)
        context.set_details("past the end")

    served = await serve(act)
    error = await failure(served.channel, "UnaryUnary")
    assert (error.code(), error.details()) == (grpc.StatusCode.OUT_OF_RANGE, "past the end")


async def test_trailing_metadata_of_the_handler_is_sent_beside_the_status(serve: Serve) -> None:
    async def act(text: str, context: Context) -> None:
        context.set_trailing_metadata((("x-seen", "yes"),))
        raise errors.Unavailable("later", retry_after=1.5)

    served = await serve(act)
    error = await failure(served.channel, "UnaryUnary")
    trailing = dict(error.trailing_metadata())
    assert trailing["x-seen"] == "yes"
    assert trailing["grpc-retry-pushback-ms"] == "1500"
    assert errors.details_of(error).retry_after == 1.5


async def test_a_huge_error_still_arrives(serve: Serve) -> None:
    async def act(text: str, context: Context) -> None:
        raise errors.InvalidArgument(
            "漢" * 5000,
            reason="MANY",
            violations=[errors.FieldViolation(f"field{n}", "wrong " * 20) for n in range(200)],
        )

    served = await serve(act)
    details = errors.details_of(await failure(served.channel, "UnaryUnary"))
    assert details.code is grpc.StatusCode.INVALID_ARGUMENT
    assert details.message.startswith("漢漢漢")
    assert details.reason == "MANY"


async def test_a_request_that_cannot_be_parsed_is_refused_without_internals(serve: Serve) -> None:
    served = await serve()
    raw: Any = served.channel.unary_unary(f"/{SERVICE}/UnaryUnary")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await raw(b"\xff\xff\xff")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "DecodeError" not in str(caught.value)
    assert served.echo.ended == []


async def test_the_failure_of_a_call_made_inside_is_told_in_safe_words(serve: Serve) -> None:
    async def fail(text: str, context: Context) -> None:
        raise errors.Unavailable("disk /dev/sda is full", retry_after=1)

    inner = await serve(fail)

    async def ask(text: str, context: Context) -> None:
        await call(inner.channel, "UnaryUnary", text)

    outer = await serve(ask)
    error = await failure(outer.channel, "UnaryUnary")
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert "sda" not in str(error)


async def test_an_unexpected_status_of_a_call_made_inside_is_a_defect(serve: Serve) -> None:
    async def fail(text: str, context: Context) -> None:
        raise errors.InvalidArgument("bad")

    inner = await serve(fail)

    async def ask(text: str, context: Context) -> None:
        await call(inner.channel, "UnaryUnary", text)

    outer = await serve(ask)
    assert (await failure(outer.channel, "UnaryUnary")).code() is grpc.StatusCode.INTERNAL


@every_method
async def test_an_error_of_an_interceptor_inside_is_mapped_as_well(serve: Serve, method: str) -> None:
    class Refuse(grpc.aio.ServerInterceptor):
        async def intercept_service(self, continuation: Any, handler_call_details: grpc.HandlerCallDetails) -> Any:
            raise errors.PermissionDenied("not you") if method != "ReadWrite" else RuntimeError("secret")

    served = await serve(interceptors=[Refuse()])
    error = await failure(served.channel, method)
    expected = grpc.StatusCode.INTERNAL if method == "ReadWrite" else grpc.StatusCode.PERMISSION_DENIED
    assert error.code() is expected
    assert "secret" not in str(error)


async def test_exhausted_retries_further_down_reach_the_client_as_dont_retry(serve: Serve) -> None:
    async def fail(text: str, context: Context) -> None:
        raise errors.Unavailable("down")

    inner = await serve(fail)
    policy = kit.MethodPolicy(
        idempotency_level=kit.IdempotencyLevel.IDEMPOTENT, retry=kit.RetryPolicy(max_attempts=3, initial_backoff=0)
    )
    async with kit.channel(inner.server.address, policy=policy) as channel:

        async def ask(text: str, context: Context) -> None:
            await call(channel, "UnaryUnary", text)

        outer = await serve(ask)
        error = await failure(outer.channel, "UnaryUnary")
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert dict(error.trailing_metadata())["grpc-retry-pushback-ms"] == "-1"
    assert inner.echo.ended == ["UnaryUnary"] * 3
