"""Lines of one shape, read without a regular expression for each.

The lines of a source usually have their time at the same place, with the same number of digits and the same zone. What
stands before the minutes then comes again for an hour, minutes, seconds and fractions are digits whatever they are, and
what ends the time is one of a few. So most lines take a few look-ups, done for a whole block at once. Texts before the
minutes and behind the digits are only learned from lines that the profile's own pattern has matched, and all that the
pattern looks at lies in one of the pieces, so what is put together from known pieces is what the pattern would have
found.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial, reduce
from itertools import repeat
from operator import add, itemgetter

from services.importer.parsing import levels
from services.importer.parsing.calendar import ZONE_NAMES
from services.importer.parsing.levels import LevelRule
from services.importer.parsing.profiles import Profile

#: Less than any time: at least one piece of the line is not known.
UNKNOWN = -(1 << 62)

# Where this many texts are known they are learned anew.
_ENTRIES = 4096
_DIGITS = 3
# How much is known by heart of what follows the time: where it ends, and the level.
_ENDING, _LEVEL = 3, 16
# Shares of lines whose level must be known by heart for that to be worth while.
_WORTH = 0.5
_NOWHERE = 1 << 40
# After these a pattern may go on.
_SOFT = frozenset(b" .,:+-_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_ZONE_STARTS = frozenset(name[:2] for name in ZONE_NAMES.split(b"|")) | {b"Z"}

#: (text, zone) -> microseconds of the whole second, if known.
BaseOf = Callable[[bytes, "bytes | None"], "int | None"]


class Shape:
    """What is known of lines whose time looks like that of the line that it is made from.

    `profile` must have times that end in two digits of seconds, and decimal fractions.
    """

    def __init__(self, profile: Profile, rule: LevelRule, line: bytes) -> None:
        self._locate, self._needle, self._rule = profile.locator(), profile.needle, rule
        self._key = self._key_of(line)
        text_end, digits, zone_start, self._end, _ = self._key or (8, 0, 8, 8, b"")
        colon = line[(at := self._place(line)) + text_end - 3 : at + text_end - 2] == b":"
        clock = 5 if colon else 4
        #: Where each piece stands, and the microseconds that each of its texts stands for; their sum is the time.
        self._heads: dict[bytes, int] = {}
        self._clock = _clocks(b":" if colon else b"")
        self._pieces = [(slice(0, text_end - clock), self._heads), (slice(text_end - clock, text_end), self._clock)]
        if digits:
            first = min(digits, _DIGITS)
            mark = line[at + text_end : at + text_end + 1]
            self._pieces.append((slice(text_end, text_end + 1 + first), _numbers(mark, first, 10 ** (6 - first))))
        for n in range(_DIGITS, digits, _DIGITS):
            count, start = min(_DIGITS, digits - n), text_end + 1 + n
            unit = 10 ** (_DIGITS - count) if n == _DIGITS else 0
            self._pieces.append((slice(start, start + count), _numbers(b"", count, unit)))
        self._endings: dict[bytes, int] = {}
        self._pieces.append((slice(zone_start, self._end + _ENDING), self._endings))
        self._levels: dict[bytes, int] | None = {} if rule is levels.NEAR else None

    def read(self, lines: Sequence[bytes]) -> list[int]:
        """Times of lines; below UNKNOWN / 2 for those that must be looked at."""
        places = self._places(lines)
        columns = [map(texts.get, _cut(lines, places, span), repeat(UNKNOWN)) for span, texts in self._pieces]
        return list(reduce(partial(map, add), columns))

    def levels(self, lines: Sequence[bytes]) -> list[int]:
        """Levels of lines whose times are known."""
        find, known = self._rule.find, self._levels
        if self._rule is levels.NONE:
            return [0] * len(lines)
        if not self._rule.placed:
            return list(map(find, lines, repeat(0)))
        places = self._places(lines)
        if known is None:
            return list(map(find, lines, repeat(self._end) if places is None else [at + self._end for at in places]))
        keys = list(_cut(lines, places, slice(self._end, self._end + _LEVEL)))
        found = list(map(known.get, keys))
        if None in found:
            asked = 0
            for row in [row for row, level in enumerate(found) if level is None]:
                found[row] = known.get(keys[row])
                if found[row] is None:
                    asked += 1
                    end = self._end if places is None else places[row] + self._end
                    found[row], stop = levels.near(lines[row], end)
                    # Nothing beyond the key has a part in it.
                    if len(keys[row]) < _LEVEL or (found[row] and stop < end + _LEVEL):
                        _keep(known, keys[row], found[row] or 0)
            if asked > len(lines) * _WORTH and asked > _ENTRIES // 8:
                self._levels = None
        return found  # type: ignore[return-value]

    def learn(self, lines: Sequence[bytes], base_of: BaseOf) -> int:
        """Takes note of what is new in lines; returns how many have a time of another shape.

        `base_of` gives the microseconds of the whole second that (text, zone) names, or None.
        """
        places = self._places(lines)
        # Lines that differ in the clock alone teach the same.
        heads, endings = (_cut(lines, places, self._pieces[n][0]) for n in (0, -1))
        kinds: dict[tuple[bytes, bytes], list[bytes]] = {}
        for head, ending, line in zip(heads, endings, lines, strict=True):
            kinds.setdefault((head, ending), []).append(line)
        return sum(len(alike) for alike in kinds.values() if not self._learn_one(alike[0], base_of))

    def _learn_one(self, line: bytes, base_of: BaseOf) -> bool:
        found = self._locate(line)
        if found is None:
            return True
        if self._key_of(line) != self._key:
            return False
        text, zone, at = found.group(1), found.group(3), self._place(line)
        head, clock, ending = (
            line[at + span.start : at + span.stop] for span in (self._pieces[n][0] for n in (0, 1, -1))
        )
        base = base_of(text, zone)
        if base is not None and _is_ending(line[found.end() : found.end() + _ENDING], zone):
            _keep(self._heads, head, base - self._clock[clock])
            _keep(self._endings, ending, 0)
        return True

    def forget_bases(self) -> None:
        """Drops what the texts of hours stand for: the year or the day is another one now."""
        self._heads.clear()

    def _place(self, line: bytes) -> int:
        return line.find(self._needle) + len(self._needle) if self._needle else 0

    def _places(self, lines: Sequence[bytes]) -> list[int] | None:
        """Where the pattern is tried in each line; None for the start of each."""
        if not self._needle:
            return None
        needle, size = self._needle, len(self._needle)
        return [_NOWHERE if at < 0 else at + size for at in [line.find(needle) for line in lines]]

    def _key_of(self, line: bytes) -> tuple[int, int, int, int, bytes] | None:
        """Ends of text, of digits and of all, counted from where it is tried, and what must be the same."""
        found = self._locate(line)
        if found is None:
            return None
        at, (text, fraction, zone) = self._place(line), found.group(1, 2, 3)
        digits, stop = len(fraction or b""), found.end(1) - at
        mark = line[found.end(1) : found.end(1) + 1] if digits else b""
        return stop, digits, stop + digits + (digits > 0), found.end() - at, mark + text[-3:-2] + (zone or b"")


@lru_cache(maxsize=4)
def _clocks(colon: bytes) -> dict[bytes, int]:
    """Microseconds since the hour began by text; a leap second is the second before it."""
    return {
        b"%02d%b%02d" % (minute, colon, second): (minute * 60 + min(second, 59)) * 1_000_000
        for minute in range(60)
        for second in range(61)
    }


@lru_cache(maxsize=32)
def _numbers(mark: bytes, digits: int, unit: int) -> dict[bytes, int]:
    """Every number of so many digits behind a mark, times `unit`."""
    return {b"%b%0*d" % (mark, digits, number): number * unit for number in range(10**digits)}


def _cut(lines: Sequence[bytes], places: Sequence[int] | None, span: slice) -> map[bytes] | list[bytes]:
    if places is None:
        return map(itemgetter(span), lines)
    low, high = span.start, span.stop
    return [line[at + low : at + high] for line, at in zip(lines, places, strict=True)]


def _is_ending(text: bytes, zone: bytes | None) -> bool:
    """Whether a time surely ends before `text`, which is the next bytes of the line or all that is left of it."""
    if len(text) < _ENDING or text[0] not in _SOFT:
        return True
    if text[:1] in (b".", b",", b":"):
        return not text[1:2].isdigit()
    return text[:1] == b" " and (zone is not None or not (text[1:3] in _ZONE_STARTS or text[1:2] in b"Z+-"))


def _keep(known: dict[bytes, int], text: bytes, value: int) -> None:
    if len(known) >= _ENTRIES:
        known.clear()
    known[text] = value
