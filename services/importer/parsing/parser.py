"""The parser of one source."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from services.importer.parsing import calendar, levels, profiles
from services.importer.parsing.calendar import zone_offset
from services.importer.parsing.levels import LevelRule
from services.importer.parsing.profiles import PROFILES, Profile
from services.importer.parsing.shapes import UNKNOWN, Shape

#: A line without a time. The same number as in services.search.index.
NO_TIME = -(2**63)

_SAMPLE_LINES = 200
_LEVEL_SAMPLE_LINES = 100
_DAY = 86_400
_DATE = re.compile(rb"#Date: (\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)")
# Texts of seconds whose conversion is kept. Logs repeat a second, or move on for good.
_CACHE_ENTRIES = 4096
_FRACTION_CACHE_ENTRIES = 16_384
# Fewer lines are read as fast one by one.
_WORTH_A_SHAPE = 64
# Where the shape did not help it is left alone for 4 blocks, then for 8, at most for 64.
_LONGEST_PAUSE = 5
_MISSING = UNKNOWN // 2
_MICROS = 1_000_000
# A text without a year or a day stands for the time nearest to the one before: within so many microseconds, by the
# length of the cycle in days, there is only one.
_REACH = {0: 0, 1: calendar.BACK * _MICROS, 365: 180 * _DAY * _MICROS}
# So begin lines of a record without times that goes on: indented ones, stack traces, ends of JSON and XML.
_GOES_ON = (b" ", b"\t", b"at ", b"Caused by", b"}", b"]", b"</")
# Docker compose puts the container's name before each line; not every container tells times.
_OTHER_CONTAINER = re.compile(rb"(?:\x1b\[[0-9;]*[A-Za-z])*[A-Za-z0-9][\w.-]* +\| \S")
# Beyond these a number is no time of a log: 1990 to 2100.
_EARLIEST, _LATEST = 631_152_000, 4_102_444_800


@dataclass(frozen=True, slots=True)
class Columns:
    """What is known of each line; all of the same length."""

    #: Microseconds since 1970 UTC, or NO_TIME. A line that has none of its own has that of the one before.
    times: list[int]
    levels: list[int]
    #: 1 where the line starts a record, 0 where it continues the one before.
    records: bytearray

    def extend(self, more: Columns) -> None:
        """Adds the columns of the lines that follow."""
        self.times.extend(more.times)
        self.levels.extend(more.levels)
        self.records.extend(more.records)


class LineParser:
    """Finds out on the first lines how they tell time and level, then reads both from every line.

    `modified` (seconds since 1970) is when the source was last changed: a time without year or day lies before it.
    `state` continues where a parser of the same source had got to. `by_shape` allows the fast way, which finds just
    what the other one finds.
    """

    def __init__(self, modified: float, state: dict[str, Any] | None = None, *, by_shape: bool = True) -> None:
        self._near = int(modified)
        self._anchored = False
        self._last = NO_TIME
        self._started = False
        self._profile: Profile | None = None
        self._second: Profile | None = None
        self._rule: LevelRule | None = None
        self._bases: dict[tuple[bytes, bytes | None], int | None] = {}
        self._fractions: dict[bytes, int] = {}
        self._by_shape = by_shape
        self._shape: Shape | None = None
        self._misfits = self._pause = 0
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
            self._detect(lines[:_SAMPLE_LINES])
        assert self._rule is not None
        profile, rule = self._profile, self._rule
        if profile is None:
            columns = self._untimed(lines, rule)
        elif self._by_shape and profile.seconds_last:
            columns = self._shaped(lines, profile, rule)
        else:
            columns = self._timed(lines, profile, rule)
        if not self._started and lines:
            columns.records[0] = 1
            self._started = True
        return columns

    def _timed(self, lines: Sequence[bytes], profile: Profile, rule: LevelRule) -> Columns:
        """Looks at every line: what every other way must agree with."""
        locate, find_level = profile.locator(), rule.find
        bases, fractions, last = self._bases, self._fractions, self._last
        reach, inside = _REACH[profile.cycle_days], profile.anywhere
        times: list[int] = []
        found_levels: list[int] = []
        records = bytearray(b"\x01") * len(lines)
        add_time, add_level = times.append, found_levels.append
        for line in lines:
            found = locate(line)
            if found is not None:
                text, fraction, zone = found.group(1, 2, 3)
                base = bases.get((text, zone))
                if base is None or (reach and abs(base - self._near * _MICROS) >= reach):
                    base = self._base(profile, text, zone)
                if base is not None:
                    if reach:
                        self._near = base // _MICROS
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

    def _shaped(self, lines: Sequence[bytes], profile: Profile, rule: LevelRule) -> Columns:
        """The same for lines that are mostly of one shape: only those that are not are looked at."""
        whole = Columns([], [], bytearray())
        while lines:
            if profile.cycle_days and not self._anchored:  # the first time is put where it belongs
                locate = profile.locator()
                first = next((row for row, line in enumerate(lines) if locate(line) is not None), len(lines))
                whole.extend(self._timed(lines[: first + 1], profile, rule))
                lines = lines[first + 1 :]
                continue
            shape = self._shape
            if shape is None and len(lines) >= _WORTH_A_SHAPE:
                shape = self._shape = self._new_shape(lines, profile, rule)
            known = self._known(shape, lines, profile) if shape is not None else None
            if shape is None or known is None:
                whole.extend(self._timed(lines, profile, rule))
                break
            lines = lines[self._fill(shape, lines, *known, profile, rule, whole) :]
        return whole

    def _known(self, shape: Shape, lines: Sequence[bytes], profile: Profile) -> tuple[list[int], list[int]] | None:
        """Times that need no look, and rows of the lines that need one; None where most of them do."""
        if self._pause:
            self._pause -= 1
            return None
        times = shape.read(lines)
        missing = _missing(times)
        if missing:
            others = shape.learn([lines[row] for row in missing], partial(self._plain_base, profile))
            again = shape.read([lines[row] for row in missing])
            for row, when in zip(missing, again, strict=True):
                times[row] = when
            missing = _missing(times)
            if others * 2 > len(lines):
                self._shape = None  # another one fits most lines
        if len(missing) * 2 > len(lines):
            self._misfits = min(self._misfits + 1, _LONGEST_PAUSE)
            self._pause = 2 << self._misfits
            return None
        if not self._within_reach(profile, times):
            shape.forget_bases()
            return None
        self._misfits = 0
        return times, missing

    def _fill(
        self,
        shape: Shape,
        lines: Sequence[bytes],
        times: list[int],
        missing: list[int],
        profile: Profile,
        rule: LevelRule,
        whole: Columns,
    ) -> int:
        """Looks at the lines that the shape does not know and adds all to `whole`; returns how many lines are done.

        It stops early where a line told another year or day than the texts that are known stand for.
        """
        found_levels = shape.levels(lines)
        records = bytearray(b"\x01") * len(lines)
        done = len(lines)
        known_to = 0
        for start, end in _runs(missing):
            if start > known_to:
                self._note(profile, times[start - 1])
            columns = self._timed(lines[start:end], profile, rule)
            times[start:end], found_levels[start:end], records[start:end] = (
                columns.times, columns.levels, columns.records,
            )  # fmt: skip
            known_to = end
            if profile.cycle_days and not self._within_reach(profile, times[end:]):
                done = end
                break
        else:
            if known_to < done:
                self._note(profile, times[-1])
        whole.extend(Columns(times[:done], found_levels[:done], records[:done]))
        return done

    def _note(self, profile: Profile, when: int) -> None:
        """Goes on after a line with this time that was not looked at."""
        self._last = when
        if profile.cycle_days:
            self._near = when // _MICROS

    def _within_reach(self, profile: Profile, times: Sequence[int]) -> bool:
        """Whether times that the shape knows are those that are nearest to the time before, whichever that is."""
        reach = _REACH[profile.cycle_days]
        if not reach:
            return True
        near = self._near * _MICROS
        known = [when for when in times if when > _MISSING]
        return not known or max(*known, near) - min(*known, near) < reach

    def _new_shape(self, lines: Sequence[bytes], profile: Profile, rule: LevelRule) -> Shape | None:
        """One for a line in the middle that has a time."""
        locate = profile.locator()
        line = next((line for line in lines[len(lines) // 2 :] if locate(line) is not None), None)
        return None if line is None else Shape(profile, rule, line)

    def _untimed(self, lines: Sequence[bytes], rule: LevelRule) -> Columns:
        find = rule.find
        records = bytearray(not line.startswith(_GOES_ON) for line in lines)
        return Columns([self._last] * len(lines), [find(line, 0) for line in lines], records)

    def _plain_base(self, profile: Profile, text: bytes, zone: bytes | None) -> int | None:
        """Microseconds of the whole second that the text names; None when it names none."""
        seconds = profile.convert(text, self._near)
        if seconds is None or not _EARLIEST <= seconds < _LATEST:
            return None
        return (seconds - (zone_offset(zone) if zone else 0)) * _MICROS

    def _base(self, profile: Profile, text: bytes, zone: bytes | None) -> int | None:
        """The same, with the first one put where it belongs, and kept."""
        near = self._near
        seconds = profile.convert(text, near)
        if seconds is None or not _EARLIEST <= seconds < _LATEST:
            return None
        if profile.cycle_days:
            seconds = self._place(profile, text, seconds)
        base = (seconds - (zone_offset(zone) if zone else 0)) * _MICROS
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

    def _detect(self, sample: Sequence[bytes]) -> None:
        """Chooses profile and level rule. With no time in the sample it is tried again on the next lines."""
        scored = []
        for rank, profile in enumerate(PROFILES):
            fitting = self._fitting(profile, sample)
            if fitting:  # where it may stand anywhere it may also stand in a message
                scored.append((len(fitting) * (0.6 if profile.anywhere else 1.0), -rank, profile, fitting))
            if len(fitting) > 0.95 * len(sample) and not profile.anywhere:
                break
        scored.sort(key=lambda entry: entry[:2], reverse=True)
        fitting = {}
        if scored:
            _, _, self._profile, fitting = scored[0]
            others = [
                (profile, len(also.keys() - fitting.keys()))
                for _, _, profile, also in scored[1:]
                if not profile.anywhere and not profile.cycle_days
            ]
            second, count = max(others, key=lambda other: other[1], default=(None, 0))
            self._second = second if count * 20 >= len(sample) and count else None
        chosen = self._profile
        self._rule = levels.choose(
            [(sample[at], end) for at, end in list(fitting.items())[:_LEVEL_SAMPLE_LINES]]
            if fitting
            else [(line, 0) for line in sample[:_LEVEL_SAMPLE_LINES]],
            json=bool(chosen and chosen.json),
            without_level=bool(chosen and chosen.without_level),
        )

    def _fitting(self, profile: Profile, sample: Sequence[bytes]) -> dict[int, int]:
        """Lines that have a time of this kind, each with where it ends."""
        locate, ends = profile.locator(), {}
        for at, line in enumerate(sample):
            found = locate(line)
            if found is not None:
                seconds = profile.convert(found.group(1), self._near)
                if seconds is not None and _EARLIEST <= seconds < _LATEST:
                    ends[at] = found.end()
        return ends


def _missing(times: Sequence[int]) -> list[int]:
    """Rows whose time the shape did not know."""
    return [row for row, when in enumerate(times) if when < _MISSING] if min(times) < _MISSING else []


def _runs(rows: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Ranges [start, end) of the neighbours among ascending numbers."""
    start = end = -1
    for row in rows:
        if row != end:
            if end > start:
                yield start, end
            start = row
        end = row + 1
    if end > start:
        yield start, end
