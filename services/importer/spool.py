"""Where an upload lies until it is imported."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Self

from kit.errors import ResourceExhausted
from services.importer.room import is_full

# Pieces are gathered up to this before they are written.
_WRITE_BYTES = 1 << 20


class SpoolFile:
    """One upload on its way to disk. `async with` removes it unless `keep` was awaited."""

    def __init__(self, path: Path, limit: int) -> None:
        self._part = path.with_name(path.name + ".part")
        self._path = path
        self._limit = limit
        self._file: BinaryIO | None = None
        self._pieces: list[bytes] = []
        self._pending = 0
        self._size = 0

    async def __aenter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = await asyncio.to_thread(self._part.open, "wb")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):  # on a full disk closing fails as writing did
                self._file.close()
            self._part.unlink(missing_ok=True)

    async def write(self, piece: bytes) -> None:
        """Adds a piece; raises ResourceExhausted beyond the limit."""
        self._size += len(piece)
        if self._size > self._limit:
            raise ResourceExhausted(
                f"The upload is larger than the {self._limit} bytes that are allowed. Import it by its path instead, "
                "or raise KIT_IMPORT_MAX_UPLOAD_BYTES.",
                reason="UPLOAD_TOO_LARGE",
                domain="loganalyzer",
                metadata={"limit": str(self._limit)},
            )
        self._pieces.append(piece)
        self._pending += len(piece)
        if self._pending >= _WRITE_BYTES:
            await self._do(self._flush)

    async def keep(self) -> Path:
        """Puts everything safely on disk under the final name."""
        await self._do(self._finish)
        return self._path

    async def _do(self, step: Callable[[], None]) -> None:
        try:
            await asyncio.to_thread(step)
        except OSError as error:
            if not is_full(error):
                raise
            raise ResourceExhausted(
                f"There is no room for the upload in {self._path.parent}: {error.strerror}.",
                reason="DISK_FULL",
                domain="loganalyzer",
            ) from None

    def _flush(self) -> None:
        assert self._file is not None
        self._file.write(b"".join(self._pieces))
        self._pieces, self._pending = [], 0

    def _finish(self) -> None:
        self._flush()
        file, self._file = self._file, None
        assert file is not None
        file.flush()
        os.fsync(file.fileno())
        file.close()
        self._part.rename(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
