"""The hedge layer over streams in virtual time: who goes on, and what happens to the others."""

from __future__ import annotations

import asyncio

import grpc

import kit
from kit.layers import AttemptLayer, HedgeLayer, ReportLayer
from kit.pipeline import Call, Outcome, Pipeline, Shape
from kit.testing import VirtualClock
from tests.unit.layers.wire import UNAVAILABLE, failure, method


class Stream:
    """What is known of grpc's call here."""

    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Streams:
    """An innermost handler: the n-th attempt begins, or fails, after so many seconds, or with an event."""

    def __init__(self, clock: VirtualClock, *seconds: float | asyncio.Event, failing: int = 0) -> None:
        self._clock = clock
        self._seconds = seconds
        self._failing = failing
        self.made: list[Stream] = []
        #: How the layers inside were told that each stream ended.
        self.ended: list[list[grpc.StatusCode]] = []

    async def __call__(self, call: Call) -> Outcome:
        number = len(self.made)
        stream, ended = Stream(), list[grpc.StatusCode]()
        self.made.append(stream)
        self.ended.append(ended)
        call.sent(stream)
        try:
            when = self._seconds[number]
            await (when.wait() if isinstance(when, asyncio.Event) else self._clock.sleep(when))
        except asyncio.CancelledError:
            stream.cancel()
            raise
        if number < self._failing:
            return Outcome(error=failure())
        call.when_ended(lambda code, _details: ended.append(code))
        return Outcome(f"first of {number + 1}")


def hedged(throttled: float | None = None) -> kit.MethodPolicy:
    return kit.MethodPolicy(
        retry=kit.RetryPolicy(max_attempts=1),
        hedging=kit.HedgingPolicy(max_attempts=3, hedging_delay=1.0),
        retry_throttling=None if throttled is None else kit.RetryThrottling(max_tokens=throttled, token_ratio=1.0),
    )


def call_over(clock: VirtualClock, streams: Streams, policy: kit.MethodPolicy) -> tuple[Call, asyncio.Task[Outcome]]:
    what = method(shape=Shape.UNARY_STREAM, policy=policy)
    call = Call(what, "request")
    handler = Pipeline([ReportLayer(clock), HedgeLayer(clock), AttemptLayer(clock)]).handler(what, streams)
    return call, asyncio.ensure_future(handler(call))


async def test_of_two_that_begin_at_the_same_instant_one_goes_on_and_the_other_is_cancelled() -> None:
    clock = VirtualClock()
    go = asyncio.Event()
    streams = Streams(clock, go, go)
    call, task = call_over(clock, streams, hedged())
    await clock.advance(1.0)
    go.set()
    outcome = await task
    await asyncio.sleep(0)
    won = streams.made.index(call.inner)
    assert outcome.response == f"first of {won + 1}"
    assert [stream.cancelled for stream in streams.made] == [number != won for number in range(len(streams.made))]
    [lost] = {0, 1} - {won}
    # What had begun has an end for the layers inside.
    assert (streams.ended[lost], streams.ended[won]) == ([grpc.StatusCode.CANCELLED], [])


async def test_what_the_layers_inside_wanted_at_its_end_happens_at_the_winners_end() -> None:
    clock = VirtualClock()
    streams = Streams(clock, 9.0, 0.5)
    with kit.reports() as seen:
        call, task = call_over(clock, streams, hedged())
        await clock.advance(1.0)
        await clock.advance(0.5)
        await task
        assert call.inner is streams.made[1]
        assert [attempt.code for attempt in call.attempts] == [grpc.StatusCode.CANCELLED, None]
        for tell in call.at_end:
            tell(UNAVAILABLE, "broke off")
    assert streams.ended == [[], [UNAVAILABLE]]
    [report] = seen
    assert [attempt.code for attempt in report.attempts] == [grpc.StatusCode.CANCELLED, UNAVAILABLE]
    assert (report.code, report.stop_reason) == (UNAVAILABLE, "COMMITTED")


async def test_a_stream_throttles_with_how_it_ended_and_not_with_how_it_began() -> None:
    clock = VirtualClock(autojump=True)
    policy = hedged(throttled=2.0)
    what = method(shape=Shape.UNARY_STREAM, policy=policy)
    streams = Streams(clock, 0.1, 0.1, 0.1, failing=2)
    handler = Pipeline([ReportLayer(clock), HedgeLayer(clock), AttemptLayer(clock)]).handler(what, streams)
    outcome = await handler(Call(what, "request"))
    # One failure leaves one token of two, which is not more than half.
    assert outcome.error is not None
    assert kit.report(outcome.error).stop_reason == "THROTTLED"
    assert len(streams.made) == 1


async def test_a_cancelled_race_cancels_what_has_begun_as_well() -> None:
    clock = VirtualClock()
    streams = Streams(clock, 100.0, 100.0, 100.0)
    call, task = call_over(clock, streams, hedged())
    await clock.advance(1.0)
    await clock.advance(1.0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert len(streams.made) == 3
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert all(stream.cancelled for stream in streams.made)
    assert call.code is grpc.StatusCode.CANCELLED
