"""The plain way through the lines of a source: each is looked at."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from services.importer.parsing import calendar, levels, profiles
from services.importer.parsing.calendar import is_plausible, zone_offset
from services.importer.parsing.columns import NO_TIME, Columns
from services.importer.parsing.detect import detect
from services.importer.parsing.levels import LevelRule
from services.importer.parsing.profiles import Profile

_SAMPLE_LINES = 200
_DAY = 86_400
_DATE = re.compile(rb"#Date: (\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)")
# Texts of seconds whose conversion is kept. Logs repeat a second, or move on for good.
_CACHE_ENTRIES = 4096
_FRACTION_CACHE_ENTRIES = 16_384
MICROS = 1_000_000
# A text without a year or a day stands for the time nearest to the one before: within so many microseconds, by the
# length of the cycle in days, there is only one.
REACH = {0: 0, 1: calendar.BACK * MICROS, 365: 180 * _DAY * MICROS}
# So begin lines of a record without times that goes on: indented ones, stack traces, ends of JSON and XML.
_GOES_ON = (b" ", b"\t", b"at ", b"Caused by", b"}", b"]", b"</")
# Docker compose puts the container's name before each line; not every container tells times.
_OTHER_CONTAINER = re.compile(rb"(?:\x1b\[[0-9;]*[A-Za-z])*[A-Za-z0-9][\w.-]* +\| \S")


class PlainParser:
    """Finds out on the first lines how they tell time and level, then reads both from every line.

    `modified` (seconds since 1970) is when the source was last changed: a time without year or day lies before it.
    `state` continues where a parser of the same source had got to.
    """

    def __init__(self, modified: float, state: dict[str, Any] | None = None) -> None:
        self._near = int(modified)
        self._anchored = False
        self._last = NO_TIME
        self._started = False
        self._profile: Profile | None = None
        self._second: Profile | None = None
        self._rule: LevelRule | None = None
        self._bases: dict[tuple[bytes, bytes | None], int | None] = {}
        self._fractions: dict[bytes, int] = {}
        if state is not None:
            self._near, self._anchored, self._last, self._started = (
                state["near"], state["anchored"], state["last"], state["started"],
            )  # fmt: skip
            self._profile = profiles.BY_NAME.get(state["profile"])
            self._second = profiles.BY_NAME.get(state["second"])
            self._rule = levels.BY_NAME.get(state["rule"])

    @property
    def state(self) -> dict[str, Any]:
        """What a later parser needs to go on after the lines so far; JSON."""
        return {
            "near": self._near,
            "anchored": self._anchored,
            "last": self._last,
            "started": self._started,
            "profile": self._profile.name if self._profile else "",
            "second": self._second.name if self._second else "",
            "rule": self._rule.name if self._rule else "",
        }

    @property
    def format(self) -> str:
        """Name of the kind of time that the lines have; "" where none is known."""
        return self._profile.name if self._profile else ""

    def parse(self, lines: Sequence[bytes]) -> Columns:
        """The columns of the next lines of the source."""
        if self._profile is None or self._rule is None:
            found = detect(lines[:_SAMPLE_LINES], self._near)
            self._profile, self._second, self._rule = found.profile, found.second, found.rule
        assert self._rule is not None
        profile, rule = self._profile, self._rule
        columns = self._untimed(lines, rule) if profile is None else self._dated(lines, profile, rule)
        if not self._started and lines:
            columns.records[0] = 1
            self._started = True
        return columns

    def _dated(self, lines: Sequence[bytes], profile: Profile, rule: LevelRule) -> Columns:
        return self._timed(lines, profile, rule)

    def _timed(self, lines: Sequence[bytes], profile: Profile, rule: LevelRule) -> Columns:
        """Looks at every line: what every other way must agree with."""
        locate, find_level = profile.locator(), rule.find
        bases, fractions, last = self._bases, self._fractions, self._last
        reach, inside = REACH[profile.cycle_days], profile.anywhere
        times: list[int] = []
        found_levels: list[int] = []
        records = bytearray(b"\x01") * len(lines)
        add_time, add_level = times.append, found_levels.append
        for line in lines:
            found = locate(line)
            if found is not None:
                text, fraction, zone = found.group(1, 2, 3)
                base = bases.get((text, zone))
                if base is None or (reach and abs(base - self._near * MICROS) >= reach):
                    base = self._base(profile, text, zone)
                if base is not None:
                    if reach:
                        self._near = base // MICROS
                    if fraction:
                        extra = fractions.get(fraction)
                        last = base + (self._fraction(profile, fraction) if extra is None else extra)
                    else:
                        last = base
                    add_time(last)
                    add_level(find_level(line, found.end()))
                    continue
            self._last = last
            own = self._by_second(line)
            if own is None:
                alone = inside and _OTHER_CONTAINER.match(line) is not None
                records[len(times)] = alone
                add_level(find_level(line, 0) if alone else 0)
            else:
                last = own
                add_level(find_level(line, 0))
            add_time(last)
        self._last = last
        return Columns(times, found_levels, records)

    def _untimed(self, lines: Sequence[bytes], rule: LevelRule) -> Columns:
        find = rule.find
        records = bytearray(not line.startswith(_GOES_ON) for line in lines)
        return Columns([self._last] * len(lines), [find(line, 0) for line in lines], records)

    def _plain_base(self, profile: Profile, text: bytes, zone: bytes | None) -> int | None:
        """Microseconds of the whole second that the text names; None when it names none."""
        seconds = profile.convert(text, self._near)
        if seconds is None or not is_plausible(seconds):
            return None
        return (seconds - (zone_offset(zone) if zone else 0)) * MICROS

    def _base(self, profile: Profile, text: bytes, zone: bytes | None) -> int | None:
        """The same, with the first one put where it belongs, and kept."""
        near = self._near
        seconds = profile.convert(text, near)
        if seconds is None or not is_plausible(seconds):
            return None
        if profile.cycle_days:
            seconds = self._place(profile, text, seconds)
        base = (seconds - (zone_offset(zone) if zone else 0)) * MICROS
        if len(self._bases) >= _CACHE_ENTRIES:
            self._bases.clear()
        self._bases[(text, zone)] = base
        return base

    def _place(self, profile: Profile, text: bytes, seconds: int) -> int:
        """Seconds of a text that does not say the year or the day: the first in the last cycle, the others near it."""
        if not self._anchored:
            self._anchored = True
            latest = self._near + (_DAY if profile.cycle_days > 1 else 0)
            while seconds > latest:
                earlier = profile.convert(text, seconds - profile.cycle_days * _DAY)
                if earlier is None or earlier >= seconds:
                    break
                seconds = earlier
        self._near = seconds
        return seconds

    def _fraction(self, profile: Profile, digits: bytes) -> int:
        value = profile.fraction(digits)
        if len(digits) <= 3 or len(self._fractions) < _FRACTION_CACHE_ENTRIES:
            self._fractions[digits] = value
        return value

    def _by_second(self, line: bytes) -> int | None:
        """The time of a line that the first profile did not fit; None when the line has none of its own."""
        if line.startswith(b"#Date: "):  # W3C: the day of the times that follow
            self._set_date(line)
        second = self._second
        if second is None:
            return None
        found = second.locator()(line)
        if found is None:
            return None
        text, fraction, zone = found.group(1, 2, 3)
        base = self._base(second, text, zone)
        return None if base is None else base + (second.fraction(fraction) if fraction else 0)

    def _set_date(self, line: bytes) -> None:
        found = _DATE.match(line)
        seconds = None if found is None else calendar.iso(found.group(1), 0)
        if seconds is not None:
            self._near, self._anchored = seconds, True
            self._bases.clear()
