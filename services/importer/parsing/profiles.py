"""The kinds of time that are known, in the order in which they are preferred where several fit.

Every pattern has three groups: seconds (what `convert` takes), fraction (digits), zone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from services.importer.parsing import calendar
from services.importer.parsing.calendar import ZONE_NAMES, Convert

#: Finds the time in a line: group 1 to 3, and where it ends.
Locate = Callable[[bytes], "re.Match[bytes] | None"]

# A time that is not at the start of the line is looked for in this many bytes.
_WINDOW = 256

_FRACTION = rb"(?:[.,:](\d{1,9}))?"
_ZONE = rb"(?: ?(Z\b|[+-]\d\d:?\d\d\b|(?:" + ZONE_NAMES + rb")\b))?"
_TAIL = _FRACTION + _ZONE
_CLOCK = rb"\d\d:\d\d:\d\d"
_ISO = rb"(\d{4}-\d\d-\d\d(?:[T_ ]|[ \t]{1,9}|\"\s\")" + _CLOCK + rb")" + _TAIL
_EPOCH = rb"(\d{10})\.?(\d{1,9})?(?!\d)()"
_MONTH = rb"[A-Z][a-z]{2}"
_FRENCH = rb"|janv|f\xc3\xa9vr|mars|avril|mai|juin|juil|ao\xc3\xbbt|sept"
# What may stand before a time at the start of a line: byte order mark, colours, syslog priority, bracket, quote.
_START = rb"(?:\xef\xbb\xbf)?(?:\x1b\[[0-9;]*[A-Za-z])*(?:<\d{1,3}>(?:1 )?)?[\[(\"'<]?"


def _decimal(digits: bytes) -> int:
    return int(digits[:6].ljust(6, b"0"))


def _hex_nanos(digits: bytes) -> int:
    return int(digits, 16) // 1000


def _nanos(digits: bytes) -> int:
    return int(digits) // 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One kind of time."""

    name: str
    pattern: re.Pattern[bytes]
    convert: Convert
    #: Literal before the time; the pattern is tried right behind its first occurrence. b"": at the start of the line.
    needle: bytes = b""
    #: The pattern is looked for in the first bytes of the line.
    anywhere: bool = False
    #: After how many days the same text comes again: 365 without a year, 1 without a date, 0 never.
    cycle_days: int = 0
    #: The lines are JSON objects.
    json: bool = False
    #: Lines of this kind never tell a level.
    without_level: bool = False
    #: Digits after the second, to microseconds.
    fraction: Callable[[bytes], int] = _decimal
    #: The text of the seconds ends with their two digits, and only the fraction and the zone follow (see `shapes`).
    seconds_last: bool = False

    def locator(self) -> Locate:
        """The function that finds this kind of time in a line."""
        match, search, needle, size = self.pattern.match, self.pattern.search, self.needle, len(self.needle)
        if self.anywhere:
            return lambda line: search(line, 0, _WINDOW)
        if not needle:
            return match

        def behind_needle(line: bytes) -> re.Match[bytes] | None:
            at = line.find(needle)
            return None if at < 0 else match(line, at + size)

        return behind_needle


# Conversions of texts that end with the seconds.
_SECONDS_LAST = {
    calendar.iso, calendar.compact, calendar.day_of_year, calendar.short_year, calendar.american,
    calendar.day_month_year, calendar.month_day, calendar.dashed, calendar.glog, calendar.clock_only,
}  # fmt: skip


def _start(name: str, pattern: bytes, convert: Convert, *, cycle_days: int = 0) -> Profile:
    return Profile(
        name=name,
        pattern=re.compile(_START + pattern),
        convert=convert,
        cycle_days=cycle_days,
        seconds_last=convert in _SECONDS_LAST,
    )


def _json(key: bytes) -> list[Profile]:
    needle, name = b'"' + key + b'"', key.decode()
    prefix = rb"\s*:\s*\"?"
    return [
        Profile(
            name=f"json:{name}",
            pattern=re.compile(prefix + _ISO),
            convert=calendar.iso,
            needle=needle,
            json=True,
            seconds_last=True,
        ),
        Profile(
            name=f"json-epoch:{name}",
            pattern=re.compile(prefix + _EPOCH),
            convert=calendar.epoch,
            needle=needle,
            json=True,
        ),
    ]


_JSON_KEYS = (
    b"@timestamp", b"timestamp", b"ts", b"time", b"datetime", b"date", b"EventTime", b"UtcTime", b"TimeCreated",
    b"eventTime", b"$date", b"asctime", b"EdgeStartTimestamp", b"EdgeEndTimestamp", b"started_at", b"timeUnixNano",
    b"created_at", b"t", b"__REALTIME_TIMESTAMP",
)  # fmt: skip

