"""A breaker of the kit that is an `aiobreaker.CircuitBreaker` to the outside.

What decides is `kit.resilience.breaker`. This class drives it, and shows what it does in aiobreaker's terms:
listeners, storages, exclusions, `open()`, `half_open()`, `close()`, `call`, `call_async` and the decorator work as they
were written for aiobreaker. RPCs go by `admit` and `settle`, which the breaker layer calls.

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
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import aiobreaker
import grpc
from aiobreaker.state import CircuitBreakerState
from aiobreaker.storage.memory import CircuitMemoryStorage

from kit.clock import SYSTEM, Clock
from kit.errors import CallRefused, UsageError
from kit.layers._aiobreaker_terms import CircuitOpenError, delta, is_excluded, local, state_objects, utc
from kit.layers._on_bus import tell_change
from kit.layers._storage_later import StorageMadeLater
from kit.layers._storage_mirror import Shown, StorageMirror
from kit.layers._watched import watch
from kit.resilience.breaker import Breaker, Cause, Permit, Refusal, Snapshot, State
from kit.resilience.breaker_rules import BreakerKind, BreakerRules, Verdict, classify

__all__ = ["CircuitBreaker", "CircuitOpenError"]

log = logging.getLogger("kit.client")


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
        self._states = state_objects(self)
        self._state = self._states[CircuitBreakerState.CLOSED]
        storage = CircuitMemoryStorage(CircuitBreakerState.CLOSED) if state_storage is None else state_storage
        super().__init__(exclude=exclude, state_storage=storage, name=name)
        self._mirror = StorageMirror(storage)
        self._mirrored = 0
        self._opened_at: datetime | None = None
        if type(storage) is CircuitMemoryStorage and storage.state is not CircuitBreakerState.CLOSED:
            self.state = storage.state
        elif type(storage) is StorageMadeLater:
            # It is made for this breaker: what it holds from an earlier life is gone.
            self._show(always=True)
        # From here on: that it starts in a state is no change of state.
        self.add_listeners(*(listeners or ()))

    # What the breaker layer calls.

    def admit(self, func: Any, /, *args: Any, **kwargs: Any) -> Permit | Refusal:
        """Leave for one call of `func`, or why there is none. Listeners are told of calls that are admitted."""
        answer = self.machine.admit(self._now())
        self._publish()
        if self._listeners and type(answer) is Permit:
            self._tell("before_call", func, *args, **kwargs)
        return answer

    def permit_if_closed(self, now: float) -> Permit | None:
        """The same where there is nothing to decide and nobody to tell; None where `admit` must be asked."""
        machine = self.machine
        if machine.state is not State.CLOSED or self._listeners:
            return None
        permit = machine.admit(now)
        return permit if type(permit) is Permit else None

    def succeeded(self, permit: Permit, now: float | None = None) -> None:
        """The endpoint works. Of all that settles a permit, only the first counts."""
        if permit.settled:
            return
        permit.success(self._now() if now is None else now)
        machine = self.machine
        if machine.changes or machine.failures_in_a_row != self._mirrored:
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
        self._publish()

    def settle(self, permit: Permit, error: BaseException | None = None) -> None:
        """Settles by how the call ended: None is a success, an exception is judged by `verdict`."""
        if error is None:
            self.succeeded(permit)
        elif self.verdict(error) is Verdict.FAILURE:
            self.failed(permit, error)
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
        try:
            result = func(*args, **kwargs)
        except BaseException as error:
            self.settle(permit, error)
            raise
        return watch(result, partial(self.settle, permit))

    async def call_async(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Awaits what `func` gives; a generator of either kind is given back and counted when it ends."""
        if getattr(func, "_ignore_on_call", False):
            result = func(*args, **kwargs)
            return await result if inspect.isawaitable(result) else result
        permit = self._enter(func, *args, **kwargs)
        try:
            result = func(*args, **kwargs)
            if inspect.isawaitable(result):
                result = await result
        except BaseException as error:
            self.settle(permit, error)
            raise
        return watch(result, partial(self.settle, permit))

    def open(self, *, reason: str = Cause.OPENED_BY_HAND.value, hold: bool = False) -> None:
        """Opens it for `timeout_duration`, or with `hold` until it is closed by hand; an opening that lasts is kept."""
        self.machine.force_open(self._now(), reason, hold=hold)
        self._publish()

    def half_open(self, *, reason: str = Cause.HALF_OPENED_BY_HAND.value) -> None:
        """Lets probes through."""
        self.machine.force_half_open(self._now(), reason)
        self._publish()

    def close(self, *, reason: str = Cause.CLOSED_BY_HAND.value) -> None:
        """Closes it and forgets the failures that it had counted."""
        self.machine.force_close(self._now(), reason)
        self._publish()

    @property
    def state(self) -> Any:
        """The state as an object of aiobreaker's state classes."""
        return self._state

    @state.setter
    def state(self, state: CircuitBreakerState) -> None:
        {
            CircuitBreakerState.OPEN: self.open,
            CircuitBreakerState.HALF_OPEN: self.half_open,
            CircuitBreakerState.CLOSED: self.close,
        }[state]()

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
        return local(self._clock.wall() + left) if left else None

    @property
    def time_until_open(self) -> timedelta | None:
        """Time until then, or None."""
        left = self.snapshot().time_to_half_open
        return delta(left) if left else None

    async def sleep_until_open(self) -> None:
        """Returns when probes are let through; at once where they are already."""
        await self._clock.sleep(self.snapshot().time_to_half_open or 0.0)

    def is_system_error(self, exception: BaseException) -> bool:
        """Whether an exception is none of the excluded ones. An exclusion that raises excludes nothing."""
        return not is_excluded(exception, self._excluded_exceptions)

    def _create_new_state(self, new_state: CircuitBreakerState, prev_state: Any = None, notify: bool = False) -> Any:
        return self._states[new_state]

    def _enter(self, func: Any, /, *args: Any, **kwargs: Any) -> Permit:
        answer = self.admit(func, *args, **kwargs)
        if isinstance(answer, Permit):
            return answer
        left = answer.time_until_half_open
        message = f"{self._label()} is {self.current_state.name}: {answer.reason}"
        raise CircuitOpenError(message, local(self._clock.wall() + left), self._clock, self._now() + left)

    def _publish(self) -> None:
        """Shows each change in turn, so that a listener finds the state that it is told of."""
        self._show()
        changes = self.machine.changes
        # One by one: a listener may move the breaker itself, and what it does then comes after this.
        while changes:
            change = changes.popleft()
            old, self._state = self._state, self._states[CircuitBreakerState[change.new.name]]
            level = logging.ERROR if change.new is State.OPEN else logging.INFO
            log.log(level, "%s: %s, %s", self._label(), change.new.name, change.reason)
            if self._clock is SYSTEM:
                tell_change(self.name or "", change)
            if change.new is State.OPEN:
                self._opened_at = utc(self._clock.wall() - (self._now() - change.at))
            self._show(always=True)
            self._tell("state_change", old, self._state)

    def _show(self, *, always: bool = False) -> None:
        """Mirrors the state and the failures in a row, where they are others than before."""
        machine = self.machine
        if not always and machine.failures_in_a_row == self._mirrored:
            return
        self._mirrored = machine.failures_in_a_row
        self._mirror.show(Shown(self.current_state, self._mirrored, self._opened_at))

    def _tell(self, what: str, /, *args: Any, **kwargs: Any) -> None:
        for listener in self.listeners:
            try:
                getattr(listener, what)(self, *args, **kwargs)
            except Exception:
                log.exception("%s: the listener %r raised in %s", self._label(), listener, what)

    def _label(self) -> str:
        return f"circuit breaker {self.name}" if self.name else "circuit breaker"
