"""Builds splits for the tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from loganalyzer.search.v1 import search_pb2
from services.search.index import NO_TIME, SCHEMA_VERSION, SplitWriter
from services.search.index.frames import FrameReader
from services.search.index.layout import RAW_TABLE, read_meta, split_path, write_meta
from services.search.index.split import FrameCache
from services.search.lru import LruCache

WORKSPACE = "default"
#: 2001-09-09T01:46:40Z
EPOCH = 1_000_000_000_000_000


@dataclass(frozen=True, slots=True)
class Row:
    """One line to write."""

    raw: bytes
    time: int = NO_TIME
    level: int = 0
    starts: bool = True


@dataclass(frozen=True, slots=True)
class Source:
    """A run of lines to write."""

    rows: Sequence[Row]
    source_id: str = "aa"
    name: str = "app.log"
    import_name: str = "workspaces/default/imports/one"
    first_line: int = 1
    complete: bool = True


def write_split(
    root: Path,
    sources: Sequence[Source],
    *,
    split_id: str = "s1",
    workspace: str = WORKSPACE,
    segment_rows: int | None = None,
    version: int = SCHEMA_VERSION,
) -> search_pb2.Split:
    """Writes a finished split. `segment_rows` makes the engine begin a new segment after so many rows."""
    writer = SplitWriter(root, workspace, split_id, heap_bytes=15 << 20)
    for source in sources:
        writer.add_source(
            source_id=source.source_id,
            name=source.name,
            import_name=source.import_name,
            first_line=source.first_line,
            byte_offset=0,
        )
        rows = list(source.rows)
        step = segment_rows or len(rows) or 1
        for at in range(0, len(rows), step):
            part = rows[at : at + step]
            writer.add_lines(
                [row.raw for row in part],
                [row.time for row in part],
                [row.level for row in part],
                bytes(row.starts for row in part),
            )
            if segment_rows is not None:
                writer.flush()
        writer.end_source(complete=source.complete, byte_count=sum(len(row.raw) + 1 for row in rows))
    split = writer.finish()
    return split if version == SCHEMA_VERSION else as_version_1(split_path(root, workspace, split_id))


def as_version_1(folder: Path) -> search_pb2.Split:
    """Makes a split what the first version of the format was: its table of frames knows no times."""
    reader = FrameReader(folder)
    content, width = (folder / RAW_TABLE).read_bytes(), 8 * 8
    begin = len(content) - width * len(reader)
    entries = [content[at : at + 5 * 8] for at in range(begin, len(content), width)]
    reader.close()
    (folder / RAW_TABLE).write_bytes(b"".join(entries))
    split = read_meta(folder)
    split.schema_version = 1
    write_meta(folder, split)
    return split


def lines(*texts: str | bytes, start: int = EPOCH, step: int = 1_000_000, level: int = 0) -> list[Row]:
    """Rows with times `step` microseconds apart."""
    return [
        Row(text if isinstance(text, bytes) else text.encode(), start + number * step, level)
        for number, text in enumerate(texts)
    ]


def frame_cache() -> FrameCache:
    """A cache of unpacked frames."""
    return LruCache(16)