PROFILES: tuple[Profile, ...] = (
    _start("iso", _ISO, calendar.iso),
    _start("slashes", rb"(\d{4}/\d\d/\d\d[T ]" + _CLOCK + rb")" + _TAIL, calendar.iso),
    _start("compact", rb"(\d{8}[T._-]\d{6})" + _TAIL, calendar.compact),
    _start("day-of-year", rb"(\d{4}-\d{3}T" + _CLOCK + rb")" + _TAIL, calendar.day_of_year),
    _start("short-year", rb"(\d\d/\d\d/\d\d " + _CLOCK + rb")" + _TAIL, calendar.short_year),
    _start("american", rb"(\d\d/\d\d/\d{4}[ ,]+" + _CLOCK + rb")" + _TAIL, calendar.american),
    _start(
        "ctime",
        rb"(?:[A-Z][a-z]{2},? )?(" + _MONTH + rb" [ \d]\d " + _CLOCK + rb"(?: [A-Z]{2,4})? \d{4})(?!\d|-)()()",
        calendar.month_day_year,
    ),
    _start("syslog", rb"(" + _MONTH + rb" [ \d]\d " + _CLOCK + rb")" + _TAIL, calendar.month_day, cycle_days=365),
    _start(
        "syslog-coloured",
        rb"(" + _MONTH + rb" [ \d]\d (?:\x1b\[[0-9;]*[A-Za-z])+" + _CLOCK + rb")" + _TAIL,
        calendar.month_day_coloured,
        cycle_days=365,
    ),
    _start("dashed", rb"(\d\d-\d\d " + _CLOCK + rb")" + _TAIL, calendar.dashed, cycle_days=365),
    _start(
        "rfc2822",
        rb"(?:[A-Z][a-z]{2}, )?(\d\d?[ -]" + _MONTH + rb"[ -]\d{4} " + _CLOCK + rb")" + _TAIL,
        calendar.day_month_year,
    ),
    _start("glog", rb"[A-Z](\d{4} " + _CLOCK + rb")" + _TAIL, calendar.glog, cycle_days=365),
    _start("epoch", _EPOCH + rb"(?=[\s:,\]|])", calendar.epoch),
    _start("strace", rb"(?:\d{1,7} )" + _EPOCH + rb"(?= )", calendar.epoch),
    _start("history", rb"[#:][+ ]" + _EPOCH, calendar.epoch),
    Profile(
        name="tai64n",
        pattern=re.compile(_START + rb"@(4[0-9a-f]{15})([0-9a-f]{8})?()"),
        convert=calendar.tai64,
        fraction=_hex_nanos,
    ),
    Profile(
        name="clf",
        pattern=re.compile(rb"(\d\d/" + _MONTH + rb"/\d{4}:" + _CLOCK + rb")" + _TAIL),
        convert=calendar.day_month_year,
        needle=b"[",
        without_level=True,
        seconds_last=True,
    ),
    Profile(name="audit", pattern=re.compile(_EPOCH), convert=calendar.epoch, needle=b"audit("),
    *(profile for key in _JSON_KEYS for profile in _json(key)),
    Profile(
        name="json:instant",
        pattern=re.compile(rb"\s*:\s*(\d{10}),\s*\"nanoOfSecond\"\s*:\s*(\d{1,9})()"),
        convert=calendar.epoch,
        needle=b'"epochSecond"',
        json=True,
        fraction=_nanos,
    ),
    Profile(name="iso-inside", pattern=re.compile(rb"(?<!\d)" + _ISO), convert=calendar.iso, anywhere=True),
    Profile(
        name="slashes-inside",
        pattern=re.compile(rb"(?<!\d)(\d{4}/\d\d/\d\d[T ]" + _CLOCK + rb")" + _TAIL),
        convert=calendar.iso,
        anywhere=True,
    ),
    Profile(
        name="rfc2822-inside",
        pattern=re.compile(rb"\b(\d\d? " + _MONTH + rb" \d{4} " + _CLOCK + rb")" + _TAIL),
        convert=calendar.day_month_year,
        anywhere=True,
    ),
    Profile(
        name="ctime-inside",
        pattern=re.compile(
            rb"\b(" + _MONTH + rb" +\d\d? " + _CLOCK + rb"(?:\.\d+)?(?: [A-Z]{2,4})? \d{4})()()",
        ),
        convert=calendar.month_day_year,
        anywhere=True,
    ),
    Profile(
        name="clf-inside",
        pattern=re.compile(rb"\b(\d\d/" + _MONTH + rb"/\d{4}:" + _CLOCK + rb")" + _TAIL),
        convert=calendar.day_month_year,
        anywhere=True,
        without_level=True,
    ),
    Profile(
        name="syslog-inside",
        pattern=re.compile(rb"\b((?:" + _MONTH + _FRENCH + rb") [ \d]\d " + _CLOCK + rb")" + _TAIL),
        convert=calendar.month_day,
        anywhere=True,
        cycle_days=365,
    ),
    _start(
        "clock",
        rb"(?:\d{1,7} )?(" + _CLOCK + rb")" + _FRACTION + rb"()(?=[\s,\]|])",
        calendar.clock_only,
        cycle_days=1,
    ),
)

BY_NAME = {profile.name: profile for profile in PROFILES}
