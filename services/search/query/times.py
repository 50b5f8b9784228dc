"""Times as they are written in a query: a point in time stands for the whole unit that it names.

2016   2016-12   2016-12-19   2016-12-19T16   2016-12-19T16:05   2016-12-19T16:05:30   2016-12-19T16:05:30.250
each but the first three with Z, +01:00 or +0100 behind it; without a zone it is UTC; a space may stand for the T

now   -15m   -1d12h   now-1h       that long ago: s, m, h, d and w are seconds, minutes, hours, days of 24 hours, weeks;
                                   such a time names one microsecond
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

__all__ = ["END", "LOWEST", "UnitError", "is_relative", "parse_duration", "parse_time", "render_time"]

_TIME = re.compile(
    r"(?P<year>\d{4})(?:-(?P<month>\d\d)(?:-(?P<day>\d\d)"
    r"(?:[T ](?P<hour>\d\d)(?::?(?P<minute>\d\d)(?::?(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?)?)?"
    r"(?P<zone>[Zz]|[+-]\d\d(?::?\d\d)?)?)?)?)?",
    re.ASCII,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_RELATIVE = re.compile(r"now|(?:now)?-(?P<ago>.*)", re.DOTALL)
_PART = re.compile(r"(\d{1,9})([a-zA-Z]*)", re.ASCII)
_DURATIONS = {
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
    "w": 7 * 86_400_000_000,
}
#: Year 1 to the end of 9999, which is the first time that there is no more.
LOWEST, END = -62_135_596_800_000_000, 253_402_300_800_000_000
_UNITS = {"day": 86_400_000_000, "hour": 3_600_000_000, "minute": 60_000_000, "second": 1_000_000}


class UnitError(ValueError):
    """A duration is wrong at a place, counted from its beginning."""

    def __init__(self, expected: str, place: int) -> None:
        super().__init__(expected)
        self.place = place


def is_relative(text: str) -> bool:
    """Whether a time is given as so long ago."""
    return _RELATIVE.fullmatch(text) is not None


def parse_duration(text: str) -> int:
    """Microseconds of a duration such as 15m or 1d12h. Raises UnitError."""
    total = at = 0
    while at < len(text) or not text:
        found = _PART.match(text, at)
        if found is None:
            raise UnitError("a duration such as 15m, 36h or 1d12h", at)
        unit = _DURATIONS.get(found[2])
        if unit is None:
            raise UnitError("a unit: s, m, h, d or w", found.start(2))
        total += int(found[1]) * unit
        at = found.end()
    return total


def parse_time(text: str, now: int = 0) -> tuple[int, int]:
    """[low, high) in microseconds of the unit that `text` names. Raises ValueError with a sentence for a person.

    `now` is what relative times are counted from. Units of 9999 may end at END, and those with a zone may begin before
    LOWEST or end behind END.
    """
    relative = _RELATIVE.fullmatch(text)
    if relative is not None:
        ago = relative["ago"]
        try:
            at = now if ago is None else now - parse_duration(ago)
        except UnitError as error:
            raise UnitError(str(error), relative.start("ago") + error.place) from error
        if not LOWEST <= at < END:
            raise ValueError("a time that exists (not before year 1)")
        return at, at + 1
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError("a time such as 2016-12-19, 2016-12-19T16:00, 2016-12-19T16:00:00Z or -15m")
    year, month, day = int(found["year"]), int(found["month"] or 1), int(found["day"] or 1)
    hour, minute, second = int(found["hour"] or 0), int(found["minute"] or 0), int(found["second"] or 0)
    try:
        low = _micros(datetime(year, month, day, hour, minute, second, tzinfo=UTC)) - _offset(found["zone"])
        if found["month"] is None:
            return low, _beginning(year + 1, 1)
        if found["day"] is None:
            return low, _beginning(year + month // 12, month % 12 + 1)
    except ValueError as error:
        raise ValueError(f"a time that exists ({error})") from error
    if found["fraction"] is not None:
        digits = found["fraction"][:6]
        unit = 10 ** (6 - len(digits))
        return low + int(digits) * unit, low + (int(digits) + 1) * unit
    finest = next(name for name in ("second", "minute", "hour", "day") if found[name] is not None)
    return low, low + _UNITS[finest]


def render_time(micros: int) -> str:
    """The time as RFC 3339 with six decimals, in UTC."""
    return (_EPOCH + micros * _MICROSECOND).strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")


def _beginning(year: int, month: int) -> int:
    """Of a month, which may be the first one of the year 10000."""
    return END if year > 9999 else _micros(datetime(year, month, 1, tzinfo=UTC))


def _micros(when: datetime) -> int:
    return (when - _EPOCH) // _MICROSECOND


def _offset(zone: str | None) -> int:
    """Microseconds east of Greenwich."""
    if zone is None or zone in "Zz":
        return 0
    digits = zone[1:].replace(":", "")
    hours, minutes = int(digits[:2]), int(digits[2:] or 0)
    if hours > 23 or minutes > 59:
        raise ValueError(f"{zone} is no offset")
    return (-1 if zone[0] == "-" else 1) * (hours * 60 + minutes) * 60_000_000
