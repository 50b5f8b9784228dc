"""Whose key it is; and the kit on both sides of a call that is retried."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.wrappers_pb2 import StringValue

import kit
from kit.auth import ApiKeys, Principal, digest_of
from kit.policy import IdempotencyKeyMode
from kit.server.idempotency import MemoryStore, effect
from kit.server.idempotency._ends import MAX_NAME, caller_of
from kit.testing import InProcess
from tests.integration.server.idempotency.conftest import Serve
from tests.integration.server.idempotency.orders import in_database, make_table, rows
from tests.integration.server.idempotency.shop import KEY, ORDER, SERVICE, Context, Shop, add_shop, send


async def test_the_same_key_of_another_caller_is_another_key(serve: Serve) -> None:
    keys = ApiKeys({digest_of("of ann"): Principal("ann"), digest_of("of ben"): Principal("ben")})
    served = await serve(MemoryStore(), authenticators=[keys])
    stub: Any = served.channel.unary_unary(ORDER, StringValue.SerializeToString, StringValue.FromString)

    async def order(api_key: str, text: str) -> str:
        metadata = ((KEY, "k"), ("x-api-key", api_key))
        return str((await stub(StringValue(value=text), metadata=metadata)).value)

    assert await order("of ann", "a book") == "a book 1"
    assert await order("of ben", "a pen") == "a pen 2"
    assert await order("of ann", "a book") == "a book 1"


def test_a_caller_is_known_by_name_issuer_and_how_it_was_proved() -> None:
    def caller(*arguments: Any, **options: Any) -> str:
        return caller_of(SimpleNamespace(principal=Principal(*arguments, **options)))  # type: ignore[arg-type]

    assert caller_of(SimpleNamespace(principal=None)) == ""  # type: ignore[arg-type]
    assert caller("ann", method="jwt", claims={"iss": "https://one"}) == "jwt:https://one:ann"
    names = {
        caller("ann", method="jwt", claims={"iss": "https://one"}),
        caller("ann", method="jwt", claims={"iss": "https://two"}),
        caller("ann", method="api_key"),
        caller("ann" * MAX_NAME),
        caller("ann" * MAX_NAME + "!"),
        caller("ann\0"),
        caller("ann\udc00"),
    }
    assert len(names) == 7
    assert all(name.isprintable() and len(name) <= MAX_NAME for name in names)


async def test_a_retry_of_the_kits_own_channel_finds_what_its_first_attempt_has_done(serve: Serve, url: str) -> None:
    """The effect is committed, and the answer is lost on its way."""
    await make_table(url)
    lost: list[str] = []

    class Loses(grpc.aio.ServerInterceptor):
        """Outside of the kit's interceptors, as the network is."""

        async def intercept_service(self, continuation: Any, details: Any) -> Any:
            handler = await continuation(details)

            async def serve_and_lose(request: StringValue, context: Context) -> Any:
                answer = await handler.unary_unary(request, context)
                if not lost:
                    lost.append("an answer")
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "lost")
                return answer

            return grpc.unary_unary_rpc_method_handler(
                serve_and_lose, handler.request_deserializer, handler.response_serializer
            )

    class Orders:
        async def order(self, request: StringValue, _context: Context) -> StringValue:
            return await in_database(request.value)

    policy = kit.MethodPolicy(
        idempotency_key=kit.IdempotencyKeyPolicy(mode=IdempotencyKeyMode.REQUIRED),
        retry=kit.RetryPolicy(max_attempts=3, initial_backoff=0.01),
    )
    kits = kit.server_interceptors(policy={ORDER: policy}, idempotency=url)
    server = grpc.aio.server(interceptors=[Loses(), *kits])
    order: Any = grpc.unary_unary_rpc_method_handler(
        Orders().order, StringValue.FromString, StringValue.SerializeToString
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Order": order}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with kit.channel(f"127.0.0.1:{port}", policy={ORDER: policy}) as channel:
        stub: Any = channel.unary_unary(ORDER, StringValue.SerializeToString, StringValue.FromString)
        call = stub(StringValue(value="a book"))
        assert (await call).value == "order 1"
        report = kit.report(call)
        assert [attempt.code for attempt in report.attempts] == [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.OK]
        assert ("kit-idempotent-replay", "true") in tuple(await call.trailing_metadata())
        assert await rows(url) == {report.idempotency_key: 1}
    await server.stop(0)
    layers = kits[0]._pipeline.layers  # type: ignore[attr-defined]
    await next(layer for layer in layers if layer.name == "deduplicate").keeper.stop()


def test_the_names_that_the_guide_shows_are_public() -> None:
    assert kit.server.idempotency.effect is effect
    assert kit.server.idempotency.SqlStore.__name__ == "SqlStore"


async def test_a_server_of_a_test_keeps_its_keys_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "policy.toml").write_text(f'["{ORDER}"]\nidempotency_key = {{ mode = "required" }}\n')
    monkeypatch.setenv("KIT_POLICY", str(tmp_path / "policy.toml"))
    monkeypatch.setenv("KIT_DATA_DIR", str(tmp_path))
    shop = Shop()
    async with InProcess(shop, add_shop) as process, grpc.aio.insecure_channel(process.address) as channel:
        answers = [await send(channel, "a book", "k") for _ in "12"]
    assert [answer.replayed for answer in answers] == [False, True]
    assert not (tmp_path / "idempotency").exists()
