"""`kit.testing.InProcess` hands what it is given on to its channel."""

from __future__ import annotations

import aiobreaker
import grpc
import pytest

import kit
from kit.client import ChannelEvent, Health, WarmedUp
from kit.errors import CallFailed, UsageTypeError
from kit.testing import Fault, InProcess
from tests.integration.client.caring import eventually
from tests.integration.client.echo import UNARY, Echo, EchoStub, add_echo, text


class Told(aiobreaker.CircuitBreakerListener):  # type: ignore[misc]  # aiobreaker ships no types
    """Hears of failures."""

    def __init__(self) -> None:
        self.failures = 0

    def failure(self, breaker: object, error: BaseException) -> None:
        self.failures += 1


async def test_its_channel_gets_listeners_events_and_health_checks() -> None:
    listener, seen = Told(), list[ChannelEvent]()
    policy = kit.MethodPolicy(breaker=kit.BreakerPolicy(failure_threshold=5))
    health = kit.HealthCheck(interval=0.1)
    async with InProcess(
        Echo(), add_echo, policy=policy, breaker_listeners=[listener], on_event=seen.append, warm_up=True, health=health
    ) as process:
        process.faults.script(UNARY, [Fault(code=grpc.StatusCode.INTERNAL)])
        with pytest.raises(CallFailed):
            await EchoStub(process.channel).Unary(text())
        assert listener.failures == 1
        await eventually(lambda: any(isinstance(event, WarmedUp) for event in seen))
        await eventually(lambda: process.channel.statistics().endpoints[0].health is Health.HEALTHY)


async def test_options_are_those_of_its_channel() -> None:
    options = [("grpc.max_receive_message_length", 10)]
    async with InProcess(Echo(), add_echo, options=options) as process:
        with pytest.raises(CallFailed) as failure:
            await EchoStub(process.channel).Unary(text("more than ten bytes"))
    assert failure.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_what_a_channel_does_not_take_is_refused_at_once() -> None:
    with pytest.raises(UsageTypeError, match="no on_events; for its channel it takes breaker_listeners"):
        InProcess(Echo(), add_echo, on_events=print)  # type: ignore[call-arg]


async def test_a_channel_that_is_refused_leaves_no_server() -> None:
    process = InProcess(Echo(), add_echo, warm_up="yes")  # type: ignore[arg-type]
    with pytest.raises(UsageTypeError, match="warm_up='yes'"):
        await process.__aenter__()
    async with kit.channel(process.address) as channel:
        with pytest.raises(kit.errors.NoEndpoint):
            await channel.wait_for_healthy(0.1)
