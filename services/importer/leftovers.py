"""Splits on disk that nobody knows."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path


def remove_leftovers(splits: Path, workspace: str, import_id: str, keep: Collection[str]) -> None:
    """Removes what an import has on disk apart from the splits in `keep`: unfinished and unrecorded ones."""
    folder = splits / workspace
    for pattern in (f".tmp-{import_id}-*", f".old-{import_id}-*", f"{import_id}-*"):
        for path in folder.glob(pattern):
            if path.name not in keep:
                shutil.rmtree(path, ignore_errors=True)
