"""Readers that tell damage apart, and read lines by whole frames."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from kit.errors import DataLoss
from services.search.guarded import GuardedSplit, is_damage
from services.search.index.engine import TantivySplit
from services.search.index.layout import split_path
from services.search.index.prepared import prepare
from services.search.index.split import Batch, Order
from services.search.query import normalise, parse
from tests.unit.search.splits import EPOCH, WORKSPACE, Row, Source, frame_cache, write_split


def told(error: BaseException) -> Exception:
    return DataLoss(f"told {error}")


def opened(root: Path, *sources: Source) -> TantivySplit:
    split = write_split(root, sources)
    return TantivySplit(split_path(root, WORKSPACE, split.id), frame_cache())


def test_lines_are_those_that_are_read_one_by_one(tmp_path: Path) -> None:
    chance = random.Random(5)
    sources = [
        Source(
            [
                # Some records begin in a frame before, and some before their run.
                Row(b"x" * chance.choice([5, 300, 40_000]), EPOCH + number, number % 5, starts=chance.random() < 0.2)
                for number in range(count)
            ],
            name,
            f"{name}.log",
            first_line=first,
        )
        for name, count, first in (("aa", 40, 1), ("bb", 0, 1), ("cc", 30, 1000), ("dd", 1, 9))
    ]
    split = opened(tmp_path, *sources)
    guarded = GuardedSplit(split, told)
    for _ in range(50):
        rows = chance.choices(range(split.line_count), k=chance.randrange(30))
        assert guarded.lines(rows) == [split.line(row) for row in rows]
    everything = [*range(split.line_count)]
    for rows in (everything, everything[::-1]):
        assert guarded.lines(rows) == [split.line(row) for row in rows]


class PanicException(BaseException):
    """As the engine raises it."""


@pytest.mark.parametrize(
    "error", [PanicException("boom"), OSError(5, "gone"), ValueError("cut"), zstandard.ZstdError()]
)
def test_damage_is_told_whatever_is_asked(tmp_path: Path, error: BaseException) -> None:
    class Broken(TantivySplit):
        def count(self, *_: object) -> int:
            raise error

        def walk(self, *_: object) -> Iterator[Batch]:
            yield Batch([], 1)
            raise error

    write_split(tmp_path, [Source([Row(b"x")])])
    guarded = GuardedSplit(Broken(split_path(tmp_path, WORKSPACE, "s1"), frame_cache()), told)
    query = prepare(normalise(parse("x")))
    with pytest.raises(DataLoss, match="told"):
        guarded.count(query)
    walk = guarded.walk(query, Order.NEWEST)
    assert next(walk).done == 1
    with pytest.raises(DataLoss, match="told"):
        next(walk)


def test_nothing_else_is_damage(tmp_path: Path) -> None:
    assert not any(map(is_damage, (KeyboardInterrupt(), RuntimeError(), GeneratorExit(), KeyError())))
