"""Lines out of streams: blocks, long lines, byte order marks, and where in the source each block ends."""

from __future__ import annotations

import codecs
import random
import tracemalloc
from pathlib import Path

import pytest

from services.importer.reading import Limits, LineBlocks, Meter, Problem, ReadProblem, Reason, open_members
from services.importer.reading.streams import Buffered
from tests.unit.importer.archives import Content, written


class Pieces:
    """A stream that gives its bytes in pieces of random sizes, and breaks at its end if it is told to."""

    def __init__(self, data: bytes, seed: int, *, breaks: bool = False) -> None:
        self._data = data
        self._chance = random.Random(seed)
        self._breaks = breaks

    def read(self, size: int) -> bytes:
        taken = self._chance.randrange(1, max(2, min(size, 400)))
        data, self._data = self._data[:taken], self._data[taken:]
        if not data and self._breaks:
            raise ReadProblem(Reason.DAMAGED, "broken")
        return data


def expected(data: bytes, limit: int) -> list[bytes]:
    lines = data.removeprefix(codecs.BOM_UTF8).split(b"\n")
    return [line[:limit] for line in (lines if lines[-1] else lines[:-1])]


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("limit", [5, 50, 1 << 20])
def test_blocks_add_up_to_the_source_whatever_the_sizes(seed: int, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(seed)
    monkeypatch.setattr("services.importer.reading.lines._BLOCK", chance.randrange(1, 200))
    sizes = [chance.choice([0, 1, limit - 1, limit, limit + 1, 300]) % 2000 for _ in range(chance.randrange(60))]
    data = b"\n".join(chance.randbytes(size).replace(b"\n", b"x") for size in sizes)
    if chance.random() < 0.3:
        data = codecs.BOM_UTF8 + data
    blocks = LineBlocks(Buffered(Pieces(data, seed, breaks=seed % 2 == 1)), limit)
    lines: list[bytes] = []
    offset = 0
    long_lines = []
    try:
        for block in blocks:
            lines += block
            offset += blocks.consumed
            assert blocks.consumed == sum(map(len, block)) + len(block) + blocks.excess - blocks.unterminated
            if blocks.long_line:
                assert len(block) == 1
                long_lines.append((len(lines), blocks.long_line))
            begun = data[: offset - (not blocks.unterminated)]
            assert len(expected(begun + b"\n", limit)) == len(lines)
    except ReadProblem:
        assert seed % 2 == 1
    assert lines == expected(data, limit)
    if lines:
        assert offset == len(data)
    whole = expected(data, 1 << 30)
    assert long_lines == [(number, len(line)) for number, line in enumerate(whole, 1) if len(line) > limit]


@pytest.mark.parametrize("after", range(1, 9))
def test_a_source_goes_on_after_any_block(after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.importer.reading.lines._BLOCK", 64)
    data = codecs.BOM_UTF8 + b"\n".join(b"%d" % number * (number % 7 * 10) for number in range(100)) + b"\nlast"
    whole = [line for block in LineBlocks(Buffered(Pieces(data, 1)), 40) for line in block]
    first = LineBlocks(Buffered(Pieces(data, 2)), 40)
    lines: list[bytes] = []
    offset = 0
    for count, block in enumerate(first, 1):
        lines += block
        offset += first.consumed
        if count == after:
            break
    stream = Buffered(Pieces(data, 3))
    assert stream.skip(offset) == offset
    lines += [line for block in LineBlocks(stream, 40, offset) for line in block]
    assert lines == whole


def test_a_line_over_the_limit_is_kept_up_to_it_and_the_rest_is_read(tmp_path: Path) -> None:
    data = b"a\n" + b"x" * (3 << 20) + b"\nb\n" + b"y" * (5 << 20)
    content = Content(written(tmp_path, "a.log", data), Limits(line_bytes=1 << 20))
    assert content.members == {"a.log": [b"a", b"x" * (1 << 20), b"b", b"y" * (1 << 20)]}
    assert [(p.reason, p.line_number) for p in content.problems] == [(Reason.LIMIT, 2), (Reason.LIMIT, 4)]
    assert str(1 << 20) in content.problems[0].message
    assert str(3 << 20) in content.problems[0].message


def test_a_line_of_a_gigabyte_takes_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    with path.open("wb") as file:  # a hole costs no disk; a letter in front makes it a text
        file.write(b"first\n" + b"x" * (1 << 17))
        file.truncate(1 << 30)
        file.seek(0, 2)
        file.write(b"\nlast\n")
    tracemalloc.start()
    lines = []
    for found in open_members(str(path), "a.log", Meter(Limits())):
        assert not isinstance(found, Problem)
        blocks = LineBlocks(found.stream, 16 << 20)
        for block in blocks:
            lines += [(len(line), blocks.long_line) for line in block]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert lines == [(5, 0), (16 << 20, (1 << 30) - 6), (4, 0)]
    assert peak < 64 << 20


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path) -> None:
    content = Content(written(tmp_path, "a.log", codecs.BOM_UTF8 + b"one\n" + codecs.BOM_UTF8 + b"two\n"))
    assert content.members == {"a.log": [b"one", codecs.BOM_UTF8 + b"two"]}
    assert content.encodings == {"a.log": "utf-8"}


def test_a_file_of_nothing_but_a_mark_has_no_lines(tmp_path: Path) -> None:
    content = Content(written(tmp_path, "a.log", codecs.BOM_UTF8))
    assert content.members == {"a.log": []}
