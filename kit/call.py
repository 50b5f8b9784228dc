"""What surrounds a call: its deadline, which is handed on to every call made inside, and its report.

The deadline and the collectors of reports are context variables: a server sets the deadline of the call that it
serves, the client side reads it. A report is only put together when somebody asks for it or when the call failed.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token, copy_context
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, runtime_checkable

import grpc

from kit.clock import SYSTEM, Clock
from kit.durations import check_seconds
from kit.errors import UsageError, UsageTypeError
from kit.resilience.priority import Priority
from kit.resilience.retry import StopReason

__all__ = [
    "PRIORITY_KEY",
    "Attempt",
    "CallReport",
    "Deadline",
    "Reporting",
    "background",
    "collect",
    "current_priority",
    "deadline",
    "expires_at",
    "priority",
    "report",
    "reports",
    "reset_deadline",
    "served_until",
    "set_deadline",
    "set_priority",
    "timeout",
]


@dataclass(frozen=True, slots=True)
class Deadline:
    """The instant by which the current call must have ended.

    `expires_at` counts on the clock's `now()`; it is infinite when there is no deadline.
    """

    expires_at: float = math.inf
    clock: Clock = field(default=SYSTEM, repr=False, compare=False)
    #: When the call that is being served ends, if there is one: `expires_at` may be nearer, by `kit.timeout`.
    served_until: float = field(default=math.inf, repr=False, compare=False)

    def remaining(self) -> float:
        """Seconds that are left: 0.0 when it has passed, infinite when there is no deadline."""
        return max(0.0, self.expires_at - self.clock.now())

    def expired(self) -> bool:
        """Whether no time is left."""
        return self.expires_at <= self.clock.now()


_NONE = Deadline()
_deadline: ContextVar[Deadline] = ContextVar("kit_deadline", default=_NONE)


def deadline() -> Deadline:
    """The deadline that holds for calls made here; one that never expires when there is none."""
    return _deadline.get()


def expires_at() -> float:
    """The same as a plain number, for the path of a call."""
    return _deadline.get().expires_at


def served_until() -> float:
    """The end of the call that is being served, as a plain number; infinite where none is."""
    return _deadline.get().served_until


def set_deadline(value: Deadline | float | None) -> Token[Deadline]:
    """Sets the deadline of the current context; for a server that starts to serve a call.

    A number is an instant on the system clock's `now()`; None means that there is no deadline. The token undoes it by
    `reset_deadline`; a server that gives each call a context of its own need not.
    """
    if value is None:
        value = _NONE
    elif not isinstance(value, Deadline):
        value = Deadline(value, served_until=value)
    return _deadline.set(value)


def reset_deadline(token: Token[Deadline]) -> None:
    """Undoes `set_deadline`."""
    _deadline.reset(token)


@contextmanager
def timeout(seconds: float, *, clock: Clock | None = None) -> Iterator[Deadline]:
    """Every call made inside ends within `seconds`, or sooner where the deadline around it is nearer.

    It bounds calls only: it does not interrupt other work. Where `seconds` is 0 or less, calls made inside are refused.
    Raises UsageTypeError and UsageValueError for what is no number of seconds.
    """
    check_seconds("seconds", seconds)
    outer = _deadline.get()
    used = clock if clock is not None else outer.clock
    inner = Deadline(min(outer.expires_at, used.now() + seconds), used, outer.served_until)
    token = _deadline.set(inner)
    try:
        yield inner
    finally:
        _deadline.reset(token)


#: Metadata by which a call says how much it matters: "critical", "default" or "sheddable".
PRIORITY_KEY = "kit-priority"
_priority: ContextVar[Priority | None] = ContextVar("kit_priority", default=None)


@contextmanager
def priority(value: Priority) -> Iterator[None]:
    """Says how much the calls that are made inside matter, and those that they lead to.

    The server sheds under overload what matters least. A call matters no more than its method's policy there says,
    unless the server trusts the caller's certificate. A server of the kit hands the priority of a call on by itself.
    Raises UsageTypeError for what is no `kit.Priority`.
    """
    if not isinstance(value, Priority):
        raise UsageTypeError(f"priority must be one of Priority.CRITICAL, DEFAULT, SHEDDABLE, not {value!r}")
    token = _priority.set(value)
    try:
        yield
    finally:
        _priority.reset(token)


#: What calls made here say of themselves; None for nothing. A plain lookup, for the path of a call.
current_priority: Callable[[], Priority | None] = _priority.get


def set_priority(value: Priority) -> None:
    """Says it for the rest of the current context: for a server, which gives each call one of its own."""
    _priority.set(value)


_T = TypeVar("_T")


def background(work: Coroutine[object, object, _T], *, name: str | None = None) -> asyncio.Task[_T]:
    """Starts work that outlives the call that asks for it, as a task; keep a reference to it.

    A task that a handler makes with `asyncio.create_task` inherits the handler's deadline, and every call that it makes
    after that instant is refused. This one has no deadline and its calls are in nobody's `reports()`; it stays in the
    call's trace.
    """
    if not asyncio.iscoroutine(work):
        raise UsageError(
            f"kit.background takes a coroutine, not {type(work).__name__}: a call that was made here has the deadline "
            "that holds here already; write an async function that makes the call, and hand over background(f())"
        )
    context = copy_context()
    context.run(_deadline.set, _NONE)
    context.run(_collectors.set, ())
    return asyncio.get_running_loop().create_task(work, name=name, context=context)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try of a call."""

    #: 1 is the first.
    number: int
    #: The address that it was sent to; "" on a stock channel, where grpc chooses.
    endpoint: str
    #: Seconds waited before it: after the one before had failed, or, for a hedge, had been sent.
    delay: float
    #: Seconds from the call's start to the attempt's.
    started_after: float
    #: Seconds that it took; up to now while it is running.
    duration: float
    #: None while it is running.
    code: grpc.StatusCode | None
    details: str = ""
    #: It was sent while earlier ones were still running. One that lost ends CANCELLED.
    hedge: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CallReport:
    """What happened to a call."""

    #: "/package.Service/Method"
    method: str
    target: str
    attempts: tuple[Attempt, ...]
    #: None while it is running.
    code: grpc.StatusCode | None
    details: str
    #: Seconds, every attempt and delay included.
    duration: float
    #: Why there was no further attempt: a name of `kit.resilience.retry.StopReason`, "" while it is running.
    stop_reason: str
    #: The `idempotency-key` of every attempt; "" where none is sent, or the method declares nothing about it.
    idempotency_key: str = ""
    #: What answered in place of the call, which failed: "cached 12.3 s old", "method /package.Service/Method" (that
    #: call has a report of its own) or "default"; "" where nothing did. `code` is then OK, and the attempts are those
    #: that failed.
    degraded: str = ""
    #: What a call failed with that was answered all the same: "UNAVAILABLE: connection refused".
    failure: str = ""

    #: The state of the circuit breaker of each endpoint that was asked, by address ("" on a stock channel): CLOSED,
    #: OPEN or HALF_OPEN, as it was when the report was made. Empty where the method declares none.
    breakers: Mapping[str, str] = field(default_factory=dict)
    #: Further attempts that the target's retry budget has left; None where none is declared or nothing failed.
    retries_left: int | None = None
    #: Tokens in the target's retry throttle; None likewise.
    throttle_tokens: float | None = None

    @property
    def hedges(self) -> int:
        """Attempts that were sent while earlier ones were running."""
        return sum(attempt.hedge for attempt in self.attempts)

    def course(self) -> str:
        """Where the time went, in words."""
        steps: list[str] = []
        for attempt in self.attempts:
            if attempt.delay and attempt.number > 1 and not attempt.hedge:
                steps.append(f"waited {_time(attempt.delay)}")
            kind = "hedge" if attempt.hedge else "attempt"
            where = f" at {attempt.endpoint}" if attempt.endpoint else ""
            code = "running" if attempt.code is None else attempt.code.name
            steps.append(f"{kind} {attempt.number}{where} {code} in {_time(attempt.duration)}")
        tries = ", ".join(steps) or "no attempt"
        why = _WHY.get(self.stop_reason, "")
        return f"{self.method}, {_time(self.duration)} in all: {tries}{why and f'; {why}'}"

    def __str__(self) -> str:
        code = self.code.name if self.code is not None else "running"
        breakers = ", ".join(
            f"{address or 'the channel'} {state}" for address, state in self.breakers.items() if state != "CLOSED"
        )
        return "; ".join(
            part
            for part in (
                f"{code}{self.details and f' ({self.details})'}: {self.course()}",
                f"breakers: {breakers}" if breakers else "",
                f"retries left: {self.retries_left}" if self.retries_left is not None else "",
                f"throttle tokens: {self.throttle_tokens:g}" if self.throttle_tokens is not None else "",
                f"degraded: {self.degraded}, after {self.failure}" if self.degraded else "",
            )
            if part
        )


