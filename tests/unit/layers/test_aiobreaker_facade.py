"""What aiobreaker 1.2.0 does wrong must not be seen through the kit's breaker; what it does right must."""

from __future__ import annotations

import abc
import asyncio
import gc
import logging
import pickle
import threading
import warnings
from collections.abc import AsyncGenerator, Generator
from datetime import UTC, datetime, timedelta
from typing import Any

import aiobreaker
import grpc
import grpc.aio
import pytest
from aiobreaker.state import CircuitBreakerState, CircuitClosedState, CircuitHalfOpenState, CircuitOpenState
from aiobreaker.storage.base import CircuitBreakerStorage
from aiobreaker.storage.memory import CircuitMemoryStorage

from kit.errors import CallRefused, DeadlineExpired, UsageError
from kit.layers import _storage_mirror
from kit.layers._storage_mirror import Shown, StorageMirror
from kit.layers.breaker_facade import CircuitBreaker, CircuitOpenError
from kit.resilience.breaker import Permit, Refusal
from kit.resilience.breaker_rules import BreakerKind, BreakerRules
from kit.testing import VirtualClock

OPEN, HALF_OPEN, CLOSED = CircuitBreakerState.OPEN, CircuitBreakerState.HALF_OPEN, CircuitBreakerState.CLOSED
ONE_PROBE = BreakerRules(failure_threshold=2, success_threshold=1, half_open_permits=1)


