"""The layer that gives calls their key."""

from __future__ import annotations

import itertools
import uuid

import grpc
import grpc.aio
import pytest

import kit
from kit.errors import InvalidIdempotencyKey
from kit.layers import AttemptLayer, DeadlineLayer, HedgeLayer, IdempotencyKeyLayer, ReportLayer, RetryLayer
from kit.pipeline import Call, Method, Outcome, Pipeline, Shape
from kit.policy import IdempotencyKeyMode, policy_for
from kit.testing import VirtualClock
from tests.unit.layers.wire import Wire, failure, method

REQUIRED, OPTIONAL = IdempotencyKeyMode.REQUIRED, IdempotencyKeyMode.OPTIONAL


def keyed(
    mode: IdempotencyKeyMode, ttl: float | None = None, *, attempts: int = 4, shape: Shape | None = None
) -> Method:
    """A method that is safe by its key alone."""
    key = kit.IdempotencyKeyPolicy(mode=mode, ttl=ttl)
    timeout = None if ttl is None else ttl
    policy = kit.MethodPolicy(idempotency_key=key, timeout=timeout)
    return method(safe=False, policy=policy, attempts=attempts, shape=shape or Shape.UNARY_UNARY)


class Keys(Wire):
    """Notes the keys that come along, in what an attempt sends."""

    def __init__(self, *arguments: object, **more: object) -> None:
        super().__init__(*arguments, **more)  # type: ignore[arg-type]
        self.keys: list[list[str | bytes]] = []
        self.until: list[float] = []

    async def __call__(self, call: Call) -> Outcome:
        sent = call.metadata if call.sent_metadata is None else call.sent_metadata
        self.keys.append([value for name, value in sent or () if name == "idempotency-key"])
        self.until.append(call.expires_at)
        return await super().__call__(call)


def pipeline(clock: VirtualClock) -> Pipeline:
    numbers = itertools.count(1)
    return Pipeline(
        [
            ReportLayer(clock),
            DeadlineLayer(clock),
            IdempotencyKeyLayer(clock, lambda: f"key-{next(numbers)}"),
            RetryLayer(clock, lambda: 0.5),
            HedgeLayer(clock),
            AttemptLayer(clock),
        ]
    )


@pytest.mark.parametrize("mode", [OPTIONAL, REQUIRED])
async def test_every_attempt_has_the_same_key_and_every_call_another(mode: IdempotencyKeyMode) -> None:
    clock = VirtualClock(autojump=True)
    wire, what = Keys(clock, [failure(), failure()]), keyed(mode)
    handler = pipeline(clock).handler(what, wire)
    with kit.reports() as seen:
        for _ in range(2):
            outcome = await handler(Call(what, "request"))
            assert outcome.error is None
    assert wire.keys == [["key-1"]] * 3 + [["key-2"]]
    assert [report.idempotency_key for report in seen] == ["key-1", "key-2"]


async def test_every_hedge_has_the_same_key() -> None:
    clock = VirtualClock(autojump=True)
    policy = kit.MethodPolicy(
        idempotency_key=kit.IdempotencyKeyPolicy(mode=OPTIONAL),
        hedging=kit.HedgingPolicy(max_attempts=3, hedging_delay=0.0),
    )
    what = method(safe=False, policy=policy, attempts=1)
    wire = Keys(clock, [failure(), failure()])
    assert (await pipeline(clock).handler(what, wire)(Call(what, "request"))).error is None
    assert wire.keys == [["key-1"]] * 3


@pytest.mark.parametrize("shape", list(Shape))
async def test_every_shape_has_a_key(shape: Shape) -> None:
    clock = VirtualClock(autojump=True)
    wire, what = Keys(clock), keyed(REQUIRED, shape=shape)
    await pipeline(clock).handler(what, wire)(Call(what, "request"))
    assert wire.keys == [["key-1"]]


async def test_an_optional_key_is_left_out_where_the_call_is_sent_once() -> None:
    clock = VirtualClock(autojump=True)
    for mode, keys in ((OPTIONAL, []), (REQUIRED, ["key-1"])):
        wire, what = Keys(clock), keyed(mode, attempts=1)
        await pipeline(clock).handler(what, wire)(Call(what, "request"))
        assert wire.keys == [keys]


@pytest.mark.parametrize("attempts", [1, 4])
async def test_the_callers_own_key_is_kept_and_its_metadata_are_not_touched(attempts: int) -> None:
    clock = VirtualClock(autojump=True)
    wire, what = Keys(clock, [failure()] if attempts > 1 else []), keyed(OPTIONAL, attempts=attempts)
    metadata = grpc.aio.Metadata(("idempotency-key", "mine"), ("other", "1"))
    call = Call(what, "request", metadata=metadata)
    await pipeline(clock).handler(what, wire)(call)
    assert wire.keys == [["mine"]] * min(attempts, 2)
    assert call.metadata is metadata
    assert (call.idempotency_key, call.key_is_made) == ("mine", False)


async def test_a_key_that_is_made_goes_into_other_metadata_than_the_callers() -> None:
    clock = VirtualClock(autojump=True)
    wire, what = Keys(clock), keyed(REQUIRED)
    metadata = grpc.aio.Metadata(("other", "1"))
    await pipeline(clock).handler(what, wire)(Call(what, "request", metadata=metadata))
    assert list(metadata) == [("other", "1")]
    assert wire.keys == [["key-1"]]


@pytest.mark.parametrize("keys", [["a", "b"], [""], ["with space"], ["k" * 256]])
async def test_a_callers_key_that_is_none_is_refused_before_anything_is_sent(keys: list[str]) -> None:
    clock = VirtualClock(autojump=True)
    wire, what = Keys(clock), keyed(REQUIRED)
    call = Call(what, "request", metadata=tuple(("idempotency-key", key) for key in keys))
    outcome = await pipeline(clock).handler(what, wire)(call)
    assert isinstance(outcome.error, InvalidIdempotencyKey)
    assert outcome.error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert kit.report(outcome.error).attempts == ()
    assert wire.keys == []


async def test_no_attempt_comes_later_than_the_ttl_whatever_the_server_asks_for() -> None:
    clock = VirtualClock(autojump=True)
    policy = kit.MethodPolicy(per_try_timeout=1.0, idempotency_key=kit.IdempotencyKeyPolicy(mode=REQUIRED, ttl=20.0))
    what = method(safe=False, policy=policy)
    wire = Keys(clock, [failure(), failure(pushback="60000")])
    outcome = await pipeline(clock).handler(what, wire)(Call(what, "request"))
    assert outcome.error is not None
    assert kit.report(outcome.error).stop_reason == "DEADLINE"
    assert wire.started == [0.0, 1.0]
    assert wire.until == [1020.0, 1020.0]


async def test_keys_are_uuids_that_differ() -> None:
    clock = VirtualClock(autojump=True)
    wire, what = Keys(clock), keyed(REQUIRED)
    handler = Pipeline([IdempotencyKeyLayer(clock)]).handler(what, wire)
    for _ in range(2):
        await handler(Call(what, "request"))
    [first], [second] = wire.keys
    assert first != second
    assert uuid.UUID(str(first)).version == 4


def test_the_layer_is_not_there_where_nothing_is_declared() -> None:
    assert "idempotency key" not in pipeline(VirtualClock()).describe(method())
    assert "idempotency key" in pipeline(VirtualClock()).describe(keyed(OPTIONAL, attempts=1))
    assert policy_for("/test.Service/Do").idempotency_key is None