#: What to say of why there was no further attempt, where that needs to be said.
_WHY = {reason.name: reason.value for reason in StopReason if reason not in (StopReason.OK, StopReason.OFF)}


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


@runtime_checkable
class Reporting(Protocol):
    """A call that can tell what happened to it."""

    def kit_report(self) -> CallReport:
        """The report as of now."""
        ...


def report(call_or_error: object) -> CallReport:
    """What happened to a call, given the call object of a `kit.channel` or the error that it raised.

    Raises `UsageError` for the calls and errors of others; on a stock channel use `reports()`.
    """
    found = getattr(call_or_error, "report", None)
    if isinstance(found, CallReport):
        return found
    if isinstance(call_or_error, Reporting):
        return call_or_error.kit_report()
    raise UsageError(
        f"{type(call_or_error).__name__} carries no report; on a stock channel use `with kit.reports() as seen`"
    )


_collectors: ContextVar[tuple[list[CallReport], ...]] = ContextVar("kit_reports", default=())


@contextmanager
def reports() -> Iterator[list[CallReport]]:
    """Collects the report of every kit call that is made inside and ends; in the order in which they end."""
    seen: list[CallReport] = []
    token = _collectors.set((*_collectors.get(), seen))
    try:
        yield seen
    finally:
        _collectors.reset(token)


def collect() -> tuple[list[CallReport], ...]:
    """The lists that the calls made here report to; for the client side."""
    return _collectors.get()
