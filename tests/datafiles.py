"""Where the real logs are: a small sample in the project, the large collection beside it when it is there."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "examples" / "logs"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """One row of the collection's manifest. `newlines` and `unpacked` are of the content, not of the archive."""

    path: Path
    unpacked: int
    newlines: int


def shared_data() -> Path | None:
    """Folder of the large collection, or None."""
    folder = ROOT.parent / "shared" / "data"
    return folder if (folder / "manifest.csv").is_file() else None


def require_shared_data() -> Path:
    """The same, or the test is skipped with the reason."""
    folder = shared_data()
    if folder is None:
        pytest.skip("the large log collection is not here (../shared/data beside the project)")
    return folder


def manifest(folder: Path, prefix: str = "") -> list[DataFile]:
    """Rows of the manifest whose path starts with the prefix."""
    with (folder / "manifest.csv").open(newline="") as file:
        return [
            DataFile(
                path=folder / row["path"], unpacked=int(row["bytes_unpacked"] or 0), newlines=int(row["newlines"] or 0)
            )
            for row in csv.DictReader(file)
            if row["path"].startswith(prefix)
        ]
