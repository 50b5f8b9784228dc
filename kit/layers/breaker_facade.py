"""A breaker of the kit that is an `aiobreaker.CircuitBreaker` to the outside.

What decides is `kit.resilience.breaker`. This class drives it, and shows what it does in aiobreaker's terms: listeners,
storages, exclusions, `open()`, `half_open()`, `close()`, `call`, `call_async` and the decorator work as they were written
for aiobreaker. RPCs go by `admit` and `settle`, which the breaker layer calls.

What differs from aiobreaker, and why:

- it closes after `success_threshold` successes (default 3), not after any one, and lets that many probes out at a time
- a caller's own fault (`exclude`, and the neutral statuses of gRPC) and a cancellation count as nothing, not as success
- the call that opens it raises what it failed with; only calls that are refused raise `CircuitBreakerError`
- coroutines, generators and async generators are counted when they end
- a listener that raises is logged, and changes nothing
- time is monotonic; the datetimes that aiobreaker's interface has are made from it when they are asked for
- the storage shows this breaker and does not steer it; a memory storage's first state is taken over
"""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import aiobreaker
import grpc
from aiobreaker.state import CircuitBreakerState, CircuitClosedState, CircuitHalfOpenState, CircuitOpenState
from aiobreaker.storage.memory import CircuitMemoryStorage

from kit.clock import SYSTEM, Clock
from kit.errors import CallRefused, UsageError
from kit.layers._storage_mirror import Shown, StorageMirror
from kit.layers._watched import watch_async_generator, watch_coroutine, watch_generator
from kit.resilience.breaker import Breaker, Permit, Refusal, Snapshot, State
from kit.resilience.breaker_rules import BreakerKind, BreakerRules, Verdict, classify

__all__ = ["CircuitBreaker", "CircuitOpenError"]

log = logging.getLogger("kit.client")


class CircuitOpenError(aiobreaker.CircuitBreakerError):  # type: ignore[misc]  # aiobreaker ships no types
    """A call was refused. `reopen_time` is local and without a zone, as aiobreaker has it."""

    def __init__(self, message: str, reopen_time: datetime, clock: Clock = SYSTEM, at: float = 0.0) -> None:
        super().__init__(message, reopen_time)
        self._clock = clock
        self._at = at

    def __str__(self) -> str:
        return str(self.message)

    @property
    def time_remaining(self) -> timedelta:
        """Time until probes are let through; zero when it has passed."""
        return _delta(self._at - self._clock.now())

    async def sleep_until_open(self) -> None:
        """Returns when probes are let through."""
        await self._clock.sleep(self.time_remaining.total_seconds())


