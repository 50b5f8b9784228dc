"""The parser of one source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from services.importer.parsing.columns import Columns
from services.importer.parsing.levels import LevelRule
from services.importer.parsing.plain import MICROS, REACH, PlainParser
from services.importer.parsing.profiles import Profile
from services.importer.parsing.shapes import UNKNOWN, Shape

# Fewer lines are read as fast one by one.
_WORTH_A_SHAPE = 64
# Where the shape did not help it is left alone for 4 blocks, then for 8, at most for 64.
_LONGEST_PAUSE = 5
_MISSING = UNKNOWN // 2


class LineParser(PlainParser):
    """Finds out on the first lines how they tell time and level, then reads both from every line.

    Most lines of a source are of one shape and are read by the block; only those that are not are looked at. `by_shape`
    turns that off, which changes nothing but the speed.
    """

    def __init__(self, modified: float, state: dict[str, Any] | None = None, *, by_shape: bool = True) -> None:
        super().__init__(modified, state)
        self._by_shape = by_shape
        self._shape: Shape | None = None
        self._misfits = self._pause = 0

    def _dated(self, lines: Sequence[bytes], profile: Profile, rule: LevelRule) -> Columns:
        """The same for lines that are mostly of one shape: only those that are not are looked at."""
        if not (self._by_shape and profile.seconds_last):
            return self._timed(lines, profile, rule)
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
            self._near = when // MICROS

    def _within_reach(self, profile: Profile, times: Sequence[int]) -> bool:
        """Whether times that the shape knows are those that are nearest to the time before, whichever that is."""
        reach = REACH[profile.cycle_days]
        if not reach:
            return True
        near = self._near * MICROS
        known = [when for when in times if when > _MISSING]
        return not known or max(*known, near) - min(*known, near) < reach

    def _new_shape(self, lines: Sequence[bytes], profile: Profile, rule: LevelRule) -> Shape | None:
        """One for a line in the middle that has a time."""
        locate = profile.locator()
        line = next((line for line in lines[len(lines) // 2 :] if locate(line) is not None), None)
        return None if line is None else Shape(profile, rule, line)


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
