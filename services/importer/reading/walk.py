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
        yield from self._at(path, ())

    def _at(self, name: str, above: tuple[str, ...]) -> Iterator[Found | Problem]:
        try:
            real = os.path.realpath(name, strict=True)
            status = os.stat(real)
        except OSError as error:
            yield _problem(name, from_os_error(error))
            return
        if real in above:
            yield Problem(name, Reason.LOOP, f"This link leads back to {real}, which is above it.")
        elif real in self._seen:
            return
        elif not self.allowed(real):
            yield Problem(
                name, Reason.PERMISSION_DENIED, f"This link leads to {real}, outside the folders that may be imported."
            )
        elif stat.S_ISREG(status.st_mode):
            self._seen.add(real)
            yield Found(name, real, status.st_size)
        elif stat.S_ISDIR(status.st_mode):
            self._seen.add(real)
            yield from self._below(name, real, (*above, real))
        else:
            yield Problem(name, Reason.NOT_A_FILE, "This is a device, socket or pipe, not a file.")

    def _below(self, name: str, real: str, above: tuple[str, ...]) -> Iterator[Found | Problem]:
        try:
            with os.scandir(real) as entries:
                names = sorted(entry.name for entry in entries)
        except OSError as error:
            yield _problem(name, from_os_error(error))
            return
        for child in names:
            yield from self._at(os.path.join(name, child), above)


def _problem(name: str, problem: ReadProblem) -> Problem:
    return Problem(name, problem.reason, problem.message)