class CircuitBreaker(aiobreaker.CircuitBreaker):  # type: ignore[misc]  # aiobreaker ships no types
    """aiobreaker's arguments, by the same names; or `rules` instead of `fail_max` and `timeout_duration`.

    `clock` is where instants come from. Drive it from one event loop.
    """

    def __init__(
        self,
        fail_max: int | None = None,
        timeout_duration: timedelta | None = None,
        exclude: Iterable[Callable[..., Any] | type[Exception]] | None = None,
        listeners: Iterable[Any] | None = None,
        state_storage: Any = None,
        name: str | None = None,
        *,
        rules: BreakerRules | None = None,
        clock: Clock = SYSTEM,
    ) -> None:
        if rules is None:
            usual = BreakerRules()
            rules = BreakerRules(
                failure_threshold=usual.failure_threshold if fail_max is None else fail_max,
                open_for=usual.open_for if timeout_duration is None else timeout_duration.total_seconds(),
            )
        elif fail_max is not None or timeout_duration is not None:
            raise UsageError("rules say what fail_max and timeout_duration would; give one or the other")
        #: What decides. Admit and settle by this class, or listeners and the storage learn nothing.
        self.machine = Breaker(rules)
        self._clock = clock
        self._now = clock.now
        self._states = {
            CircuitBreakerState.CLOSED: _Closed(self),
            CircuitBreakerState.HALF_OPEN: _HalfOpen(self),
            CircuitBreakerState.OPEN: _Open(self),
        }
        self._state = self._states[CircuitBreakerState.CLOSED]
        storage = CircuitMemoryStorage(CircuitBreakerState.CLOSED) if state_storage is None else state_storage
        super().__init__(exclude=exclude, listeners=listeners, state_storage=storage, name=name)
        self._mirror = StorageMirror(storage)
        self._mirrored = 0
        if type(storage) is CircuitMemoryStorage and storage.state is not CircuitBreakerState.CLOSED:
            # Nothing has changed that a listener could be told.
            self._force(storage.state)
            self._state = self._states[storage.state]
            self.machine.take_changes()

    # What the breaker layer calls.

    def admit(self, func: Any, *args: Any, **kwargs: Any) -> Permit | Refusal:
        """Leave for one call of `func`, or why there is none. Listeners are told of calls that are admitted."""
        answer = self.machine.admit(self._now())
        if self.machine.changes:
            self._publish()
        if self._listeners and type(answer) is Permit:
            self._tell("before_call", func, *args, **kwargs)
        return answer

    def succeeded(self, permit: Permit) -> None:
        """The endpoint works. Of all that settles a permit, only the first counts."""
        if permit.settled:
            return
        permit.success(self._now())
        self._show()
        if self.machine.changes:
            self._publish()
        if self._listeners:
            self._tell("success")

    def failed(self, permit: Permit, error: BaseException) -> None:
        """The endpoint does not work."""
        if permit.settled:
            return
        permit.failure(self._now())
        self._show()
        if self._listeners:
            self._tell("failure", error)
        if self.machine.changes:
            self._publish()

    def settle(self, permit: Permit, error: BaseException | None = None) -> None:
        """Settles by how the call ended: None is a success, an exception is judged by `verdict`."""
        if error is None:
            self.succeeded(permit)
            return
        verdict = self.verdict(error)
        if verdict is Verdict.FAILURE:
            self.failed(permit, error)
        elif verdict is Verdict.SUCCESS:
            self.succeeded(permit)
        else:
            permit.ignored()

    def verdict(self, error: BaseException) -> Verdict:
        """What an exception says about the endpoint."""
        if not isinstance(error, Exception) or isinstance(error, CallRefused) or not self.is_system_error(error):
            return Verdict.NEUTRAL
        if isinstance(error, grpc.RpcError) and isinstance(error, grpc.Call | grpc.aio.AioRpcError):
            return classify(error.code().value[0])
        return Verdict.FAILURE

    def ready(self) -> bool:
        """Whether `admit` would give leave; for a pick among endpoints."""
        return self.machine.ready(self._now())

    def snapshot(self) -> Snapshot:
        """What there is to know now."""
        return self.machine.snapshot(self._now())

    def configure(self, rules: BreakerRules) -> None:
        """Works by other rules from now on; the state stays."""
        self.machine.configure(rules)

    # What aiobreaker offers.

    def call(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Calls `func`. A coroutine or generator that it gives is counted when that ends."""
        if getattr(func, "_ignore_on_call", False):
            return func(*args, **kwargs)
        permit = self._enter(func, *args, **kwargs)

        def finish(error: BaseException | None) -> None:
            self.settle(permit, error)

        try:
            result = func(*args, **kwargs)
        except BaseException as error:
            finish(error)
            raise
        if inspect.iscoroutine(result):
            return watch_coroutine(result, finish)
        if inspect.isgenerator(result):
            return watch_generator(result, finish)
        if inspect.isasyncgen(result):
            return watch_async_generator(result, finish)
        finish(None)
        return result

    async def call_async(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Awaits `func`; of an async generator function, gives the generator."""
        result = self.call(func, *args, **kwargs)
        return await result if inspect.isawaitable(result) else result

    def open(self) -> None:
        """Opens it by hand, for `timeout_duration`; nothing where it is open."""
        self.state = CircuitBreakerState.OPEN

    def half_open(self) -> None:
        """Lets probes through."""
        self.state = CircuitBreakerState.HALF_OPEN

    def close(self) -> None:
        """Closes it by hand and forgets the failures counted."""
        self.state = CircuitBreakerState.CLOSED

    @property
    def state(self) -> Any:
        """The state as an object of aiobreaker's state classes."""
        return self._state

    @state.setter
    def state(self, state: CircuitBreakerState) -> None:
        self._force(state)
        self._show()
        self._publish()

    @property
    def current_state(self) -> CircuitBreakerState:
        """The state as a member of aiobreaker's enumeration."""
        return self._state.state

    @property
    def fail_counter(self) -> int:
        """Failures in a row."""
        return self.machine.failures_in_a_row

    @property
    def fail_max(self) -> int:
        """The fewest failures that open it."""
        return self.machine.rules.fewest_failures

    @fail_max.setter
    def fail_max(self, number: int) -> None:
        if self.machine.rules.kind is not BreakerKind.CONSECUTIVE:
            raise UsageError("this breaker opens by a rate, not by a number of failures; use configure()")
        self.configure(replace(self.machine.rules, failure_threshold=number))

    @property
    def timeout_duration(self) -> timedelta:
        """How long it stays open."""
        return timedelta(seconds=self.machine.rules.open_for)

    @timeout_duration.setter
    def timeout_duration(self, timeout: timedelta) -> None:
        self.configure(replace(self.machine.rules, open_for=timeout.total_seconds()))

    @property
    def opens_at(self) -> datetime | None:
        """When probes are let through, local and without a zone as aiobreaker has it; None where they are already."""
        left = self.snapshot().time_to_half_open
        return self._local(left) if left else None

    @property
    def time_until_open(self) -> timedelta | None:
        """Time until then, or None."""
        left = self.snapshot().time_to_half_open
        return _delta(left) if left else None

    async def sleep_until_open(self) -> None:
        """Returns when probes are let through; at once where they are already."""
        await self._clock.sleep(self.snapshot().time_to_half_open or 0.0)

    def is_system_error(self, exception: BaseException) -> bool:
        """Whether an exception is none of the excluded ones. An exclusion that raises excludes nothing."""
        for exclusion in self._excluded_exceptions:
            if isinstance(exclusion, type):
                if isinstance(exception, exclusion):
                    return False
            elif callable(exclusion):
                try:
                    if exclusion(exception):
                        return False
                except Exception:
                    log.exception("breaker %s: the exclusion %r raised", self.name, exclusion)
        return True

    # Inside.

    def _create_new_state(self, new_state: CircuitBreakerState, prev_state: Any = None, notify: bool = False) -> Any:
        return self._states[new_state]

    def _enter(self, func: Any, *args: Any, **kwargs: Any) -> Permit:
        answer = self.admit(func, *args, **kwargs)
        if isinstance(answer, Permit):
            return answer
        left = answer.time_until_half_open
        message = f"circuit breaker {self.name or ''} is {self.current_state.name}: {answer.reason}"
        raise CircuitOpenError(message.replace("  ", " "), self._local(left), self._clock, self._now() + left)

    def _force(self, state: CircuitBreakerState) -> None:
        if state is CircuitBreakerState.OPEN:
            self.machine.force_open(self._now())
        elif state is CircuitBreakerState.HALF_OPEN:
            self.machine.force_half_open(self._now())
        else:
            self.machine.force_close(self._now())

    def _publish(self) -> None:
        """Shows each change in turn, so that a listener finds the state that it is told of."""
        for change in self.machine.take_changes():
            old, self._state = self._state, self._states[CircuitBreakerState[change.new.name]]
            level = logging.ERROR if change.new is State.OPEN else logging.INFO
            log.log(level, "breaker %s: %s, %s", self.name, change.new.name, change.reason)
            self._show(always=True)
            self._tell("state_change", old, self._state)

    def _show(self, *, always: bool = False) -> None:
        """Mirrors the state and the failures in a row, where they are others than before."""
        machine = self.machine
        if not always and machine.failures_in_a_row == self._mirrored:
            return
        self._mirrored = machine.failures_in_a_row
        opened_at = None
        if machine.opened_at is not None:
            wall = self._clock.wall() - (self._now() - machine.opened_at)
            opened_at = datetime.fromtimestamp(wall, UTC).replace(tzinfo=None)
        self._mirror.show(Shown(self.current_state, self._mirrored, opened_at))

    def _tell(self, what: str, *args: Any, **kwargs: Any) -> None:
        for listener in self.listeners:
            try:
                getattr(listener, what)(self, *args, **kwargs)
            except Exception:
                log.exception("breaker %s: the listener %r raised in %s", self.name, listener, what)

    def _local(self, seconds: float) -> datetime:
        try:
            return datetime.fromtimestamp(self._clock.wall() + seconds, UTC).astimezone().replace(tzinfo=None)
        except (OverflowError, ValueError):
            return datetime.max  # noqa: DTZ901 - without a zone, as all of them


def _delta(seconds: float) -> timedelta:
    return timedelta.max if seconds == math.inf else timedelta(seconds=max(0.0, seconds))


class _Driven:
    """A state through which somebody calls goes the breaker's own way."""

    _breaker: CircuitBreaker

    def before_call(self, func: Any, *args: Any, **kwargs: Any) -> None:
        pass

    def call(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return self._breaker.call(func, *args, **kwargs)

    async def call_async(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await self._breaker.call_async(func, *args, **kwargs)


class _Closed(_Driven, CircuitClosedState):  # type: ignore[misc]  # aiobreaker ships no types
    pass


class _HalfOpen(_Driven, CircuitHalfOpenState):  # type: ignore[misc]
    pass


class _Open(_Driven, CircuitOpenState):  # type: ignore[misc]
    pass
