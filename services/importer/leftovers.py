"""Splits on disk that nobody knows."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path


def remove_leftovers(
    splits: Path, workspace: str, import_id: str, keep: Collection[str], tasks: Collection[int] | None = None
) -> None:
    """Removes what an import has on disk apart from the splits in `keep`: unfinished and unrecorded ones.

    `tasks`: only finished splits of these are looked at; None means all.
    """
    folder = splits / workspace
    for pattern in (f".tmp-{import_id}-*", f".old-{import_id}-*"):
        for path in folder.glob(pattern):
            shutil.rmtree(path, ignore_errors=True)
    for path in folder.glob(f"{import_id}-*"):
        if path.name not in keep and (tasks is None or _task(path.name) in tasks):
            shutil.rmtree(path, ignore_errors=True)


def _task(name: str) -> int | None:
    number = name.split("-")[1]
    return int(number) if number.isdigit() else None
