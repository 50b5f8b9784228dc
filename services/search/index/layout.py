"""Where a split lies on disk and what its files are called.

<root>/<workspace>/<split id>/
    meta.json    the Split message
    raw.zst      the lines, see `frames`
    raw.idx      where each frame begins, and its times
    grams.bin    which frames may hold a string, see `grams`; made later, may be missing
    index/       the engine's files
<root>/<workspace>/.tmp-<split id>/    one that is being built
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from google.protobuf import json_format

from loganalyzer.search.v1 import search_pb2

__all__ = [
    "INDEX",
    "META",
    "NO_TIME",
    "RAW",
    "RAW_TABLE",
    "SCHEMA_VERSION",
    "SUPPORTED",
    "folder_bytes",
    "read_meta",
    "remove_tree",
    "split_path",
    "sync_folder",
    "temporary_path",
    "write_meta",
    "write_synced",
]

#: Version of everything that a split has on disk, as it is written; and the versions that are read. Version 1 knows no
#: times of frames.
SCHEMA_VERSION = 2
SUPPORTED = (1, 2)
#: Time of a line that has none.
NO_TIME: int = -(2**63)
META, RAW, RAW_TABLE, INDEX = "meta.json", "raw.zst", "raw.idx", "index"

_WORKSPACE = re.compile(r"[a-z][a-z0-9-]{3,62}")
_SPLIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def split_path(root: Path, workspace: str, split_id: str) -> Path:
    """Folder of a finished split. Raises ValueError for names that could lead elsewhere."""
    if not _WORKSPACE.fullmatch(workspace):
        raise ValueError(f"not a workspace id: {workspace!r}")
    if not _SPLIT.fullmatch(split_id):
        raise ValueError(f"not a split id: {split_id!r}")
    return Path(root) / workspace / split_id


def temporary_path(root: Path, workspace: str, split_id: str) -> Path:
    """Folder of the same split while it is being built."""
    path = split_path(root, workspace, split_id)
    return path.with_name(f".tmp-{path.name}")


def write_meta(folder: Path, split: search_pb2.Split) -> None:
    """Writes the Split message so that it survives a power failure."""
    write_synced(folder / META, json_format.MessageToJson(split, indent=1).encode())


def read_meta(folder: Path) -> search_pb2.Split:
    """Reads it. Raises OSError where there is none, ValueError where it is damaged."""
    try:
        return json_format.Parse((folder / META).read_bytes(), search_pb2.Split())
    except json_format.ParseError as error:
        raise ValueError(f"{folder.name}/{META} is damaged: {error}") from error


def write_synced(path: Path, content: bytes) -> None:
    """Writes a file and waits until it is on disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Waits until the names in `folder` are on disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def folder_bytes(folder: Path) -> int:
    """Bytes of all files in a folder and below."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def remove_tree(folder: Path) -> None:
    """Removes a folder if it is there."""
    if folder.exists():
        shutil.rmtree(folder)
