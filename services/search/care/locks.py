"""Who may build and remove splits in a data folder: one process at a time, whatever its name."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

__all__ = ["ONE", "WORK", "held"]

#: Held by the search process that keeps the care process running.
ONE = "care.lock"
#: Held while splits are built, put in the place of others or removed.
WORK = "care.work.lock"


@contextlib.contextmanager
def held(path: Path, *, wait: bool = False) -> Iterator[bool]:
    """Holds the lock at `path`; gives False where another process has it, unless it is to be waited for.

    The kernel frees the lock when its holder ends, however it ends; the file stays, and means nothing by itself.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True