class Listener(aiobreaker.CircuitBreakerListener):  # type: ignore[misc]  # aiobreaker ships no types
    """As somebody wrote it for aiobreaker."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def before_call(self, breaker: Any, func: Any, *args: Any, **kwargs: Any) -> None:
        self.heard.append(("before_call", func.__name__, args, kwargs))

    def failure(self, breaker: Any, exception: BaseException) -> None:
        self.heard.append(("failure", breaker.fail_counter, breaker.current_state.name))

    def success(self, breaker: Any) -> None:
        self.heard.append(("success", breaker.current_state.name))

    def state_change(self, breaker: Any, old: Any, new: Any) -> None:
        assert breaker.state is new
        self.heard.append((old.state.name, new.state.name))


class RedisLike(CircuitBreakerStorage):  # type: ignore[misc]  # aiobreaker ships no types
    """A storage that blocks whoever writes until the test lets it go on."""

    def __init__(self, *, blocked: bool = False) -> None:
        super().__init__("redis-like")
        self.free = threading.Event()
        self.wrote = threading.Semaphore(0)
        self.threads: set[str] = set()
        self.values: dict[str, Any] = {"state": CLOSED, "counter": 7, "opened_at": None}
        self.broken = False
        if not blocked:
            self.free.set()

    def _write(self, name: str, value: Any) -> None:
        assert self.free.wait(10)
        self.threads.add(threading.current_thread().name)
        if self.broken:
            raise ConnectionError("no redis")
        self.values[name] = value
        if name == "state":
            self.wrote.release()

    @property
    def state(self) -> CircuitBreakerState:
        raise AssertionError("reading it would block")

    @state.setter
    def state(self, state: CircuitBreakerState) -> None:
        self._write("state", state)

    @property
    def counter(self) -> int:
        raise AssertionError("reading it would block")

    def increment_counter(self) -> None:
        self._write("counter", self.values["counter"] + 1)

    def reset_counter(self) -> None:
        self._write("counter", 0)

    @property
    def opened_at(self) -> datetime:
        raise AssertionError("reading it would block")

    @opened_at.setter
    def opened_at(self, date_time: datetime) -> None:
        self._write("opened_at", date_time)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


def state_of(breaker: CircuitBreaker) -> CircuitBreakerState:
    return breaker.current_state


def boom(message: str = "boom") -> None:
    raise ConnectionError(message)


async def boom_async() -> None:
    raise ConnectionError("boom")


def fine(value: int = 1) -> int:
    return value


async def fine_async(value: int = 1) -> int:
    return value


def fail(breaker: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        with pytest.raises(ConnectionError):
            breaker.call(boom)


async def settled(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


# The defects, in the order of the list.


async def test_of_a_hundred_concurrent_half_open_callers_only_the_probes_are_admitted(clock: VirtualClock) -> None:
    breaker = CircuitBreaker(clock=clock)
    breaker.half_open()
    calls = [asyncio.create_task(breaker.call_async(clock.sleep, 1.0)) for _ in range(100)]
    await clock.advance(1.0)
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(answer, CircuitOpenError) for answer in answers) == 97
    assert state_of(breaker) is CLOSED


async def test_a_stale_half_open_success_does_not_close_an_open_breaker(clock: VirtualClock) -> None:
    breaker = CircuitBreaker(rules=ONE_PROBE, clock=clock)
    breaker.half_open()
    probe = asyncio.create_task(breaker.call_async(clock.sleep, 1.0))
    await settled()
    breaker.open()
    await clock.advance(1.0)
    await probe
    assert state_of(breaker) is OPEN


async def test_a_late_success_does_not_zero_the_counter_while_open(clock: VirtualClock) -> None:
    breaker = CircuitBreaker(fail_max=2, clock=clock)
    late = asyncio.create_task(breaker.call_async(clock.sleep, 1.0))
    await settled()
    fail(breaker, 2)
    await clock.advance(1.0)
    await late
    assert (breaker.fail_counter, state_of(breaker)) == (2, OPEN)


async def test_five_failures_in_flight_write_opened_at_once(clock: VirtualClock) -> None:
    storage = CircuitMemoryStorage(CLOSED)
    breaker = CircuitBreaker(fail_max=1, state_storage=storage, clock=clock)

    async def fails_after(seconds: float) -> None:
        await clock.sleep(seconds)
        boom()

    flight = [asyncio.create_task(breaker.call_async(fails_after, float(second))) for second in range(1, 6)]
    await clock.advance(1.0)
    first = storage.opened_at
    await clock.advance(10.0)
    await asyncio.gather(*flight, return_exceptions=True)
    assert storage.opened_at == first == datetime.fromtimestamp(clock.wall() - 10, UTC).replace(tzinfo=None)
    assert breaker.time_until_open == timedelta(seconds=50)


def test_excluded_errors_do_not_count_as_success(clock: VirtualClock) -> None:
    heard = Listener()
    breaker = CircuitBreaker(fail_max=2, exclude=[KeyError], listeners=[heard], clock=clock)
    fail(breaker, 1)
    with pytest.raises(KeyError):
        breaker.call({}.__getitem__, "x")
    assert breaker.fail_counter == 1
    assert ("success", "CLOSED") not in heard.heard
    breaker = CircuitBreaker(rules=ONE_PROBE, exclude=[lambda error: "not me" in str(error)], clock=clock)
    breaker.half_open()
    with pytest.raises(ConnectionError):
        breaker.call(boom, "not me")
    assert state_of(breaker) is HALF_OPEN
    assert breaker.ready()


async def test_a_cancelled_probe_gives_its_permit_back(clock: VirtualClock) -> None:
    breaker = CircuitBreaker(rules=ONE_PROBE, clock=clock)
    breaker.half_open()
    probe = asyncio.create_task(breaker.call_async(clock.sleep, 1.0))
    await settled()
    assert not breaker.ready()
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    assert breaker.ready()
    assert await breaker.call_async(fine_async) == 1
    assert state_of(breaker) is CLOSED


async def test_the_call_that_opens_it_raises_what_it_failed_with(clock: VirtualClock) -> None:
    breaker = CircuitBreaker(fail_max=1, clock=clock)
    error = grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), details="gone")

    async def rpc() -> None:
        raise error

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await breaker.call_async(rpc)
    assert caught.value is error
    assert state_of(breaker) is OPEN
    breaker.half_open()
    with pytest.raises(ConnectionError):
        breaker.call(boom)
    assert state_of(breaker) is OPEN


async def test_async_generators_are_counted_when_they_end(clock: VirtualClock) -> None:
    breaker = CircuitBreaker(fail_max=1, clock=clock)

    @breaker
    async def numbers(fails: bool) -> AsyncGenerator[int, str]:
        yield 1
        if fails:
            boom()
        yield 2

    assert [number async for number in numbers(False)] == [1, 2]
    assert breaker.snapshot().successes == 1
    stream = numbers(True)
    assert await anext(stream) == 1
    assert state_of(breaker) is CLOSED
    with pytest.raises(ConnectionError):
        await anext(stream)
    assert state_of(breaker) is OPEN
    with pytest.raises(aiobreaker.CircuitBreakerError):
        numbers(False)


def test_a_timeout_of_zero_is_zero(clock: VirtualClock) -> None:
    breaker = CircuitBreaker(fail_max=1, timeout_duration=timedelta(0), clock=clock)
    assert breaker.timeout_duration == timedelta(0)
    fail(breaker, 1)
    assert breaker.opens_at is None
    assert breaker.call(fine) == 1
    assert state_of(breaker) is HALF_OPEN


def test_a_listener_that_raises_is_logged_and_changes_nothing(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    class Rude(aiobreaker.CircuitBreakerListener):  # type: ignore[misc]
        def before_call(self, *_: Any, **__: Any) -> None:
            raise RuntimeError("rude")

        failure = success = state_change = before_call

    polite = Listener()
    breaker = CircuitBreaker(fail_max=2, listeners=[Rude(), object(), polite], name="search", clock=clock)
    assert breaker.call(fine, 3) == 3
    fail(breaker, 2)
    assert state_of(breaker) is OPEN
    assert polite.heard[-1] == ("CLOSED", "OPEN")
    assert "circuit breaker search: the listener" in caplog.text


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo", "UTC"])
def test_times_are_right_in_every_time_zone(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            breaker = CircuitBreaker(fail_max=1)
            fail(breaker, 1)
            with pytest.raises(aiobreaker.CircuitBreakerError) as caught:
                breaker.call(fine)
            local_now = datetime.now()  # noqa: DTZ005 - what aiobreaker's users compare with
            assert breaker.opens_at is not None
            for opens_at in (breaker.opens_at, caught.value.reopen_time):
                assert timedelta(seconds=50) < opens_at - local_now <= timedelta(seconds=61)
            assert timedelta(seconds=50) < caught.value.time_remaining <= timedelta(seconds=60)
            assert breaker.time_until_open is not None
            stored = breaker._state_storage.opened_at
            assert abs(datetime.now(UTC).replace(tzinfo=None) - stored) < timedelta(seconds=10)
    finally:
        monkeypatch.undo()
        time.tzset()


async def test_a_storage_that_blocks_holds_up_nobody(clock: VirtualClock) -> None:
    storage = RedisLike(blocked=True)
    breaker = CircuitBreaker(fail_max=3, state_storage=storage, name="x", clock=clock)
    fail(breaker, 3)
    assert isinstance(breaker.admit(fine), Refusal)
    assert (breaker.fail_counter, state_of(breaker)) == (3, OPEN)
    storage.free.set()
    # The first write may have been on its way when the breaker opened; the last one always is what is true now.
    while storage.values["state"] is not OPEN:
        assert storage.wrote.acquire(timeout=10)
    assert storage.values["counter"] == 3, "what it held from an earlier life is gone"
    assert storage.values["opened_at"] == datetime.fromtimestamp(clock.wall(), UTC).replace(tzinfo=None)
    assert storage.threads == {"kit-breaker-storage"}


def test_a_storage_that_fails_is_logged_and_written_whole_the_next_time(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Here:
        """Writes at once instead of in a thread."""

        def put(self, mirror: StorageMirror) -> None:
            mirror.write()

    monkeypatch.setattr(_storage_mirror, "_writer", Here())
    storage = RedisLike()
    mirror, seen = StorageMirror(storage), Shown(CLOSED, 2, None)
    mirror.show(seen)
    assert storage.values["counter"] == 2
    storage.broken = True
    mirror.show(seen._replace(counter=3))
    assert "could not be written" in caplog.text
    storage.broken = False
    storage.values |= {"counter": 99, "state": OPEN}
    mirror.show(seen._replace(counter=4))
    assert (storage.values["counter"], storage.values["state"]) == (4, CLOSED)


# What was written for aiobreaker goes on working.


def test_a_listener_hears_what_aiobreaker_would_tell_it_in_that_order(clock: VirtualClock) -> None:
    heard = Listener()
    breaker = CircuitBreaker(rules=ONE_PROBE, listeners=[heard], clock=clock)
    breaker.call(fine, value=2)
    fail(breaker, 2)
    with pytest.raises(aiobreaker.CircuitBreakerError):
        breaker.call(fine)
    breaker.half_open()
    breaker.call(fine, 3)
    assert heard.heard == [
        ("before_call", "fine", (), {"value": 2}),
        ("success", "CLOSED"),
        ("before_call", "boom", (), {}),
        ("failure", 1, "CLOSED"),
        ("before_call", "boom", (), {}),
        ("failure", 2, "CLOSED"),
        ("CLOSED", "OPEN"),
        ("OPEN", "HALF_OPEN"),
        ("before_call", "fine", (3,), {}),
        ("HALF_OPEN", "CLOSED"),
        ("success", "CLOSED"),
    ]
    breaker.remove_listener(heard)
    breaker.call(fine)
    assert len(heard.heard) == 11


def test_a_listener_may_move_the_breaker_itself(clock: VirtualClock) -> None:
    class Impatient(aiobreaker.CircuitBreakerListener):  # type: ignore[misc]
        def state_change(self, breaker: Any, old: Any, new: Any) -> None:
            if new.state is OPEN:
                breaker.half_open()

    heard = Listener()
    breaker = CircuitBreaker(fail_max=1, listeners=[Impatient()], clock=clock)
    breaker.add_listeners(heard)
    fail(breaker, 1)
    assert state_of(breaker) is HALF_OPEN
    assert isinstance(breaker.admit(fine), Permit)


def test_by_hand_it_drives_the_machine(clock: VirtualClock) -> None:
    breaker = CircuitBreaker(clock=clock)
    assert isinstance(breaker.state, CircuitClosedState)
    breaker.open()
    assert isinstance(breaker.state, CircuitOpenState)
    assert isinstance(breaker.admit(fine), Refusal)
    breaker.half_open()
    assert isinstance(breaker.state, CircuitHalfOpenState)
    breaker.close()
    assert isinstance(breaker.admit(fine), Permit)
    breaker.state = OPEN
    assert state_of(breaker) is OPEN
    assert breaker.snapshot().reason == "opened by hand"


async def test_held_open_it_stays_until_a_hand_closes_it(clock: VirtualClock) -> None:
    breaker = CircuitBreaker(clock=clock)
    breaker.open(hold=True, reason="maintenance")
    await clock.advance(1e6)
    assert breaker.time_until_open == timedelta.max
    assert breaker.opens_at == datetime.max  # noqa: DTZ901 - without a zone, as aiobreaker has it
    with pytest.raises(CircuitOpenError, match="circuit breaker is OPEN: maintenance"):
        breaker.call(fine)
    breaker.close(reason="done")
    assert breaker.call(fine) == 1


def test_the_limits_can_be_changed_while_it_runs(clock: VirtualClock) -> None:
    breaker = CircuitBreaker(clock=clock)
    assert (breaker.fail_max, breaker.timeout_duration) == (5, timedelta(seconds=60))
    breaker.fail_max = 1
    breaker.timeout_duration = timedelta(seconds=3)
    fail(breaker, 1)
    assert breaker.time_until_open == timedelta(seconds=3)
    by_rate = CircuitBreaker(rules=BreakerRules(kind=BreakerKind.COUNT_WINDOW, minimum_calls=7), clock=clock)
    assert by_rate.fail_max == 7
    with pytest.raises(UsageError):
        by_rate.fail_max = 3
    with pytest.raises(UsageError):
        CircuitBreaker(fail_max=3, rules=BreakerRules())


async def test_whoever_is_refused_can_wait_and_try_again(clock: VirtualClock) -> None:
    breaker = CircuitBreaker(fail_max=1, name="search", clock=clock)
    fail(breaker, 1)
    with pytest.raises(aiobreaker.CircuitBreakerError) as caught:
        await breaker.call_async(fine_async)
    error = caught.value
    assert str(error) == error.message == "circuit breaker search is OPEN: 1 failure in a row"
    assert error.time_remaining == timedelta(seconds=60)
    clock.shift_wall(-3600.0)
    waiting = asyncio.gather(error.sleep_until_open(), breaker.sleep_until_open())
    await clock.advance(60.0)
    await waiting
    assert error.time_remaining == timedelta(0)
    assert await breaker.call_async(fine_async) == 1
    await breaker.sleep_until_open()
    copied = pickle.loads(pickle.dumps(CircuitOpenError("no", datetime(2030, 1, 1))))  # noqa: DTZ001
    assert str(copied) == "no"


async def test_the_decorator_works_on_functions_and_coroutine_functions(clock: VirtualClock) -> None:
    breaker = CircuitBreaker(fail_max=3, clock=clock)
    sync, coroutine = breaker(boom), breaker(ignore_on_call=True)(boom_async)
    with pytest.raises(ConnectionError):
        sync()
    with pytest.raises(ConnectionError):
        await coroutine()
    assert coroutine.__name__ == "boom_async"
    with pytest.raises(ConnectionError):
        await breaker.call_async(coroutine)
    assert breaker.fail_counter == 3, "decorated and called by it, a call counts once"
    with pytest.raises(ConnectionError):
        breaker.call(CircuitBreaker(clock=clock)(boom))


async def test_a_coroutine_that_call_gives_back_is_counted_when_it_ends(clock: VirtualClock) -> None:
    breaker = CircuitBreaker(fail_max=1, clock=clock)
    assert await breaker.call(fine_async, 4) == 4
    pending = breaker.call(boom_async)
    assert breaker.fail_counter == 0
    with pytest.raises(ConnectionError):
        await pending
    assert state_of(breaker) is OPEN


async def test_any_awaitable_is_awaited_and_counted(clock: VirtualClock) -> None:
    breaker = CircuitBreaker(fail_max=1, clock=clock)
    assert await breaker.call_async(lambda: asyncio.ensure_future(fine_async(5))) == 5
    assert await breaker.call_async(fine, 6) == 6
    with pytest.raises(ConnectionError):
        await breaker.call_async(lambda: asyncio.ensure_future(boom_async()))
    assert state_of(breaker) is OPEN


def test_generators_are_counted_when_they_end_and_hear_what_is_sent(clock: VirtualClock) -> None:
    breaker = CircuitBreaker(fail_max=1, clock=clock)

    @breaker
    def echo() -> Generator[str, str, str]:
        heard = yield "ready"
        while heard != "fail":
            try:
                heard = yield heard
            except KeyError:
                return "returned"
        raise ConnectionError(heard)

    stream = echo()
    assert [next(stream), stream.send("a")] == ["ready", "a"]
    with pytest.raises(StopIteration, match="returned"):
        stream.throw(KeyError())
    assert breaker.snapshot().successes == 1
    assert list(breaker.call(lambda: (number for number in range(3)))) == [0, 1, 2]
    assert breaker.snapshot().successes == 2
    stream = echo()
    next(stream)
    with pytest.raises(ConnectionError):
        stream.send("fail")
    assert state_of(breaker) is OPEN


async def test_an_async_generator_hears_what_is_sent_and_thrown(clock: VirtualClock) -> None:
    breaker = CircuitBreaker(clock=clock)

    async def echo() -> AsyncGenerator[str, str]:
        heard = "ready"
        while True:
            try:
                heard = yield heard
            except KeyError:
                return
            except ValueError:
                heard = "caught"

    stream = await breaker.call_async(echo)
    assert [await anext(stream), await stream.asend("a"), await stream.athrow(ValueError())] == ["ready", "a", "caught"]
    with pytest.raises(StopAsyncIteration):
        await stream.athrow(KeyError())
    assert breaker.snapshot().successes == 1
    stream = await breaker.call_async(echo)
    await anext(stream)
    with pytest.raises(ArithmeticError):
        await stream.athrow(ArithmeticError, ArithmeticError("mine"), None)
    assert (breaker.snapshot().successes, breaker.fail_counter) == (1, 0)


@pytest.mark.parametrize("how", ["closed", "dropped", "never begun"])
async def test_a_stream_that_its_consumer_leaves_gives_its_permit_back(clock: VirtualClock, how: str) -> None:
    breaker = CircuitBreaker(rules=ONE_PROBE, clock=clock)
    breaker.half_open()

    async def numbers() -> AsyncGenerator[int, None]:
        yield 1
        yield 2

    stream = breaker.call(numbers)
    assert not breaker.ready()
    if how != "never begun":
        await anext(stream)
    if how == "closed":
        await stream.aclose()
    del stream
    gc.collect()
    await settled()
    assert breaker.ready()
    assert state_of(breaker) is HALF_OPEN


@pytest.mark.parametrize(
    ("code", "counts"),
    [
        (grpc.StatusCode.UNAVAILABLE, 1),
        (grpc.StatusCode.DEADLINE_EXCEEDED, 1),
        (grpc.StatusCode.NOT_FOUND, 0),
        (grpc.StatusCode.INVALID_ARGUMENT, 0),
        (grpc.StatusCode.CANCELLED, 0),
    ],
)
async def test_a_status_counts_by_what_it_says_of_the_endpoint(
    clock: VirtualClock, code: grpc.StatusCode, counts: int
) -> None:
    breaker = CircuitBreaker(clock=clock)

    async def rpc() -> None:
        raise grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata())

    with pytest.raises(grpc.aio.AioRpcError):
        await breaker.call_async(rpc)
    assert breaker.fail_counter == counts


def test_what_was_refused_here_says_nothing_of_the_endpoint(clock: VirtualClock) -> None:
    breaker = CircuitBreaker(clock=clock)

    def rpc() -> None:
        raise DeadlineExpired("too late")

    with pytest.raises(CallRefused):
        breaker.call(rpc)
    assert breaker.fail_counter == 0


def test_an_exclusion_may_be_a_type_with_a_metaclass_or_raise(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    class Abstract(Exception, metaclass=abc.ABCMeta):  # noqa: N818
        pass

    def raises(_: BaseException) -> bool:
        raise RuntimeError("cannot say")

    breaker = CircuitBreaker(exclude=[Abstract, raises], clock=clock)
    fail(breaker, 1)
    assert breaker.fail_counter == 1, "aiobreaker would exclude everything"
    assert "cannot say" in caplog.text
    assert breaker.excluded_exceptions == (Abstract, raises)
    assert not breaker.is_system_error(Abstract())


def test_a_memory_storage_shows_the_breaker_at_once(clock: VirtualClock) -> None:
    storage = CircuitMemoryStorage(CLOSED)
    breaker = CircuitBreaker(fail_max=2, state_storage=storage, clock=clock)
    fail(breaker, 1)
    assert (storage.counter, storage.state) == (1, CLOSED)
    breaker.call(fine)
    assert storage.counter == 0
    fail(breaker, 2)
    assert (storage.counter, storage.state) == (2, OPEN)
    breaker.close()
    assert (storage.counter, storage.state) == (0, CLOSED)


def test_it_starts_in_the_state_of_its_memory_storage_and_tells_nobody(clock: VirtualClock) -> None:
    heard = Listener()
    breaker = CircuitBreaker(state_storage=CircuitMemoryStorage(OPEN), listeners=[heard], clock=clock)
    assert state_of(breaker) is OPEN
    assert heard.heard == []
    with pytest.raises(aiobreaker.CircuitBreakerError):
        breaker.call(fine)


async def test_calling_through_the_state_object_goes_the_same_way(clock: VirtualClock) -> None:
    breaker = CircuitBreaker(fail_max=1, clock=clock)
    assert breaker.state.call(fine, 2) == 2
    assert await breaker.state.call_async(fine_async, 2) == 2
    fail(breaker, 1)
    breaker.state.before_call(fine)
    with pytest.raises(aiobreaker.CircuitBreakerError):
        breaker.state.call(fine)


def test_the_names_of_arguments_are_the_callers_own(clock: VirtualClock) -> None:
    heard = Listener()
    breaker = CircuitBreaker(listeners=[heard], clock=clock)

    def takes(*, what: int, answer: int) -> int:
        return what + answer

    assert breaker.call(takes, what=1, answer=2) == 3
    assert heard.heard[0] == ("before_call", "takes", (), {"what": 1, "answer": 2})


def test_an_opening_is_an_error_line_and_a_closing_is_not(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    breaker = CircuitBreaker(fail_max=1, name="10.0.0.1:1", clock=clock)
    with caplog.at_level(logging.INFO, "kit.client"):
        fail(breaker, 1)
        breaker.close()
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("ERROR", "circuit breaker 10.0.0.1:1: OPEN, 1 failure in a row"),
        ("INFO", "circuit breaker 10.0.0.1:1: CLOSED, closed by hand"),
    ]


def test_a_second_settlement_of_a_permit_is_heard_by_nobody(clock: VirtualClock) -> None:
    heard = Listener()
    breaker = CircuitBreaker(listeners=[heard], clock=clock)
    permit = breaker.admit(fine)
    assert isinstance(permit, Permit)
    breaker.settle(permit)
    breaker.settle(permit, ConnectionError())
    breaker.settle(permit)
    assert [entry[0] for entry in heard.heard] == ["before_call", "success"]
    assert breaker.fail_counter == 0
