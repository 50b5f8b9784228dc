"""Durations as they are handed to the kit: seconds, as a number. And as messages have them."""

from __future__ import annotations

import math
from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

from kit.errors import UsageTypeError, UsageValueError

__all__ = ["LONGEST", "check_seconds", "to_duration"]

#: Seconds, 95 years. grpc counts nanoseconds from 1970 in 64 bits, and takes a longer timeout for one that is over.
LONGEST = 3e9


def check_seconds(name: str, value: object, otherwise: str = "") -> None:
    """Refuses what is no number of seconds; negative ones are durations that are over, and infinity is no limit.

    `otherwise` says what else may be given: "None for the policy's". Raises UsageTypeError and UsageValueError.
    """
    given = f"{name}={_short(value)}"
    or_else = f", or {otherwise}" if otherwise else ""
    if isinstance(value, timedelta):
        raise UsageTypeError(f"{given} is a timedelta; give its .total_seconds()")
    try:
        # What grpc does with it; numbers of other libraries can do it, a Decimal cannot.
        seconds = float(0.0 + value)  # type: ignore[operator]
    except OverflowError:
        seconds = LONGEST * 2
    except Exception:  # noqa: BLE001 - whatever an addition raises: it is no number
        raise UsageTypeError(f"{given} is no number of seconds; give an int or a float{or_else}") from None
    if math.isnan(seconds):
        raise UsageValueError(f"{given} is no number of seconds; give a finite one{or_else}")
    if LONGEST < seconds < math.inf:
        raise UsageValueError(
            f"{given} is longer than gRPC can count; give at most {LONGEST:g}, or math.inf for no limit"
        )


def to_duration(seconds: float) -> Duration:
    """The same as a message; what is longer than LONGEST is as long as that."""
    duration = Duration()
    duration.FromNanoseconds(round(min(seconds, LONGEST) * 1e9))
    return duration


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
