"""The level of a line: rules, and which of them fits a source.

The numbers are those of loganalyzer.search.v1.Level; 0 is none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

TRACE, DEBUG, INFO, NOTICE, WARN, ERROR, CRITICAL, FATAL = range(1, 9)

#: (line, where its time ends) -> level
FindLevel = Callable[[bytes, int], int]

_NAMES = {
    TRACE: "trace finest finer verbose",
    DEBUG: "debug fine dbg",
    INFO: "info information informational log",
    NOTICE: "notice note",
    WARN: "warn warning",
    ERROR: "error err severe",
    CRITICAL: "critical crit alert",
    FATAL: "fatal emerg emergency panic",
}
_WORDS: dict[bytes, int] = {
    form.encode(): level
    for level, names in _NAMES.items()
    for name in names.split()
    for form in (name, name.upper(), name.capitalize())
}
_WORDS |= {f"{form}{n}".encode(): DEBUG for form in ("debug", "DEBUG", "Debug") for n in range(1, 6)}
_LETTERS = {b"V": TRACE, b"T": TRACE, b"D": DEBUG, b"I": INFO, b"W": WARN, b"E": ERROR, b"F": FATAL}

_SYSLOG = {
    str(n).encode(): level for n, level in enumerate((FATAL, CRITICAL, CRITICAL, ERROR, WARN, NOTICE, INFO, DEBUG))
}
_WINDOWS = {str(n).encode(): level for n, level in enumerate((INFO, CRITICAL, ERROR, WARN, INFO, TRACE))}
_NUMBERED = {str((n + 1) * 10).encode(): level for n, level in enumerate((TRACE, DEBUG, INFO, WARN, ERROR, FATAL))}
_NUMBERED |= {str(n).encode(): level for n, level in enumerate((DEBUG, INFO, WARN, ERROR, FATAL))}

# These are too common in running text to mean a level there.
_RARELY_MEANT = {b"fine", b"finer", b"finest", b"log", b"note", b"alert", b"panic"}
_PLAIN_WORDS = sorted((word for word in _WORDS if word.lower() not in _RARELY_MEANT), key=len, reverse=True)
_UPPER_WORDS = [word for word in _PLAIN_WORDS if word.isupper()] + [b"LOG", b"PANIC", b"ALERT"]


def _alternation(words: Iterable[bytes]) -> re.Pattern[bytes]:
    """One of the words as a whole word. Begins with letters, not with a look behind, so that `re` skips fast."""
    rests: dict[bytes, list[bytes]] = {}
    for word in words:
        rests.setdefault(word[:1], []).append(word[1:])
    branches = (first + rb"(?<![A-Za-z0-9_].)(?:" + b"|".join(rest) + rb")" for first, rest in rests.items())
    return re.compile(rb"(?:" + b"|".join(branches) + rb")(?![A-Za-z0-9_])", re.DOTALL)


_NEAR = _alternation(_PLAIN_WORDS)
_UPPER = _alternation(_UPPER_WORDS)
# Where `near` looks.
_NEAR_BYTES = 48
_GLOG = re.compile(rb"([TDIWEF])\d{4} \d\d:")
_PRIORITY = re.compile(rb"(?:\x1b\[[0-9;]*[A-Za-z])*<(\d{1,3})>")
_COLUMN = re.compile(rb"[ \t]+(?:[0-9A-F]+[ \t]+){1,3}([VTDIWEF])[ \t/]")
# Between brackets they all mean a level.
_BRACKETED = re.compile(rb"\[(" + b"|".join(_WORDS) + rb")\]")
_JSON_VALUE = re.compile(rb"\s*:\s*\"?([A-Za-z]+\d?|\d{1,2})\b")
_PAIR_VALUE = re.compile(rb"\"?([A-Za-z]+)")


@dataclass(frozen=True, slots=True)
class LevelRule:
    """A way to find levels. A parser keeps the one that found most in the first lines."""

    name: str
    find: FindLevel
    #: It does matter where the time ends.
    placed: bool = False


def _behind(needle: bytes, value: re.Pattern[bytes], table: dict[bytes, int]) -> FindLevel:
    match, size, level_of = value.match, len(needle), table.get

    def find(line: bytes, end: int) -> int:
        at = line.find(needle)
        if at < 0:
            return 0
        found = match(line, at + size)
        return 0 if found is None else level_of(found.group(1), 0)

    return find


def _word(pattern: re.Pattern[bytes], before: int, after: int) -> FindLevel:
    search, level_of = pattern.search, _WORDS

    def find(line: bytes, end: int) -> int:
        found = search(line, end - before if end > before else 0, end + after)
        return 0 if found is None else level_of[found.group()]

    return find


def near(line: bytes, end: int) -> tuple[int, int]:
    """The level that the rule `near` finds behind the time, and where its word ends; 0 and -1 where there is none."""
    found = _NEAR.search(line, end, end + _NEAR_BYTES)
    return (0, -1) if found is None else (_WORDS[found.group()], found.end())


def _none(line: bytes, end: int) -> int:
    return 0


def _glog(line: bytes, end: int) -> int:
    found = _GLOG.match(line)
    return 0 if found is None else _LETTERS[found.group(1)]


def _letter(line: bytes, end: int) -> int:
    """Android's and others': numbers of process and thread, then a letter."""
    found = _COLUMN.match(line, end)
    return 0 if found is None else _LETTERS[found.group(1)]


def _bracketed(line: bytes, end: int) -> int:
    found = _BRACKETED.search(line, end, end + _NEAR_BYTES)
    return 0 if found is None else _WORDS[found.group(1)]


def _priority(line: bytes, end: int) -> int:
    """The number before a syslog message: eight times the facility, and the severity."""
    found = _PRIORITY.match(line)
    return 0 if found is None else _SYSLOG[b"%d" % (int(found.group(1)) & 7)]


_JSON_RULES = tuple(
    LevelRule(f"json:{key}", _behind(f'"{key}"'.encode(), _JSON_VALUE, _WORDS | numbers))
    for key, numbers in (
        ("level", _NUMBERED), ("log.level", _NUMBERED), ("lvl", {}), ("severity", _SYSLOG), ("levelname", {}),
        ("level_name", {}), ("severityText", {}), ("loglevel", {}), ("Level", _WINDOWS), ("PRIORITY", _SYSLOG),
        ("s", _LETTERS),
    )
)  # fmt: skip
#: A word soon behind the time, the usual place.
NEAR = LevelRule("near", _word(_NEAR, 0, _NEAR_BYTES), placed=True)
_TEXT_RULES = (
    LevelRule("glog", _glog),
    LevelRule("priority", _priority),
    LevelRule("level=", _behind(b"level=", _PAIR_VALUE, _WORDS)),
    LevelRule("lvl=", _behind(b"lvl=", _PAIR_VALUE, _WORDS)),
    NEAR,
    LevelRule("bracketed", _bracketed, placed=True),
    LevelRule("letter", _letter, placed=True),
    LevelRule("upper", _word(_UPPER, 64, 128), placed=True),
)
NONE = LevelRule("none", _none)

BY_NAME = {rule.name: rule for rule in (*_JSON_RULES, *_TEXT_RULES, NONE)}


def choose(sample: Sequence[tuple[bytes, int]], *, json: bool, without_level: bool) -> LevelRule:
    """The rule that finds a level in most of the sample: (line, where its time ends)."""
    if without_level:
        return NONE
    best, most = (NONE if json else NEAR), 0
    for rule in _JSON_RULES if json else (*_TEXT_RULES, *_JSON_RULES):
        if most == len(sample):
            break
        count = sum(1 for line, end in sample if rule.find(line, end))
        if count > most:
            best, most = rule, count
    return best
