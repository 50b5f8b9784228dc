"""Checksums of the files of a split, noted by the care process when it first sees it.

`sums.json` holds {"crc32": of the rest, "files": {name: [bytes, crc32]}}. Files that are made or replaced later have
checksums of their own and are left out.
"""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from typing import Any

from services.search.index.grams import GRAMS
from services.search.index.layout import sync_folder

__all__ = ["SUMS", "SumsError", "differences", "note"]

SUMS = "sums.json"
_PIECE = 1 << 20


class SumsError(ValueError):
    """The checksums themselves are damaged."""


def note(folder: Path) -> None:
    """Writes the checksums of what is there, in one step."""
    files = {name: [size, crc] for name, (size, crc) in _sums(folder).items()}
    partial = folder / f".{SUMS}.tmp"
    with partial.open("w") as file:
        json.dump({"crc32": _crc_of(files), "files": files}, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / SUMS)
    sync_folder(folder)


def differences(folder: Path) -> dict[str, str]:
    """By file: what is not as it was. OSError where no checksums were noted, SumsError where they are damaged."""
    try:
        content: dict[str, Any] = json.loads((folder / SUMS).read_bytes())
        files: dict[str, list[int]] = content["files"]
        if content["crc32"] != _crc_of(files):
            raise SumsError("the checksums are damaged")
    except (ValueError, KeyError, TypeError) as error:
        raise SumsError("the checksums are damaged") from error
    found: dict[str, str] = {}
    now = _sums(folder)
    for name, (size, crc) in files.items():
        if name not in now:
            found[name] = f"{name} is missing"
        elif now[name] != (size, crc):
            kind = "is not as it was written" if now[name][0] == size else f"has {now[name][0]} bytes instead of {size}"
            found[name] = f"{name} {kind}"
    return found


def _sums(folder: Path) -> dict[str, tuple[int, int]]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {
        str(path.relative_to(folder)): _sum(path)
        for path in files
        if path.name not in (SUMS, GRAMS) and not path.name.endswith((".tmp", ".lock"))
    }


def _sum(path: Path) -> tuple[int, int]:
    size = crc = 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            size, crc = size + len(piece), zlib.crc32(piece, crc)
    return size, crc


def _crc_of(files: dict[str, list[int]]) -> int:
    return zlib.crc32(json.dumps(files, sort_keys=True).encode())
