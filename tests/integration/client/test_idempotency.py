"""Idempotency keys over real loopback gRPC: what the server sees of a call that is sent several times."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

import grpc
import grpc.aio
import pytest

import kit
from kit.errors import CallFailed, InvalidIdempotencyKey, PolicyError
from kit.policy import IdempotencyKeyMode
from kit.testing import Fault
from tests.integration.client.conftest import Client, Connect
from tests.integration.client.echo import BOTH, DOWN, UNARY, UNSAFE, UP, text

UNAVAILABLE = Fault(code=grpc.StatusCode.UNAVAILABLE)
KEY = "idempotency-key"
THREE = kit.RetryPolicy(max_attempts=3)
ONCE = kit.RetryPolicy(max_attempts=1)


def keyed(
    mode: IdempotencyKeyMode = IdempotencyKeyMode.REQUIRED,
    *,
    retry: kit.RetryPolicy | None = THREE,
    hedging: kit.HedgingPolicy | None = None,
) -> kit.MethodPolicy:
    return kit.MethodPolicy(idempotency_key=kit.IdempotencyKeyPolicy(mode=mode), retry=retry, hedging=hedging)


def keys(client: Client) -> list[list[str | bytes]]:
    """The keys of each request that reached the server."""
    return [[value for name, value in request.metadata if name == KEY] for request in client.faults.seen]


@pytest.mark.parametrize("mode", [IdempotencyKeyMode.OPTIONAL, IdempotencyKeyMode.REQUIRED])
async def test_three_attempts_of_a_method_with_no_idempotency_level_carry_one_key(
    connect: Connect, mode: IdempotencyKeyMode
) -> None:
    client = await connect(policy={UNSAFE: keyed(mode)})
    client.faults.script(UNSAFE, [UNAVAILABLE] * 2)
    with kit.reports() as seen:
        assert (await client.stub.Unsafe(text())).value == "hello"
    [report] = seen
    assert keys(client) == [[report.idempotency_key]] * 3
    assert uuid.UUID(report.idempotency_key).version == 4


async def test_without_a_key_the_same_retry_is_refused(connect: Connect) -> None:
    client = await connect(policy={UNSAFE: kit.MethodPolicy(retry=ONCE)})
    assert client.channel is not None
    with pytest.raises(PolicyError, match="idempotency_key"):
        kit.policy.policy_for(UNSAFE, {UNSAFE: kit.MethodPolicy(retry=THREE)})


async def test_every_hedge_carries_the_key_of_its_call(connect: Connect) -> None:
    hedging = kit.HedgingPolicy(max_attempts=3, hedging_delay=0.0)
    client = await connect(policy={UNSAFE: keyed(IdempotencyKeyMode.OPTIONAL, retry=ONCE, hedging=hedging)})
    held = asyncio.Event()
    client.faults.script(UNSAFE, [Fault(until=held)] * 3)
    with kit.reports() as seen:
        call = client.stub.Unsafe(text())
        waiting = asyncio.ensure_future(_value(call))
        async with asyncio.timeout(5):
            await client.faults.arrived(UNSAFE, 3)
        held.set()
        assert await waiting == "hello"
    assert keys(client) == [[seen[0].idempotency_key]] * 3
    assert seen[0].idempotency_key


async def test_the_next_call_has_another_key(connect: Connect) -> None:
    client = await connect(policy={UNSAFE: keyed()})
    await client.stub.Unsafe(text())
    await client.stub.Unsafe(text())
    [first], [second] = keys(client)
    assert first != second


async def test_the_callers_own_key_is_kept_beside_its_other_metadata(connect: Connect) -> None:
    client = await connect(policy={UNSAFE: keyed()})
    client.faults.script(UNSAFE, [UNAVAILABLE])
    metadata = grpc.aio.Metadata((KEY, "order-17"), ("other", "1"))
    with kit.reports() as seen:
        await client.stub.Unsafe(text(), metadata=metadata)
    assert keys(client) == [["order-17"]] * 2
    assert [request.header("other") for request in client.faults.seen] == ["1", "1"]
    assert list(metadata) == [(KEY, "order-17"), ("other", "1")]
    assert seen[0].idempotency_key == "order-17"


@pytest.mark.parametrize("given", [("a", "b"), ("",), ("two words",), ("k" * 256,)])
async def test_a_callers_key_that_is_none_is_refused_by_type_and_nothing_is_sent(
    connect: Connect, given: tuple[str, ...]
) -> None:
    client = await connect(policy={UNSAFE: keyed()})
    call = client.stub.Unsafe(text(), metadata=tuple((KEY, key) for key in given))
    with pytest.raises(InvalidIdempotencyKey, match="is no key") as refusal:
        await call
    assert await call.code() is refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert kit.report(refusal.value).attempts == ()
    assert client.faults.seen == []


@pytest.mark.parametrize("method", [UNARY, DOWN, UP, BOTH])
async def test_a_key_goes_with_every_shape(connect: Connect, method: str) -> None:
    client = await connect(policy={method: keyed(retry=None)})
    name = method.rpartition("/")[2]
    call = getattr(client.stub, name)(iter([text("a")]) if method in (UP, BOTH) else text("a"))
    await (call if method in (UNARY, UP) else call.read())
    [[key]] = keys(client)
    assert uuid.UUID(str(key))


async def test_an_optional_key_is_left_out_of_a_call_that_is_sent_once(connect: Connect) -> None:
    client = await connect(policy={UNSAFE: keyed(IdempotencyKeyMode.OPTIONAL, retry=ONCE)})
    with kit.reports() as seen:
        await client.stub.Unsafe(text())
        await client.stub.Unsafe(text(), metadata=((KEY, "mine"),))
    assert keys(client) == [[], ["mine"]]
    assert [report.idempotency_key for report in seen] == ["", "mine"]


async def test_none_turns_an_inherited_key_off_and_the_retries_with_it(connect: Connect) -> None:
    service = f"{UNSAFE.rpartition('/')[0]}/*"
    off = kit.MethodPolicy(idempotency_key=kit.IdempotencyKeyPolicy(mode=IdempotencyKeyMode.NONE))
    client = await connect(policy={service: keyed(), UNSAFE: off})
    client.faults.script(UNSAFE, [UNAVAILABLE])
    with pytest.raises(CallFailed) as failure:
        await client.stub.Unsafe(text())
    assert kit.report(failure.value).stop_reason == "NOT_SAFE"
    assert keys(client) == [[]]


async def test_a_toml_overlay_can_declare_the_key(connect: Connect, tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(f'["{UNSAFE}"]\nidempotency_key = {{ mode = "optional" }}\nretry = {{ max_attempts = 2 }}\n')
    client = await connect(policy=file)
    client.faults.script(UNSAFE, [UNAVAILABLE])
    await client.stub.Unsafe(text())
    first, second = keys(client)
    assert first == second != []


async def test_a_failed_call_says_under_which_key_the_server_knows_it(connect: Connect) -> None:
    client = await connect(policy={UNSAFE: keyed()})
    client.faults.script(UNSAFE, [Fault(code=grpc.StatusCode.INTERNAL)])
    with pytest.raises(CallFailed) as failure:
        await client.stub.Unsafe(text())
    assert keys(client) == [[kit.report(failure.value).idempotency_key]]


async def _value(call: grpc.aio.UnaryUnaryCall) -> str:  # type: ignore[type-arg]
    return str((await call).value)
