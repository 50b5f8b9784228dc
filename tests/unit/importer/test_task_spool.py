"""An upload on its way to disk."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from kit.errors import ResourceExhausted
from services.importer.spool import SpoolFile

PIECE = b"x" * (1 << 20)


async def _write(path: Path, *pieces: bytes) -> None:
    async with SpoolFile(path, 10 << 20) as spool:
        for piece in pieces:
            await spool.write(piece)
        await spool.keep()


def test_a_disk_without_room_is_told_as_such_and_nothing_stays(tmp_path: Path) -> None:
    # A link to the device that is always full stands where the upload is written.
    os.symlink("/dev/full", tmp_path / "one.part")
    with pytest.raises(ResourceExhausted, match="no room for the upload") as raised:
        asyncio.run(_write(tmp_path / "one", PIECE, PIECE))
    assert raised.value.reason == "DISK_FULL"
    assert list(tmp_path.iterdir()) == []


def test_what_was_kept_is_there_whole(tmp_path: Path) -> None:
    asyncio.run(_write(tmp_path / "one", PIECE, b"end"))
    assert (tmp_path / "one").read_bytes() == PIECE + b"end"
    assert list(tmp_path.iterdir()) == [tmp_path / "one"]
