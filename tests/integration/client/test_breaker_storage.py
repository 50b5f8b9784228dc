"""Storages of aiobreaker that a channel's breakers are shown in."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Any

import grpc
import grpc.aio
import pytest
from aiobreaker.state import CircuitBreakerState
from aiobreaker.storage.base import CircuitBreakerStorage

import kit
from kit.errors import BreakerOpen, CallFailed, UsageTypeError
from kit.testing import Fault, InProcess
from tests.integration.client.caring import eventually
from tests.integration.client.echo import DOWN, UNARY, Echo, EchoStub, add_echo, text

POLICY = kit.MethodPolicy(
    retry=kit.RetryPolicy(max_attempts=1), breaker=kit.BreakerPolicy(failure_threshold=2, open_for=60.0)
)
UNAVAILABLE = Fault(code=grpc.StatusCode.UNAVAILABLE)


class Stored(CircuitBreakerStorage):  # type: ignore[misc]  # aiobreaker ships no types
    """Holds what it is given, or raises."""

    def __init__(self, *, broken: bool = False) -> None:
        super().__init__("stored")
        self.broken = broken
        self.threads: set[str] = set()
        self.held: dict[str, Any] = {}

    def _hold(self, name: str, value: Any) -> None:
        self.threads.add(threading.current_thread().name)
        if self.broken:
            raise ConnectionError("nobody holds anything")
        self.held[name] = value

    @property
    def state(self) -> CircuitBreakerState:
        raise AssertionError("nobody reads it")

    @state.setter
    def state(self, state: CircuitBreakerState) -> None:
        self._hold("state", state.name)

    @property
    def counter(self) -> int:
        raise AssertionError("nobody reads it")

    def increment_counter(self) -> None:
        self._hold("counter", self.held["counter"] + 1)

    def reset_counter(self) -> None:
        self._hold("counter", 0)

    @property
    def opened_at(self) -> datetime:
        raise AssertionError("nobody reads it")

    @opened_at.setter
    def opened_at(self, opened_at: datetime) -> None:
        self._hold("opened_at", opened_at)


class Factory:
    """Makes storages and remembers for whom."""

    def __init__(self, make: Callable[[], Any] = Stored) -> None:
        self._make = make
        self.made: list[tuple[str, Any]] = []

    def __call__(self, address: str) -> Any:
        self.made.append((address, None))
        storage = self._make()
        self.made[-1] = (address, storage)
        return storage

    def states(self) -> list[Any]:
        return [None if storage is None else storage.held.get("state") for _, storage in self.made]


@pytest.fixture(params=["kit.channel", "stock"])
async def opened(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    """Opens a channel, whose breakers are stored by a factory, to a server of its own."""
    async with AsyncExitStack() as stack:

        async def start(factory: Any, policy: Any = POLICY) -> tuple[EchoStub, InProcess, str]:
            process = InProcess(Echo(), add_echo, policy=policy, breaker_storage=factory)
            await stack.enter_async_context(process)
            if request.param == "kit.channel":
                return EchoStub(process.channel), process, process.address
            interceptors = kit.client_interceptors(policy=policy, breaker_storage=factory)
            channel = grpc.aio.insecure_channel(process.address, interceptors=interceptors)
            await stack.enter_async_context(channel)
            return EchoStub(channel), process, ""

        yield start


async def opened_by_failures(stub: EchoStub, process: InProcess) -> None:
    process.faults.script(UNARY, [UNAVAILABLE] * 2)
    for _ in range(2):
        with pytest.raises(CallFailed):
            await stub.Unary(text())
    with pytest.raises(BreakerOpen):
        await stub.Unary(text())


async def test_a_breaker_is_shown_in_the_storage_that_is_made_for_its_endpoint(opened: Any) -> None:
    factory = Factory()
    stub, process, address = await opened(factory)
    await stub.Unary(text())
    await eventually(lambda: factory.states() == ["CLOSED"])
    await opened_by_failures(stub, process)
    await eventually(lambda: factory.states() == ["OPEN"])
    [(whose, storage)] = factory.made
    assert whose == address
    assert storage.held["counter"] == 2
    assert isinstance(storage.held["opened_at"], datetime)
    assert storage.threads == {"kit-breaker-storage"}


async def test_each_of_two_breakers_at_one_endpoint_is_given_a_storage_of_its_own(opened: Any) -> None:
    factory = Factory()
    other = kit.MethodPolicy(breaker=kit.BreakerPolicy(failure_threshold=4))
    stub, process, address = await opened(factory, {UNARY: POLICY, DOWN: other})
    assert [message async for message in stub.Down(text("ab"))]
    await eventually(lambda: factory.states() == ["CLOSED"])
    await opened_by_failures(stub, process)
    await eventually(lambda: factory.states() == ["CLOSED", "OPEN"])
    assert [whose for whose, _ in factory.made] == [address, address]


async def test_a_storage_that_raises_harms_no_call_and_is_logged(opened: Any, caplog: pytest.LogCaptureFixture) -> None:
    stub, process, _ = await opened(Factory(lambda: Stored(broken=True)))
    await opened_by_failures(stub, process)
    await eventually(lambda: "nobody holds anything" in caplog.text)
    assert "could not be written" in caplog.text


@pytest.mark.parametrize(
    ("fails", "words"), [(lambda: 1 / 0, "division by zero"), (lambda: None, "gave None, which is no aiobreaker.")]
)
async def test_a_factory_that_fails_harms_no_call_and_is_asked_again(
    opened: Any, caplog: pytest.LogCaptureFixture, fails: Callable[[], Any], words: str
) -> None:
    answers: list[Callable[[], Any]] = [fails]

    def make() -> Any:
        return answers.pop()() if answers else Stored()

    factory = Factory(make)
    stub, process, address = await opened(factory)
    await stub.Unary(text())
    await eventually(lambda: words in caplog.text)
    await opened_by_failures(stub, process)
    await eventually(lambda: factory.states()[1:] == ["OPEN"])
    assert f"storage of {address or 'the channel'}" in caplog.text


async def test_a_factory_that_takes_its_time_holds_up_nobody(opened: Any) -> None:
    free = threading.Event()

    def slow() -> Stored:
        assert free.wait(10)
        return Stored()

    factory = Factory(slow)
    stub, process, _ = await opened(factory)
    try:
        await stub.Unary(text())
        await opened_by_failures(stub, process)
        assert factory.states() in ([], [None])
    finally:
        free.set()
    await eventually(lambda: factory.states() == ["OPEN"])


async def test_a_factory_is_asked_for_nothing_where_no_breaker_is_declared(opened: Any) -> None:
    factory = Factory()
    stub, _, _ = await opened(factory, None)
    await stub.Unary(text())
    assert factory.made == []


async def test_what_makes_no_storages_is_refused_with_what_to_give() -> None:
    async def later(address: str) -> Stored:
        return Stored()

    given: Any
    for given in (Stored(), "redis://", later):
        for make in (lambda **more: kit.channel("127.0.0.1:1", **more), kit.client_interceptors):
            with pytest.raises(UsageTypeError, match="give a plain function from an endpoint's address"):
                make(breaker_storage=given)
