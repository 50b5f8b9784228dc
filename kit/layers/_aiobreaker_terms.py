"""What aiobreaker has names of its own for: its error, its datetimes and its state objects, without their defects."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import aiobreaker
from aiobreaker.state import CircuitBreakerState, CircuitClosedState, CircuitHalfOpenState, CircuitOpenState

from kit.clock import SYSTEM, Clock

__all__ = ["CircuitOpenError", "delta", "is_excluded", "local", "state_objects", "utc"]

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
        return delta(self._at - self._clock.now())

    async def sleep_until_open(self) -> None:
        """Returns when probes are let through."""
        await self._clock.sleep(self.time_remaining.total_seconds())


def is_excluded(error: BaseException, exclusions: Iterable[Callable[..., Any] | type[BaseException]]) -> bool:
    """Whether one of the exclusions, types or questions, covers the exception. One that raises is logged and does not.

    aiobreaker takes an exception type that has a metaclass for a question, and so excludes everything.
    """
    for exclusion in exclusions:
        if isinstance(exclusion, type):
            if isinstance(error, exclusion):
                return True
            continue
        try:
            if exclusion(error):
                return True
        except Exception:
            log.exception("the exclusion %r of a circuit breaker raised", exclusion)
    return False


def delta(seconds: float) -> timedelta:
    """A duration, never negative; infinity is the longest that there is."""
    return timedelta.max if seconds == math.inf else timedelta(seconds=max(0.0, seconds))


def local(wall: float) -> datetime:
    """An instant as aiobreaker's users see it: local time, without a zone."""
    try:
        return datetime.fromtimestamp(wall, UTC).astimezone().replace(tzinfo=None)
    except (OverflowError, ValueError):
        return datetime.max  # noqa: DTZ901 - without a zone, as all of them


def utc(wall: float) -> datetime:
    """An instant as aiobreaker's storages take it: UTC, without a zone."""
    return datetime.fromtimestamp(wall, UTC).replace(tzinfo=None)


class _Driven:
    """A state through which somebody calls goes the breaker's own way."""

    _breaker: Any

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


def state_objects(breaker: Any) -> dict[CircuitBreakerState, Any]:
    """The three objects that listeners are given and `state` gives."""
    return {
        CircuitBreakerState.CLOSED: _Closed(breaker),
        CircuitBreakerState.HALF_OPEN: _HalfOpen(breaker),
        CircuitBreakerState.OPEN: _Open(breaker),
    }
