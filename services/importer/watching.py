"""Hearing of changes to files and folders: from the system where it tells, by looking where it does not."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from watchfiles import awatch

from kit.clock import Clock
from kit.observe import get_logger

_log = get_logger("importer.watching")

#: Seconds between looks where the system tells of changes, in case it does not tell of all, and where it tells of none.
SAFETY_SECONDS, POLL_SECONDS = 15.0, 1.0
# File systems whose changes made elsewhere are not told of.
_REMOTE = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "virtiofs", "vboxsf", "drvfs")


class Watch:
    """Calls `changed` whenever something may have changed at or below the paths."""

    def __init__(self, paths: Iterable[str], changed: Callable[[], None], clock: Clock) -> None:
        self._paths = list(paths)
        self._changed = changed
        self._clock = clock

    async def run(self) -> None:
        """Until it is cancelled."""
        local = [path for path in self._paths if not is_remote(path)]
        async with asyncio.TaskGroup() as group:
            if len(local) < len(self._paths):
                group.create_task(self._tick(POLL_SECONDS))
            if local:
                folders, beside = await asyncio.to_thread(_folders, local)
                group.create_task(self._hear(sorted(folders), recursive=True))
                group.create_task(self._hear(sorted(beside - folders), recursive=False))
                group.create_task(self._tick(SAFETY_SECONDS))

    async def _tick(self, seconds: float) -> None:
        while True:
            await self._clock.sleep(seconds)
            self._changed()

    async def _hear(self, folders: list[str], *, recursive: bool) -> None:
        if not folders:
            return
        try:
            watching = awatch(
                *folders, watch_filter=None, debounce=100, step=20, recursive=recursive, ignore_permission_denied=True
            )
            async for _ in watching:
                self._changed()
        except (OSError, RuntimeError) as error:  # too many folders for the system, or one is gone
            _log.warning("watching_by_looking", folders=folders, error=str(error))
        await self._tick(POLL_SECONDS)


def _folders(paths: list[str]) -> tuple[set[str], set[str]]:
    """Folders among the paths, and those that the others stand in."""
    folders = {path for path in paths if os.path.isdir(path)}
    return folders, {os.path.dirname(path) for path in paths if path not in folders}


def is_remote(path: str, mounts: Path = Path("/proc/self/mounts")) -> bool:
    """Whether a path lies on a network mount, as far as can be told."""
    try:
        lines = mounts.read_text(errors="replace").splitlines()
    except OSError:
        return False
    best, kind = "", ""
    real = os.path.realpath(path)
    for line in lines:
        fields = line.split()
        if len(fields) < 3:
            continue
        point = fields[1].encode().decode("unicode_escape")
        if (real == point or real.startswith(point.rstrip("/") + "/")) and len(point) >= len(best):
            best, kind = point, fields[2]
    return kind in _REMOTE or kind.startswith("fuse.")
