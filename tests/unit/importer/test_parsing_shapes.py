"""The fast way through the lines of a source finds what the plain one finds."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.importer.parsing import NO_TIME, LineParser
from services.importer.reading import Limits, LineBlocks, Member, Meter, open_members
from tests.datafiles import require_shared_data

MODIFIED = datetime(2024, 6, 15, tzinfo=UTC).timestamp()
LEVELS = ["INFO", "WARN", "ERROR", "DEBUG", "info", "Warning", "TRACE", "fatal", "INFORMATION", "nothing", ""]
LEVELS += ["[thread-7] WARN", "[main-12] ERRORS", "[main-1] WARNS", "[main-123] INFO", "(a-b) INFO_X", "a.b.c WARNING"]


def columns(lines: Sequence[bytes], size: int, *, by_shape: bool) -> tuple[list[int], list[int], bytes]:
    parser = LineParser(MODIFIED, by_shape=by_shape)
    times: list[int] = []
    levels: list[int] = []
    records = b""
    for at in range(0, len(lines), size):
        found = parser.parse(lines[at : at + size])
        times += found.times
        levels += found.levels
        records += found.records
    return times, levels, records


def assert_same(lines: Sequence[bytes], size: int) -> None:
    fast, plain = columns(lines, size, by_shape=True), columns(lines, size, by_shape=False)
    for row, (one, other) in enumerate(zip(zip(*fast, strict=True), zip(*plain, strict=True), strict=True)):
        assert one == other, (row, lines[max(0, row - 2) : row + 1])


KINDS: dict[str, Callable[[datetime, str, str], str]] = {
    "iso": lambda when, level, text: f"[{when:%Y-%m-%d %H:%M:%S},{when.microsecond // 1000:03}] {level} {text}",
    "iso without fraction": lambda when, level, text: f"{when:%Y-%m-%dT%H:%M:%S}Z {level}: {text}",
    "iso with zone": lambda when, level, text: f"{when:%Y-%m-%dT%H:%M:%S.%f}+0200 [{level}] {text}",
    "iso with nanoseconds": lambda when, level, text: f"{when:%Y-%m-%d %H:%M:%S.%f}123 {level} {text}",
    "one digit": lambda when, level, text: f"{when:%Y-%m-%d %H:%M:%S}.{when.microsecond // 100_000} {level} {text}",
    "slashes": lambda when, level, text: f"{when:%Y/%m/%d %H:%M:%S} [{level}] {text}",
    "compact": lambda when, level, text: f"{when:%Y%m%d.%H%M%S},{when.microsecond // 1000:03}:{level}:{text}",
    "short year": lambda when, level, text: f"{when:%y/%m/%d %H:%M:%S} {level} {text}",
    "syslog": lambda when, level, text: f"{when:%b %d %H:%M:%S} host app[17]: {level} {text}",
    "syslog with priority": lambda when, level, text: f"<34>{when:%b %d %H:%M:%S} host app: {level} {text}",
    "access": lambda when, level, text: f'1.2.3.4 - - [{when:%d/%b/%Y:%H:%M:%S} +0330] "GET /{text} HTTP/1.1" 200 1',
    "glog": lambda when, level, text: f"{level[:1] or 'I'}{when:%m%d %H:%M:%S.%f} 123 x.cc:1] {text}",
    "clock": lambda when, level, text: f"{when:%H:%M:%S} {level} {text}",
    "json": lambda when, level, text: f'{{"level":"{level}","@timestamp":"{when:%Y-%m-%dT%H:%M:%S.%f}Z","m":"{text}"}}',
    "json with a zone": lambda when, level, text: f'{{"m":"{text}","time" : "{when:%Y-%m-%d %H:%M:%S} CEST"}}',
    "epoch": lambda when, level, text: f"{when.timestamp():.6f} {level} {text}",
}  # fmt: skip
ODD = [
    "\tat java.lang.Thread.run(Thread.java:748)", "Caused by: x", "", "{", "2024-13-45 10:00:00 no such day",
    "2024-02-30 10:00:00,000 nor this", "[2024-01-01 10:60:00,123] INFO minute", "2024-01-01 10:00:61 second",
    "2024-01-01 23:59:60 leap second", "Feb 29 10:00:00 host app: leap day", "[2024-01-01 10:00:00,12] INFO short",
    "[2024-01-01 10:00:00,1234] INFO long", "2024-01-01 10:00:00 CET zone", "2024-01-01 10:00:00 ISTANBUL no zone",
    "2024-01-01 10:00:00+02 half a zone", "2024-01-01 10:00:00", "[2024-01-01 10:00:00,123", "12:34:56", "12:34:56.7",
    '{"time" : "2024-01-01 10:00:00"}', '"@timestamp"', '1.2.3.4 - - [17/May/2015:10:05:03 +0000]', "[", "[[",
    "#Date: 2000-10-09 16:44:49", "Dec 31 23:59:59 host app: late", "1969-12-31 23:59:59 too early",
]  # fmt: skip


def lines_of(kinds: Sequence[str], count: int, rng: random.Random, odd: float) -> list[bytes]:
    """Lines whose time goes on by steps of all sizes, sometimes back, and over the turn of the year."""
    when = datetime(2023, 12, 31, 22, tzinfo=UTC) - timedelta(days=rng.choice([0, 1, 200, 400]))
    lines = []
    for number in range(count):
        when += timedelta(seconds=rng.choice([0, 0.001, 0.1, 1, 1.5, 60, 3601, -2, -3700]))
        if rng.random() < 0.005:
            when += timedelta(days=rng.choice([1, 30, 170, 190, 366, -1, -182, -365]))
        text = KINDS[rng.choice(kinds)](when, rng.choice(LEVELS), f"line {number}")
        if rng.random() < odd:
            text = rng.choice(ODD) if rng.random() < 0.5 else mutated(text, rng)
        lines.append(text.encode())
    return lines


def mutated(text: str, rng: random.Random) -> str:
    """`text` with a character of its beginning replaced, left out or doubled, or cut off there."""
    at = rng.randrange(min(len(text), 45))
    other = rng.choice("0123456789  .,:+-ZTIW][") if rng.random() < 0.6 else "6"
    return text[:at] + rng.choice([other + text[at + 1 :], other + text[at + 1 :], text[at + 1 :], text[at:], ""])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [64, 300, 5000])
def test_a_source_of_one_kind(kind: str, size: int) -> None:
    rng = random.Random(f"{kind}{size}")
    for odd in (0.0, 0.02, 0.3):
        assert_same(lines_of([kind], 1500, rng, odd), size)


@pytest.mark.parametrize("seed", range(30))
def test_mixtures(seed: int) -> None:
    rng = random.Random(seed)
    lines: list[bytes] = []
    for _ in range(3):
        lines += lines_of(rng.sample(list(KINDS), rng.choice([1, 1, 2, 4])), 600, rng, rng.choice([0.0, 0.05, 0.6]))
    assert_same(lines, rng.choice([70, 500, 2000]))


def test_the_fast_way_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = lines_of(["iso"], 5000, random.Random(1), 0.01)
    parser = LineParser(MODIFIED)
    looked_at = 0
    plain = parser._timed

    def timed(some: Sequence[bytes], *rest: object) -> object:
        nonlocal looked_at
        looked_at += len(some)
        return plain(some, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(parser, "_timed", timed)
    assert NO_TIME not in parser.parse(lines).times
    assert looked_at < 100


@pytest.mark.data
def test_every_file_of_the_collection_and_mixtures_of_them() -> None:
    rng = random.Random(5)
    texts: list[list[bytes]] = []
    data = require_shared_data()
    for path in [*sorted((data / "formats").iterdir()), *sorted((data / "elastic").rglob("*"))]:
        if path.is_file() and path.stat().st_size:
            texts.append(lines_in(path))
            assert_same(texts[-1], 1000)
    for _ in range(40):
        mixed = [line for text in rng.sample(texts, 3) for line in text[:400] * rng.choice([1, 3])]
        if rng.random() < 0.3:
            rng.shuffle(mixed)
        assert_same(mixed, rng.choice([64, 200, 4000]))


def lines_in(path: Path) -> list[bytes]:
    lines: list[bytes] = []
    for found in open_members(str(path), path.name, Meter(Limits())):
        assert isinstance(found, Member)
        lines += [line for block in LineBlocks(found.stream, 1 << 24) for line in block]
    return lines[:5000]
