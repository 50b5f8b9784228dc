"""Calls with idempotency keys over real loopback gRPC: what is executed, what is replayed, what is refused."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.struct_pb2 import Struct
from google.protobuf.wrappers_pb2 import StringValue
from google.rpc import error_details_pb2

import kit
from kit import errors
from kit.policy import IdempotencyKeyMode
from kit.server.idempotency import IdempotencyStore, MemoryStore, SqlStore
from kit.server.idempotency._answer import STORED
from kit.server.idempotency._ends import fingerprint_of
from tests.integration.client.caring import eventually
from tests.integration.server.idempotency.conftest import Serve
from tests.integration.server.idempotency.shop import KEY, ORDER, PAY, Context, Shop, add_shop, declared

OK = grpc.StatusCode.OK
RAISED: dict[Any, type[errors.StatusError]] = {
    kind.code: kind for kind in errors.StatusError.__subclasses__() if kind.__module__ == "kit.errors"
}
CODES = sorted(RAISED, key=lambda code: str(code.name))


async def test_the_second_call_with_a_key_gets_the_answer_of_the_first(serve: Serve, store: IdempotencyStore) -> None:
    async def act(_text: str, context: Context) -> None:
        context.set_trailing_metadata((("order-number", "17"), ("raw-bin", b"\x00\xff")))

    served = await serve(store, act)
    first, second = await served.send("a book", "k"), await served.send("a book", "k")
    assert (first.code, first.text, first.replayed) == (OK, "a book 1", False)
    assert (second.code, second.text, second.replayed) == (OK, "a book 1", True)
    assert first.trailing == second.trailing == (("order-number", "17"), ("raw-bin", b"\x00\xff"))
    assert (await served.send("a book", "another")).text == "a book 2"
    assert served.shop.executed == ["a book", "a book"]


@pytest.mark.parametrize("code", CODES, ids=[code.name for code in CODES])
async def test_definite_refusals_are_kept_and_what_may_pass_is_not(serve: Serve, code: grpc.StatusCode) -> None:
    async def act(_text: str, _context: Context) -> None:
        raise RAISED[code](f"no {len(served.shop.executed)}", reason="WHY", domain="shop", retry_after=2.0)

    served = await serve(MemoryStore(), act)
    first, second = await served.send("a book", "k"), await served.send("a book", "k")
    assert (first.code, first.text, first.reason, first.retry_after) == (code, "no 1", "WHY", 2.0)
    assert second.replayed is (code in STORED)
    assert second.text == ("no 1" if code in STORED else "no 2")
    assert (second.code, second.reason, second.retry_after) == (code, "WHY", 2.0)


async def test_a_status_with_details_of_any_kind_is_replayed_to_the_byte(serve: Serve, store: IdempotencyStore) -> None:
    async def act(text: str, context: Context) -> None:
        context.set_trailing_metadata((("seen", "1"),))
        if text == "abort":
            detail = error_details_pb2.Help(links=[error_details_pb2.Help.Link(description="ü", url="x:y")])
            raw = (("grpc-status-details-bin", detail.SerializeToString()), ("also", "2"))
            await context.abort(grpc.StatusCode.ALREADY_EXISTS, "there is one", raw)
        if text == "set":
            context.set_code(grpc.StatusCode.NOT_FOUND)
            context.set_details("there is none")
        if text == "raise":
            raise errors.FailedPrecondition(
                "not\nnow, ü", violations=[errors.FieldViolation("a.b", "too much")], metadata={"x": "y"}, reason="R"
            )

    served = await serve(store, act)
    stub: Any = served.channel.unary_unary(ORDER, StringValue.SerializeToString, StringValue.FromString)

    async def failure(text: str) -> grpc.aio.AioRpcError:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub(StringValue(value=text), metadata=((KEY, text),))
        return caught.value

    for text in ("abort", "set", "raise"):
        first, second = await failure(text), await failure(text)
        assert (first.code(), first.details()) == (second.code(), second.details())
        assert (*first.trailing_metadata(), ("kit-idempotent-replay", "true")) == tuple(second.trailing_metadata())
    assert served.shop.executed == ["abort", "set", "raise"]


async def test_a_crash_in_the_handler_frees_the_key(serve: Serve, store: IdempotencyStore) -> None:
    async def act(_text: str, _context: Context) -> None:
        if len(served.shop.executed) == 1:
            raise ZeroDivisionError

    served = await serve(store, act)
    assert (await served.send("a book", "k")).code is grpc.StatusCode.INTERNAL
    second = await served.send("a book", "k")
    assert (second.text, second.replayed) == ("a book 2", False)
    assert (await served.send("a book", "k")).text == "a book 2"


async def test_the_same_key_with_another_request_is_refused(serve: Serve, store: IdempotencyStore) -> None:
    served = await serve(store)
    await served.send("a book", "k")
    other = await served.send("a pen", "k")
    assert (other.code, other.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "IDEMPOTENCY_KEY_REUSED")
    assert "a new request needs a new key" in other.text
    assert (await served.send("a book", "k")).replayed
    assert served.shop.executed == ["a book"]


async def test_while_it_runs_another_request_under_its_key_is_refused_at_once(serve: Serve) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    async def act(_text: str, _context: Context) -> None:
        began.set()
        await go_on.wait()

    served = await serve(MemoryStore(), act)
    first = asyncio.ensure_future(served.send("a book", "k"))
    await began.wait()
    assert (await served.send("a pen", "k")).reason == "IDEMPOTENCY_KEY_REUSED"
    go_on.set()
    assert (await first).text == "a book 1"


async def test_a_wrong_request_that_comes_in_just_before_the_right_one_does_not_spoil_it(serve: Serve) -> None:
    class Slow(MemoryStore):
        """Says what is known of the key only when it may."""

        may = asyncio.Event()

        async def claim(self, *arguments: Any, **options: Any) -> Any:
            await self.may.wait()
            return await super().claim(*arguments, **options)

    store = Slow()
    store.may.set()
    served = await serve(store)
    await served.send("a book", "k")
    store.may.clear()
    wrong = asyncio.ensure_future(served.send("a pen", "k"))
    await eventually(lambda: served.server.in_flight == 1)
    right = asyncio.ensure_future(served.send("a book", "k"))
    await eventually(lambda: served.server.in_flight == 2)
    store.may.set()
    assert (await wrong).reason == "IDEMPOTENCY_KEY_REUSED"
    assert (await right).replayed


async def test_the_same_key_of_another_method_is_another_key(serve: Serve, store: IdempotencyStore) -> None:
    served = await serve(store)
    assert (await served.send("a book", "k")).text == "a book 1"
    assert (await served.send("a book", "k", method=PAY)).text == "a book 2"


async def test_a_call_without_the_key_that_is_required_is_told_what_to_send(serve: Serve) -> None:
    served = await serve(MemoryStore())
    refused = await served.send("a book")
    assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "IDEMPOTENCY_KEY_REQUIRED")
    assert "idempotency-key metadata" in refused.text
    assert "UUID" in refused.text
    assert served.shop.executed == []


@pytest.mark.parametrize("keys", [("a", "b"), ("with a space",), ("k" * 256,)])
async def test_what_is_no_key_is_refused(serve: Serve, keys: tuple[str, ...]) -> None:
    served = await serve(MemoryStore(), policy=declared(IdempotencyKeyMode.OPTIONAL))
    refused = await served.send("a book", *keys)
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "is no key" in refused.text
    assert served.shop.executed == []


async def test_where_a_key_is_optional_a_call_without_one_is_executed_each_time(serve: Serve) -> None:
    seen: list[str | None] = []

    async def act(_text: str, _context: Context) -> None:
        seen.append(kit.idempotency_key())

    served = await serve(MemoryStore(), act, policy=declared(IdempotencyKeyMode.OPTIONAL))
    assert [(await served.send("a book", *keys)).text for keys in ((), (), ("k",), ("k",))] == [
        "a book 1",
        "a book 2",
        "a book 3",
        "a book 3",
    ]
    assert seen == [None, None, "k"]
    assert kit.idempotency_key() is None


async def test_a_method_that_declares_nothing_takes_the_key_for_any_metadata(serve: Serve) -> None:
    served = await serve(MemoryStore(), policy=None)
    assert [(await served.send("a book", "k")).text for _ in "12"] == ["a book 1", "a book 2"]


async def test_an_answer_is_forgotten_after_its_time(serve: Serve) -> None:
    clock = kit.testing.VirtualClock()
    served = await serve(MemoryStore(clock=clock), policy=declared(ttl=60.0))
    await served.send("a book", "k")
    await clock.advance(59.0)
    assert (await served.send("a book", "k")).replayed
    await clock.advance(1.0)
    assert (await served.send("a book", "k")).text == "a book 2"


async def test_an_answer_outlives_the_server(serve: Serve, url: str) -> None:
    first = await serve(url)
    await first.send("a book", "k")
    await first.server.stop(0)
    second = await serve(url)
    assert (await second.send("a book", "k")).replayed
    assert second.shop.executed == []


async def test_interceptors_on_a_stock_server_deduplicate_in_the_store_that_they_are_given(url: str) -> None:
    shop = Shop()
    interceptors = kit.server_interceptors(policy=declared(), idempotency=SqlStore(url))
    server = grpc.aio.server(interceptors=interceptors)
    add_shop(shop, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = channel.unary_unary(ORDER, StringValue.SerializeToString, StringValue.FromString)
        answers = [(await stub(StringValue(value="a"), metadata=((KEY, "k"),))).value for _ in "12"]
    await server.stop(0)
    layers = interceptors[0]._pipeline.layers  # type: ignore[attr-defined]
    deduplicate = next(layer for layer in layers if layer.name == "deduplicate")
    await deduplicate.keeper.stop()
    assert answers == ["a 1", "a 1"]


def test_requests_are_the_same_whatever_the_order_of_their_maps() -> None:
    one, two = Struct(), Struct()
    names = [f"field {number}" for number in range(50)]
    for name in names:
        one[name] = name
    for name in reversed(names):
        two[name] = name
    assert one.SerializeToString() != two.SerializeToString()
    assert fingerprint_of(one) == fingerprint_of(two)
    two["e"] = "e"
    assert fingerprint_of(one) != fingerprint_of(two)
    assert fingerprint_of(b"raw") != fingerprint_of(b"other")
    with pytest.raises(TypeError, match="cannot be told apart"):
        fingerprint_of(object())
