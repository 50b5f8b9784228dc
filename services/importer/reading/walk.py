"""Which files a path stands for."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from services.importer.reading.problems import Problem, ReadProblem, Reason, from_os_error


@dataclass(frozen=True, slots=True)
class Found:
    """A regular file. `name` is how it is shown: as it was reached. `path` is what is opened: no links in it."""

    name: str
    path: str
    size: int


def check_path(path: str) -> str:
    """The real path of a file or folder that can be read; raises ReadProblem when it is none."""
    try:
        real = os.path.realpath(path, strict=True)
        status = os.stat(real)
        if stat.S_ISDIR(status.st_mode):
            with os.scandir(real):
                return real
    except OSError as error:
        raise from_os_error(error) from None
    if not stat.S_ISREG(status.st_mode):
        raise ReadProblem(Reason.NOT_A_FILE, "This is a device, socket or pipe, not a file or folder.")
    if not os.access(real, os.R_OK):
        raise ReadProblem(Reason.PERMISSION_DENIED, "The importer's user may not read this.")
    return real


@dataclass(slots=True)
class Walk:
    """Goes through files and folders, each real file and folder once for all paths that are walked.

    `allowed` says of a real path whether it may be read: a link must not lead out of the allowed roots.
    """

    allowed: Callable[[str], bool]
    _seen: set[str] = field(default_factory=set)

    def files(self, path: str) -> Iterator[Found | Problem]:
        """Files at or below `path` in the order of their names, and what could not be read."""
        # A stack of our own: folders can be nested deeper than Python calls.
        levels: list[tuple[Iterator[tuple[str, str]], frozenset[str]]] = [(iter([(path, "")]), frozenset())]
        while levels:
            names, above = levels[-1]
            name, real = next(names, ("", ""))
            if not name:
                levels.pop()
                continue
            try:
                real = real or os.path.realpath(name, strict=True)
                if not self._enter(real, above):
                    continue
                status = os.stat(real)
                if stat.S_ISREG(status.st_mode):
                    yield Found(name, real, status.st_size)
                elif stat.S_ISDIR(status.st_mode):
                    with os.scandir(real) as entries:
                        below = sorted((entry.name, entry.is_symlink()) for entry in entries)
                    # What is no link has its real path below that of its folder; only links need to be resolved.
                    children = [
                        (os.path.join(name, child), "" if link else os.path.join(real, child)) for child, link in below
                    ]
                    levels.append((iter(children), above | {real}))
                else:
                    yield Problem(name, Reason.NOT_A_FILE, "This is a device, socket or pipe, not a file.")
            except OSError as error:
                problem = from_os_error(error)
                yield Problem(name, problem.reason, problem.message)
            except ReadProblem as problem:
                yield Problem(name, problem.reason, problem.message)

    def _enter(self, real: str, above: frozenset[str]) -> bool:
        """Whether it is new. Raises ReadProblem for what may not be followed."""
        if real in above:
            raise ReadProblem(Reason.LOOP, f"This link leads back to {real}, which is above it.")
        if real in self._seen:
            return False
        if not self.allowed(real):
            sentence = f"This link leads to {real}, outside the folders that may be imported."
            raise ReadProblem(Reason.PERMISSION_DENIED, sentence)
        self._seen.add(real)
        return True
