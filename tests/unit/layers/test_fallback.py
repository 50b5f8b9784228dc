"""The fallback layer in virtual time."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.wrappers_pb2 import StringValue

import kit
from kit.errors import BreakerOpen, NoEndpoint, PolicyError
from kit.layers import AttemptLayer, DeadlineLayer, FallbackLayer, IdempotencyKeyLayer, ReportLayer, RetryLayer
from kit.pipeline import Call, Handler, Method, Outcome, Pipeline, Shape
from kit.policy import IdempotencyKeyMode, policy_for
from kit.testing import VirtualClock
from tests.unit.layers.wire import INTERNAL, UNAVAILABLE, failure

DO, OTHER = "/test.Service/Do", "/test.Service/Other"
NOT_FOUND = grpc.StatusCode.NOT_FOUND


def text(value: str = "hello") -> StringValue:
    return StringValue(value=value)


class Service:
    """Two methods, each of which answers from its script, then with the request and its own name."""

    def __init__(self, do: kit.MethodPolicy, other: kit.MethodPolicy | None = None) -> None:
        self.clock = VirtualClock(autojump=True)
        self.script: dict[str, list[grpc.aio.AioRpcError | Outcome | asyncio.Event]] = {DO: [], OTHER: []}
        #: The calls that arrived.
        self.arrived: list[Call] = []
        self.reached = {DO: asyncio.Event(), OTHER: asyncio.Event()}
        self.policy = {DO: do, OTHER: other if other is not None else kit.MethodPolicy()}
        self.pipeline = Pipeline(
            [
                ReportLayer(self.clock),
                DeadlineLayer(self.clock),
                IdempotencyKeyLayer(self.clock, lambda: "made"),
                FallbackLayer(self.clock, self.chain),
                RetryLayer(self.clock, lambda: 0.5),
                AttemptLayer(self.clock),
            ]
        )
        self.method = self._method()
        self.handler = self.chain(self.method)
        self.seconds = 0.0

    def _method(self, shape: Shape = Shape.UNARY_UNARY) -> Method:
        return Method(
            path=DO,
            shape=shape,
            policy=policy_for(DO, self.policy),
            target="test:1",
            request_serializer=StringValue.SerializeToString,
            response_deserializer=StringValue.FromString,
        )

    def chain(self, method: Method) -> Handler:
        return self.pipeline.handler(method, self.answer)

    async def answer(self, call: Call) -> Outcome:
        self.arrived.append(call)
        self.reached[call.method.path].set()
        if self.seconds:
            await self.clock.sleep(self.seconds)
        path = call.method.path
        if self.script[path]:
            step = self.script[path].pop(0)
            if isinstance(step, asyncio.Event):
                await step.wait()
            else:
                return step if isinstance(step, Outcome) else Outcome(error=step)
        return Outcome(text(f"{call.request.value} from {path.rpartition('/')[2]}"))

    async def call(self, request: StringValue | None = None, **more: Any) -> tuple[Outcome, Call]:
        call = Call(self.method, request if request is not None else text(), **more)
        return await self.handler(call), call

    def paths(self) -> list[str]:
        return [call.method.path for call in self.arrived]


def falling_back(**given: Any) -> kit.MethodPolicy:
    return kit.MethodPolicy(fallback=kit.FallbackPolicy(**given))


async def test_the_last_good_answer_to_the_same_request_is_given_with_its_age() -> None:
    service = Service(falling_back(cached_for=60.0))
    await service.call()
    await service.clock.advance(12.34)
    service.script[DO] = [failure()]
    outcome, call = await service.call()
    assert outcome.response == text("hello from Do")
    assert (call.degraded, call.failure) == ("cached 12.3 s old", "UNAVAILABLE: scripted")
    assert (call.code, call.details) == (grpc.StatusCode.OK, "")


async def test_an_answer_that_has_aged_out_is_not_given() -> None:
    service = Service(falling_back(cached_for=60.0))
    await service.call()
    await service.clock.advance(60.5)
    service.script[DO] = [failure()]
    outcome, call = await service.call()
    assert outcome.error is not None
    assert (outcome.error.code(), call.degraded) == (UNAVAILABLE, "")


async def test_answers_are_forgotten_when_no_method_has_a_use_for_them_any_more() -> None:
    service = Service(falling_back(cached_for=60.0))
    for policy, degraded in ((service.method.policy, "cached 0.0 s old"), (policy_for(OTHER, service.policy), "")):
        await service.call()
        service.pipeline.keep([policy])
        service.script[DO] = [failure()]
        _, call = await service.call()
        assert call.degraded == degraded


async def test_each_caller_gets_a_message_of_its_own() -> None:
    service = Service(falling_back(cached_for=60.0))
    first, _ = await service.call()
    first.response.value = "changed"
    service.script[DO] = [failure(), failure()]
    (second, _), (third, _) = await service.call(), await service.call()
    assert second.response == third.response == text("hello from Do")
    assert second.response is not third.response


ALICE = (("authorization", "Bearer alice"),)


@pytest.mark.parametrize(
    ("asked", "shared"),
    [
        ({"metadata": ALICE}, True),
        ({"metadata": grpc.aio.Metadata(*ALICE)}, True),
        ({"metadata": (("traceparent", "00-1"), *ALICE, ("x-request-id", "7"), ("grpc-anything", "1"))}, True),
        ({"metadata": (("authorization", "Bearer bob"),)}, False),
        ({}, False),
        ({"metadata": (*ALICE, ("x-tenant", "other"))}, False),
        ({"metadata": ALICE, "credentials": grpc.access_token_call_credentials("token")}, False),
        ({"metadata": ALICE, "request": text("another")}, False),
    ],
)
async def test_an_answer_is_shared_only_by_the_same_request_of_the_same_caller(
    asked: dict[str, Any], shared: bool
) -> None:
    service = Service(falling_back(cached_for=60.0))
    await service.call(metadata=ALICE)
    service.script[DO] = [failure()]
    _, call = await service.call(**asked)
    assert bool(call.degraded) is shared


async def test_stubs_that_read_answers_otherwise_do_not_share_them() -> None:
    service = Service(falling_back(cached_for=60.0))
    await service.call()
    raw = dataclasses.replace(service.method, response_deserializer=None)
    service.script[DO] = [failure()]
    outcome = await service.chain(raw)(Call(raw, text()))
    assert outcome.error is not None


async def test_calls_with_the_same_call_credentials_share_answers() -> None:
    credentials = grpc.access_token_call_credentials("token")
    service = Service(falling_back(cached_for=60.0))
    await service.call(credentials=credentials)
    service.script[DO] = [failure()]
    _, call = await service.call(credentials=credentials)
    assert call.degraded == "cached 0.0 s old"


@pytest.mark.parametrize("code", [NOT_FOUND, grpc.StatusCode.PERMISSION_DENIED])
async def test_what_the_server_said_of_the_data_or_the_caller_is_not_covered_up_then_or_later(
    code: grpc.StatusCode,
) -> None:
    service = Service(falling_back(cached_for=60.0))
    await service.call()
    service.script[DO] = [failure(code), failure()]
    refused, _ = await service.call()
    assert refused.error is not None
    assert refused.error.code() is code
    later, _ = await service.call()
    assert later.error is not None
    assert later.error.code() is UNAVAILABLE


async def test_a_failure_of_the_server_leaves_the_last_good_answer_where_it_is() -> None:
    service = Service(falling_back(cached_for=60.0))
    await service.call()
    service.script[DO] = [failure(), failure(INTERNAL)]
    for _ in range(2):
        _, call = await service.call()
        assert call.degraded == "cached 0.0 s old"


async def test_the_method_is_asked_with_the_same_request_and_metadata_in_what_is_left_of_the_time() -> None:
    service = Service(falling_back(method="Other"))
    service.seconds = 2.0
    service.script[DO] = [failure()]
    outcome, call = await service.call(timeout=10.0, metadata=(("a", "1"),), wait_for_ready=True)
    assert outcome.response == text("hello from Other")
    assert call.degraded == f"method {OTHER}"
    [asked, other] = service.arrived
    assert service.paths() == [DO, OTHER]
    assert (asked.attempts[-1].timeout, other.attempts[-1].timeout) == (10.0, 8.0)
    assert (other.metadata, other.wait_for_ready) == ((("a", "1"),), True)


async def test_the_method_has_the_whole_chain_of_its_own_policy() -> None:
    retry = kit.RetryPolicy(max_attempts=2, initial_backoff=1.0, jitter=kit.policy.Jitter.NONE)
    own = kit.MethodPolicy(retry=retry, idempotency_level=kit.IdempotencyLevel.IDEMPOTENT, per_try_timeout=3.0)
    service = Service(falling_back(method="Other"), own)
    service.script = {DO: [failure()], OTHER: [failure()]}
    with kit.reports() as seen:
        outcome, _ = await service.call()
    assert outcome.error is None
    assert service.paths() == [DO, OTHER, OTHER]
    assert [(report.method, len(report.attempts), report.degraded) for report in seen] == [
        (OTHER, 2, ""),
        (DO, 1, f"method {OTHER}"),
    ]


async def test_the_method_that_stands_in_may_itself_be_answered_by_its_fallback() -> None:
    service = Service(falling_back(method="Other"), falling_back(default_json='"last resort"'))
    service.script = {DO: [failure()], OTHER: [failure()]}
    outcome, call = await service.call()
    assert outcome.response == text("last resort")
    assert call.degraded == f"method {OTHER}, default"


async def test_when_the_time_is_over_no_other_method_is_asked_but_what_is_here_still_answers() -> None:
    for given, degraded in (({}, ""), ({"cached_for": 60.0}, "cached 4.0 s old"), ({"default_json": "{}"}, "default")):
        service = Service(falling_back(method="Other", **given))
        await service.call()
        service.seconds = 4.0
        service.script[DO] = [failure(grpc.StatusCode.DEADLINE_EXCEEDED)]
        with kit.reports() as seen:
            # A timer may fire a little early.
            _, call = await service.call(timeout=4.001)
        assert call.degraded == degraded
        assert [report.method for report in seen] == [DO]


async def test_a_call_whose_time_was_over_before_it_was_made_is_refused() -> None:
    service = Service(falling_back(default_json="{}"))
    outcome, call = await service.call(timeout=0.0)
    assert outcome.error is not None
    assert (outcome.error.code(), call.degraded) == (grpc.StatusCode.DEADLINE_EXCEEDED, "")


async def test_the_answers_are_tried_in_order_and_the_original_failure_is_what_is_left() -> None:
    service = Service(falling_back(cached_for=60.0, method="Other", default_json='"default"'))
    seen = []
    service.script = {DO: [failure(), failure()], OTHER: [failure(NOT_FOUND)]}
    for _ in range(2):
        outcome, call = await service.call()
        seen.append((outcome.response.value, call.degraded))
    await service.call()
    service.script[DO] = [failure()]
    outcome, call = await service.call()
    seen.append((outcome.response.value, call.degraded))
    assert seen == [
        ("default", "default"),
        ("hello from Other", f"method {OTHER}"),
        ("hello from Do", "cached 0.0 s old"),
    ]
    without = Service(falling_back(cached_for=60.0, method="Other"))
    without.script = {DO: [failure(INTERNAL)], OTHER: [failure(NOT_FOUND)]}
    outcome, call = await without.call()
    assert outcome.error is not None
    assert (outcome.error.code(), call.code, call.degraded) == (INTERNAL, INTERNAL, "")


async def test_what_another_method_said_is_not_kept_as_an_answer_of_this_one() -> None:
    service = Service(falling_back(cached_for=60.0, method="Other"))
    service.script = {DO: [failure(), failure()], OTHER: [Outcome(text("other's")), failure()]}
    await service.call()
    outcome, _ = await service.call()
    assert outcome.error is not None


@pytest.mark.parametrize(
    ("error", "stop"), [(BreakerOpen("open"), "BREAKER_OPEN"), (NoEndpoint("nobody there"), "OFF")]
)
async def test_what_is_refused_here_counts_by_its_status(error: grpc.aio.AioRpcError, stop: str) -> None:
    service = Service(falling_back(default_json="{}"))

    async def refuse(_call: Call) -> Outcome:
        return Outcome(error=error)

    handler = Pipeline([ReportLayer(service.clock), FallbackLayer(service.clock, service.chain)]).handler(
        service.method, refuse
    )
    call = Call(service.method, text())
    outcome = await handler(call)
    assert outcome.response == StringValue()
    assert call.failure.startswith("UNAVAILABLE: ")
    assert call.stop is not None
    assert call.stop.name == stop


async def test_only_the_statuses_that_are_named_have_a_fallback() -> None:
    service = Service(falling_back(default_json="{}", status_codes=[NOT_FOUND]))
    service.script[DO] = [failure(NOT_FOUND), failure()]
    covered, _ = await service.call()
    passed, _ = await service.call()
    assert covered.error is None
    assert passed.error is not None


async def test_the_report_keeps_the_attempts_that_failed_and_why_there_were_no_more() -> None:
    retry = kit.RetryPolicy(max_attempts=2, initial_backoff=1.0, jitter=kit.policy.Jitter.NONE)
    policy = kit.MethodPolicy(
        fallback=kit.FallbackPolicy(default_json="{}"), retry=retry, idempotency_level=kit.IdempotencyLevel.IDEMPOTENT
    )
    service = Service(policy)
    service.script[DO] = [failure(), failure()]
    with kit.reports() as seen:
        await service.call()
    [report] = seen
    assert [attempt.code for attempt in report.attempts] == [UNAVAILABLE] * 2
    assert (report.code, report.stop_reason) == (grpc.StatusCode.OK, "ATTEMPTS_EXHAUSTED")
    assert (report.degraded, report.failure) == ("default", "UNAVAILABLE: scripted")
    assert str(report).endswith("; degraded: default, after UNAVAILABLE: scripted")


async def test_an_attempt_that_failed_is_not_noted_as_good_where_there_are_no_retries() -> None:
    service = Service(falling_back(method="Other"))
    service.script[DO] = [failure()]
    with kit.reports() as seen:
        await service.call()
    assert [attempt.code for attempt in seen[1].attempts] == [UNAVAILABLE]


async def test_a_degraded_answer_is_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    service = Service(falling_back(default_json="{}"))
    service.script[DO] = [failure()]
    with caplog.at_level(logging.INFO, "kit.client"):
        await service.call()
    [line] = [record for record in caplog.records if record.name == "kit.client"]
    fields = vars(line)
    assert (fields["rpc_method"], fields["rpc_degraded"], fields["rpc_code"]) == (DO, "default", "UNAVAILABLE")


async def test_a_key_that_the_kit_has_made_is_not_handed_to_another_method_and_the_callers_is() -> None:
    key = kit.IdempotencyKeyPolicy(mode=IdempotencyKeyMode.REQUIRED)
    service = Service(kit.MethodPolicy(fallback=kit.FallbackPolicy(method="Other"), idempotency_key=key))
    service.script[DO] = [failure(), failure()]
    await service.call(metadata=(("a", "1"),))
    await service.call(metadata=(("idempotency-key", "mine"),))
    keys = [dict(call.metadata).get("idempotency-key") for call in service.arrived]
    assert keys == ["made", None, "mine", "mine"]


@pytest.mark.parametrize("path", [DO, OTHER])
async def test_a_cancellation_passes_and_nothing_answers(path: str) -> None:
    service = Service(falling_back(cached_for=60.0, method="Other", default_json="{}"))
    service.script = {DO: [failure()] if path == OTHER else [asyncio.Event()], OTHER: [asyncio.Event()]}
    with kit.reports() as seen:
        task = asyncio.create_task(service.call())
        await service.reached[path].wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert seen[-1].method == DO
    assert {(report.code, report.degraded) for report in seen} == {(grpc.StatusCode.CANCELLED, "")}


async def test_bytes_are_kept_as_well_and_what_cannot_be_copied_is_not() -> None:
    for response, kept in ((b"raw", True), (object(), False)):
        service = Service(falling_back(cached_for=60.0))
        script: list[Outcome] = [Outcome(response), Outcome(error=failure())]
        plain = dataclasses.replace(service.method, request_serializer=None, response_deserializer=None)

        async def answer(_call: Call, script: list[Outcome] = script) -> Outcome:
            return script.pop(0)

        handler = FallbackLayer(service.clock, service.chain).wrap(plain, answer)
        await handler(Call(plain, b"request"))
        call = Call(plain, b"request")
        outcome = await handler(call)
        assert (outcome.response == response) is kept


@pytest.mark.parametrize("request_serializer", [None, lambda _: 1 / 0])
async def test_a_request_that_is_no_bytes_has_no_answer_kept(request_serializer: Callable[[Any], bytes] | None) -> None:
    service = Service(falling_back(cached_for=60.0))
    plain = dataclasses.replace(service.method, request_serializer=request_serializer)
    script = [Outcome(b"raw"), Outcome(error=failure())]

    async def answer(_call: Call) -> Outcome:
        return script.pop(0)

    handler = FallbackLayer(service.clock, service.chain).wrap(plain, answer)
    await handler(Call(plain, object()))
    assert (await handler(Call(plain, object()))).error is not None


async def test_a_default_is_made_by_the_stubs_own_deserializer() -> None:
    service = Service(falling_back(default_json='"made"'))
    for deserializer, wanted in (
        (StringValue.FromString, text("made")),
        (None, None),
        (len, None),
    ):
        method = dataclasses.replace(service.method, response_deserializer=deserializer)
        layer = FallbackLayer(service.clock, service.chain)
        if wanted is None:
            # Nothing tells what the JSON stands for.
            with pytest.raises(PolicyError, match="nothing tells what the method answers with"):
                layer.wrap(method, service.answer)
        else:
            service.script[DO] = [failure()]
            assert (await layer.wrap(method, service.answer)(Call(method, text()))).response == wanted


async def test_an_empty_default_needs_no_type() -> None:
    service = Service(falling_back(default_json="{}"))
    for deserializer, wanted in ((None, b""), (len, 0)):
        method = dataclasses.replace(service.method, response_deserializer=deserializer)
        service.script[DO] = [failure()]
        handler = FallbackLayer(service.clock, service.chain).wrap(method, service.answer)
        assert (await handler(Call(method, text()))).response == wanted


async def test_on_a_stock_channel_a_default_needs_a_descriptor() -> None:
    service = Service(falling_back(default_json="{}"))
    method = dataclasses.replace(service.method, target="", response_deserializer=None)
    with pytest.raises(PolicyError, match="import its module first"):
        FallbackLayer(service.clock, service.chain).wrap(method, service.answer)


@pytest.mark.parametrize("shape", [Shape.UNARY_STREAM, Shape.STREAM_UNARY, Shape.STREAM_STREAM])
def test_a_stream_that_no_descriptor_shows_is_refused_by_name_and_inherits_nothing(shape: Shape) -> None:
    service = Service(falling_back(default_json="{}"))
    named = dataclasses.replace(service.method, shape=shape)
    with pytest.raises(PolicyError, match="one request and one answer"):
        service.pipeline.describe(named)
    inherited = dataclasses.replace(named, policy=policy_for(DO, falling_back(default_json="{}")))
    assert "fallback" not in service.pipeline.describe(inherited)


def test_the_layer_is_not_there_where_nothing_is_declared() -> None:
    assert "fallback" not in Service(kit.MethodPolicy()).pipeline.describe(Service(kit.MethodPolicy()).method)
    service = Service(falling_back(default_json="{}"))
    assert "fallback" in service.pipeline.describe(service.method)
