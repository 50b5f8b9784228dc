"""Rules are looked at when the server starts, and requests are held against them after it is known who may call."""

from __future__ import annotations

import importlib.util
from typing import Any

import grpc
import grpc.aio
import pytest

import kit
from kit.errors import ConfigurationError, details_of
from tests.compiled import messages

MESSAGES = messages("""
syntax = "proto3";
package kept.v1;
import "buf/validate/validate.proto";
message Named { string name = 1 [(buf.validate.field).string.min_len = 2]; }
message Broken { string name = 1 [(buf.validate.field).cel = {id: "x" expression: "this.nowhere"}]; }
""")
LIMIT = 20


def server(name: str = "Named", **options: Any) -> kit.Server:
    """A server of one method, whose request is the message `name`."""
    return kit.Server("kept", register=False, grace=0, **options).add(None, lambda _, to: add_echo(name, to))


def add_echo(name: str, to: Any) -> None:
    """What generated code has."""
    kind = MESSAGES[name]

    async def echo(request: Any, context: Any) -> Any:
        return request

    handlers = {"Echo": grpc.unary_unary_rpc_method_handler(echo, kind.FromString, kind.SerializeToString)}
    to.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("kept.v1.Service", handlers),))
    to.add_registered_method_handlers("kept.v1.Service", handlers)


def stub(channel: grpc.aio.Channel) -> Any:
    kind = MESSAGES["Named"]
    return channel.unary_unary("/kept.v1.Service/Echo", kind.SerializeToString, kind.FromString)


async def test_a_request_that_breaks_a_rule_does_not_reach_the_handler() -> None:
    async with server() as served, grpc.aio.insecure_channel(served.address) as channel:
        assert (await stub(channel)(MESSAGES["Named"](name="ab"), timeout=LIMIT)).name == "ab"
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub(channel)(MESSAGES["Named"](name="a"), timeout=LIMIT)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    details = details_of(refused.value)
    assert [(one.field, one.description) for one in details.violations] == [("name", "must be at least 2 characters")]


async def test_who_may_not_call_learns_nothing_of_the_rules() -> None:
    async with (
        server(authenticators=[kit.auth.ApiKeys({kit.auth.digest_of("k"): kit.auth.Principal("a")})]) as served,
        grpc.aio.insecure_channel(served.address) as channel,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub(channel)(MESSAGES["Named"](name="a"), timeout=LIMIT)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_server_may_serve_without_looking_at_the_rules() -> None:
    async with server(validate=False) as served, grpc.aio.insecure_channel(served.address) as channel:
        assert (await stub(channel)(MESSAGES["Named"](name="a"), timeout=LIMIT)).name == "a"


async def test_rules_that_make_no_sense_stop_the_start() -> None:
    with pytest.raises(ConfigurationError, match=r"the rules of kept\.v1\.Broken cannot be used"):
        await server("Broken").start()


async def test_rules_without_the_extra_stop_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "protovalidate" else found(name))
    with pytest.raises(ConfigurationError, match=r"grpc-service-kit\[validate\]"):
        await server().start()


async def test_on_a_stock_server_a_method_with_rules_that_make_no_sense_fails_without_words_of_ours(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stock = grpc.aio.server(interceptors=kit.server_interceptors())
    add_echo("Broken", stock)
    port = stock.add_insecure_port("127.0.0.1:0")
    await stock.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        for _ in range(2):
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await stub(channel)(MESSAGES["Named"](name="ab"), timeout=LIMIT)
            assert failed.value.code() is grpc.StatusCode.INTERNAL
    await stock.stop(0)
    said = str(failed.value.details())
    assert said.startswith("internal error, id ")
    (record,) = [record for record in caplog.records if record.name == "kit.error"]
    assert said.rpartition(" ")[2] in record.getMessage()
    assert "the rules of kept.v1.Broken cannot be used" in record.getMessage()
