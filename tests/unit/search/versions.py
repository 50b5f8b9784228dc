"""Splits as older versions wrote them."""

from __future__ import annotations

from array import array
from pathlib import Path

from loganalyzer.search.v1 import search_pb2
from services.search.index import read_meta, split_path
from services.search.index.layout import RAW_TABLE, folder_bytes, write_meta
from tests.unit.search.splits import WORKSPACE


def as_version_1(root: Path, split: search_pb2.Split, workspace: str = WORKSPACE) -> search_pb2.Split:
    """Makes a split one of version 1, whose table of frames has no beginning and knows no times."""
    folder = split_path(root, workspace, split.id)
    table = array("q")
    table.frombytes((folder / RAW_TABLE).read_bytes()[8:])
    old = array("q")
    for at in range(0, len(table), 8):
        old.extend(table[at : at + 5])
    (folder / RAW_TABLE).write_bytes(old.tobytes())
    meta = read_meta(folder)
    meta.schema_version = 1
    meta.stored_bytes = folder_bytes(folder)
    write_meta(folder, meta)
    return meta
