"""What can be wrong with something that is read."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from enum import IntEnum


class Reason(IntEnum):
    """The same numbers as loganalyzer.importer.v1.SourceError.Reason."""

    NOT_FOUND = 1
    PERMISSION_DENIED = 2
    NOT_A_FILE = 3
    LOOP = 4
    DAMAGED = 5
    BINARY = 6
    UNSUPPORTED = 7
    LIMIT = 8
    IO = 9


class ReadProblem(Exception):  # noqa: N818 - it is a finding about the data, not an error of the program
    """Raised by a stream when it can give no more. Everything that could be read was returned before it.

    A stream that has raised one raises the same object again; `reported` keeps it from being told twice.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.reported = False


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem with the place where it was met."""

    #: File, or member of an archive ("logs.zip!/app.log").
    path: str
    reason: Reason
    #: A sentence for a person.
    message: str
    #: Last line that was read; 0 when none was.
    line_number: int = 0


def from_os_error(error: OSError) -> ReadProblem:
    """Puts an OSError into words."""
    match error.errno:
        case errno.ENOENT | errno.ENOTDIR:
            return ReadProblem(Reason.NOT_FOUND, "There is nothing at this path.")
        case errno.EACCES | errno.EPERM:
            return ReadProblem(Reason.PERMISSION_DENIED, "The importer's user may not read this.")
        case errno.ELOOP:
            return ReadProblem(Reason.LOOP, "Following the links of this path leads back to itself.")
        case errno.ENAMETOOLONG:
            return ReadProblem(Reason.NOT_FOUND, "The path is longer than the system allows.")
        case errno.ENXIO | errno.ENODEV:
            return ReadProblem(Reason.NOT_A_FILE, "This is a device, socket or pipe, not a file.")
        case _:
            return ReadProblem(Reason.IO, f"The system could not read this: {error.strerror or error}.")
