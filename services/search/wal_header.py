"""Whether anybody has written to a SQLite database, for a fifth of a microsecond.

SQLite's own question, PRAGMA data_version, takes microseconds, but lets go of the interpreter's lock on its way: where
other threads compute, the event loop then waits for its turn, for milliseconds at worst. The header of the WAL index
lies in memory that all processes share, and every commit changes it before it is over (sqlite.org/walformat.html, 2.1).
It is only compared: as long as it is the same nothing was committed; when it is not, SQLite is asked.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path

__all__ = ["WalHeader"]

#: Bytes of the header; a second copy of it follows.
_SIZE = 48


class WalHeader:
    """The header of the WAL index of a database that this process has open.

    Its file must not be closed before the database is: POSIX takes a process's locks on a file away when any of its
    descriptors of the file is closed.
    """

    def __init__(self, database: Path) -> None:
        """Raises OSError or ValueError where there is no such index: the database is not in WAL mode."""
        descriptor = os.open(database.with_name(database.name + "-shm"), os.O_RDONLY | os.O_CLOEXEC)
        self._descriptor = descriptor
        try:
            self._memory = mmap.mmap(descriptor, _SIZE, access=mmap.ACCESS_READ)
        except BaseException:
            os.close(descriptor)
            raise

    def read(self) -> bytes:
        """Its bytes now."""
        return self._memory[:_SIZE]

    def close(self) -> None:
        """Lets go of the file."""
        self._memory.close()
        os.close(self._descriptor)
