"""What is done about a component that has failed."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio
import pytest

from kit.clock import Clock
from kit.errors import ConfigurationError, Internal, KitError, Unavailable
from kit.recovery import NoStrategyError, Recovery, RecoveryState, Restart
from kit.testing import VirtualClock

DOWN = Unavailable("it is down")


class Machine:
    """Restarts that succeed from the `good`-th on, and when they were."""

    def __init__(self, clock: Clock, good: int = 1) -> None:
        self._clock = clock
        self._good = good
        self._began = clock.now()
        self.restarts: list[tuple[str, float]] = []

    async def __call__(self, component: str) -> bool:
        self.restarts.append((component, self._clock.now() - self._began))
        return len(self.restarts) >= self._good


async def test_three_restarts_after_one_two_and_four_seconds_and_then_it_has_failed() -> None:
    clock = VirtualClock(autojump=True)
    machine = Machine(clock, good=99)
    recovery = Recovery([Restart(machine, clock=clock)])
    assert recovery.state("search") is None
    assert await recovery.recover("search", DOWN) is RecoveryState.FAILED
    assert machine.restarts == [("search", 1.0), ("search", 3.0), ("search", 7.0)]
    assert recovery.state("search") is RecoveryState.FAILED


async def test_a_second_recovery_of_what_is_being_recovered_joins_the_first() -> None:
    clock = VirtualClock()
    machine = Machine(clock)
    recovery = Recovery([Restart(machine, clock=clock)])
    first, second, other = (
        asyncio.ensure_future(recovery.recover(name, DOWN)) for name in ("search", "search", "cache")
    )
    await asyncio.sleep(0)
    assert recovery.state("search") is RecoveryState.IN_PROGRESS
    second.cancel()  # which leaves it to the other one
    await clock.advance(1.0)
    assert await first is RecoveryState.COMPLETED
    assert await other is RecoveryState.COMPLETED
    assert sorted(machine.restarts) == [("cache", 1.0), ("search", 1.0)]
    again = asyncio.ensure_future(recovery.recover("search", DOWN))
    await asyncio.sleep(0)
    await clock.advance(1.0)
    assert await again is RecoveryState.COMPLETED
    assert len(machine.restarts) == 3


@pytest.mark.parametrize(
    ("error", "handled"),
    [
        (DOWN, True),
        (ConfigurationError("no port"), True),
        (Internal("a defect"), False),
        (ValueError("a defect"), False),
        (grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata()), True),
        (grpc.aio.AioRpcError(grpc.StatusCode.NOT_FOUND, grpc.aio.Metadata(), grpc.aio.Metadata()), False),
    ],
)
def test_a_restart_is_for_what_is_not_available_or_configured_wrongly(error: Exception, handled: bool) -> None:
    clock = VirtualClock()
    assert Restart(Machine(clock), clock=clock).handles(error) is handled


async def test_an_error_that_no_strategy_handles_is_told_as_one_of_its_own() -> None:
    clock = VirtualClock()
    recovery = Recovery([Restart(Machine(clock), clock=clock)])
    with pytest.raises(NoStrategyError, match="no strategy recovers search from ValueError: a defect") as caught:
        await recovery.recover("search", ValueError("a defect"))
    assert isinstance(caught.value, KitError)
    assert recovery.state("search") is None


async def test_a_strategy_that_raises_has_failed() -> None:
    async def broken(_component: str) -> bool:
        raise OSError("no such program")

    clock = VirtualClock(autojump=True)
    recovery = Recovery([Restart(broken, clock=clock)])
    assert await recovery.recover("search", DOWN) is RecoveryState.FAILED
