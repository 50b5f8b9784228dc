"""From the text of a time to seconds since 1970.

A conversion gets the text that a profile's first group matched, and the seconds of the time before, which a text
without a year (or without a date) is put nearest to. It returns None for a time that does not exist.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import lru_cache

#: (text, seconds to be near to) -> seconds, as if the text were UTC.
Convert = Callable[[bytes, int], int | None]

_DAY = 86_400
_MONTHS = {
    name: number
    for names in (
        b"jan feb mar apr may jun jul aug sep oct nov dec",
        b"janv f\xc3\xa9vr mars avr mai juin juil ao\xc3\xbb sept",
    )
    for number, name in enumerate(names.split(), 1)
}
# Offsets in hours of the zone names that logs use. A name that means several zones has its most common meaning.
_ZONES: dict[bytes, float] = {
    b"UTC": 0, b"GMT": 0, b"Z": 0, b"WET": 0, b"WEST": 1, b"BST": 1, b"CET": 1, b"CEST": 2, b"EET": 2, b"EEST": 3,
    b"MSK": 3, b"EST": -5, b"EDT": -4, b"CST": -6, b"CDT": -5, b"MST": -7, b"MDT": -6, b"PST": -8, b"PDT": -7,
    b"AKST": -9, b"HST": -10, b"IST": 5.5, b"SGT": 8, b"HKT": 8, b"JST": 9, b"KST": 9, b"AEST": 10, b"AEDT": 11,
}  # fmt: skip
_ESCAPES = re.compile(rb"\x1b\[[0-9;]*[A-Za-z]")
#: For use in a regular expression: longer ones before those that they begin with.
ZONE_NAMES = b"|".join(sorted(_ZONES, reverse=True))


def is_plausible(seconds: int) -> bool:
    """Whether a log may tell of that time: 1990 to 2100."""
    return 631_152_000 <= seconds < 4_102_444_800


def zone_offset(zone: bytes) -> int:
    """Seconds east of UTC: "+0330", "-07:00", "Z", "CEST"."""
    if zone[:1] in b"+-":
        digits = zone[1:].replace(b":", b"")
        seconds = int(digits[:2]) * 3600 + int(digits[2:4] or b"0") * 60
        return -seconds if zone[:1] == b"-" else seconds
    return int(_ZONES.get(zone, 0) * 3600)


@lru_cache(maxsize=4096)
def _midnight(year: int, month: int, day: int) -> int | None:
    """Seconds of the begin of a day, of which a log has few; None when there is no such day."""
    try:
        return int(datetime(year, month, day, tzinfo=UTC).timestamp())
    except ValueError:
        return None


def _of_day(clock: bytes) -> int | None:
    """`clock` is HH?MM?SS with any one byte between, or HHMMSS. A leap second is the second before it."""
    step = 3 if len(clock) == 8 else 2
    hour, minute, second = int(clock[:2]), int(clock[step : step + 2]), int(clock[2 * step : 2 * step + 2])
    return hour * 3600 + minute * 60 + min(second, 59) if hour < 24 and minute < 60 and second <= 60 else None


def _seconds(year: int, month: int, day: int, clock: bytes) -> int | None:
    midnight, of_day = _midnight(year, month, day), _of_day(clock)
    return None if midnight is None or of_day is None else midnight + of_day


@lru_cache(maxsize=4096)
def _year(near_day: int) -> int:
    return datetime.fromtimestamp(near_day * _DAY, UTC).year


def _without_year(month: int, day: int, clock: bytes, near: int) -> int | None:
    year, of_day = _year(near // _DAY), _of_day(clock)
    if of_day is None:
        return None
    midnight = _nearest([_midnight(y, month, day) for y in (year - 1, year, year + 1)], near - of_day)
    return None if midnight is None else midnight + of_day


def _nearest(candidates: Iterable[int | None], near: int) -> int | None:
    there = [value for value in candidates if value is not None]
    return min(there, key=lambda value: abs(value - near)) if there else None


def _month(name: bytes) -> int:
    lowered = name.lower().rstrip(b".")
    return _MONTHS.get(lowered) or _MONTHS.get(lowered[:3]) or _MONTHS.get(lowered[:4], 0)


def iso(text: bytes, near: int) -> int | None:
    """2016-12-19 16:00:01, with anything between date and clock; 2016/12/19 16:00:01."""
    return _seconds(int(text[:4]), int(text[5:7]), int(text[8:10]), text[-8:])


def compact(text: bytes, near: int) -> int | None:
    """20120702.102240, 20240101T101010."""
    return _seconds(int(text[:4]), int(text[4:6]), int(text[6:8]), text[9:15])


def day_of_year(text: bytes, near: int) -> int | None:
    """2012-025T10:22:40."""
    start, day = _seconds(int(text[:4]), 1, 1, text[-8:]), int(text[5:8])
    return None if start is None or not 1 <= day <= 366 else start + (day - 1) * _DAY


def short_year(text: bytes, near: int) -> int | None:
    """17/06/09 20:10:40: year, month, day."""
    return _seconds(2000 + int(text[:2]), int(text[3:5]), int(text[6:8]), text[-8:])


def american(text: bytes, near: int) -> int | None:
    """12/19/2016 16:00:01: month, day, year."""
    return _seconds(int(text[6:10]), int(text[:2]), int(text[3:5]), text[-8:])


def day_month_year(text: bytes, near: int) -> int | None:
    """17/May/2015:10:05:03, 17 May 2015 10:05:03, 17-May-2015 10:05:03."""
    day, month, year = text[:-9].replace(b"/", b" ").replace(b"-", b" ").split()
    return _seconds(int(year), _month(month), int(day), text[-8:])


def month_day(text: bytes, near: int) -> int | None:
    """Mar 27 13:06:56: the year is the one that puts it nearest."""
    month, day, clock = text.split()
    return _without_year(_month(month), int(day), clock, near)


def month_day_year(text: bytes, near: int) -> int | None:
    """May 19 08:00:01 2021; Sep 1 2021 08:00:01. A zone name between is taken into account."""
    parts = text.split()
    month, day, rest = parts[0], parts[1], parts[2:]
    clock = next(part for part in rest if b":" in part)
    year = next(part for part in rest if len(part) == 4 and part.isdigit())
    seconds = _seconds(int(year), _month(month), int(day), clock[:8])
    zone = next((part for part in rest if part in _ZONES), b"Z")
    return None if seconds is None else seconds - zone_offset(zone)


def glog(text: bytes, near: int) -> int | None:
    """0517 15:04:22: month and day; the year is the one that puts it nearest."""
    return _without_year(int(text[:2]), int(text[2:4]), text[-8:], near)


def month_day_coloured(text: bytes, near: int) -> int | None:
    """The same with escape sequences of a terminal before the clock."""
    return month_day(_ESCAPES.sub(b"", text), near)


def dashed(text: bytes, near: int) -> int | None:
    """04-25 12:00:00: month and day; the year is the one that puts it nearest."""
    return _without_year(int(text[:2]), int(text[3:5]), text[-8:], near)


#: How far back a clock may go without having come to the next day, in seconds: daylight saving time ends, and a little.
BACK = 2 * 3600


def clock_only(text: bytes, near: int) -> int | None:
    """08:09:33: the day is the one that puts it into the 24 hours that begin BACK before."""
    of_day = _of_day(text)
    if of_day is None:
        return None
    start = near - BACK
    return start + (of_day - start) % _DAY


def epoch(text: bytes, near: int) -> int | None:
    """1588205199."""
    return int(text)


def tai64(text: bytes, near: int) -> int | None:
    """4000000043322583, 16 hexadecimal digits. TAI is some leap seconds ahead, 10 of them since ever."""
    return int(text, 16) - (1 << 62) - 10
