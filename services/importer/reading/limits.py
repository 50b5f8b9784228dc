"""Limits that protect the importer, and the meter that holds bytes against them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from services.importer.reading.problems import ReadProblem, Reason

_GB = 1 << 30
_MB = 1 << 20
# Bombs of one file that are passed over before the rest of it is not read either.
_STRIKES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Held against bytes that really came out, never against what an archive claims."""

    #: Unpacked bytes of one file on disk, all its members together.
    unpacked_bytes: int = 100 * _GB
    #: Unpacked bytes for one byte on disk. Repetitive JSON logs reach 35, single members 200; a bomb of zeros 1,000.
    ratio: float = 250.0
    #: Up to here the ratio does not matter: a small file may be as repetitive as it likes.
    ratio_free_bytes: int = 256 * _MB
    #: Members of one file on disk; and compressed streams that follow each other and hold nothing.
    entries: int = 100_000
    #: Archives and compressions inside each other: 2 is a .tar.gz, 4 a .gz inside a .zip inside that.
    depth: int = 6
    #: A longer line is kept up to here, and the rest of it passed over.
    line_bytes: int = 16 * _MB
    #: A 7z inside another archive is held in memory to be read; no larger than this.
    nested_bytes: int = 64 * _MB
    #: Memory that unpacking may ask for: the window of zstd, the dictionary of xz, lzma and 7z. `xz -9` needs 65 MB,
    #: `zstd --ultra -22` and `--long=27` 128 MB.
    window_bytes: int = 128 * _MB
    #: A 7z, rar, lz4 or Z archive that gives nothing for so long is given up.
    stall_seconds: float = 30.0


def _nothing() -> None:
    pass


class Meter:
    """Counts what one file on disk has given so far.

    `check` is called for every piece that is read or unpacked, so that what gives no lines for long, such as the way
    to the next member, can be cancelled and tells of its progress, too. It may raise anything but ReadProblem.
    """

    def __init__(self, limits: Limits, check: Callable[[], None] = _nothing) -> None:
        self.limits = limits
        self.check = check
        self.disk_bytes = 0
        self.unpacked_bytes = 0
        self.entries = 0
        self.members = 0
        self._since_strike = 0
        self._strikes = 0
        self._hollow = 0
        #: Set when nothing more of this file may be read.
        self.problem: ReadProblem | None = None

    def disk(self, count: int) -> None:
        """Takes note of bytes read from disk."""
        self.disk_bytes += count
        self.check()

    def unpacked(self, count: int) -> None:
        """Takes note of unpacked bytes; raises ReadProblem LIMIT when it is too much.

        What unpacks to too many times its size is ended; what else there is in the file is read, unless that happens
        again and again.
        """
        if self.problem is not None:
            raise self.problem
        limits = self.limits
        self.unpacked_bytes += count
        self._since_strike += count
        if self.unpacked_bytes > limits.unpacked_bytes:
            self.problem = ReadProblem(
                Reason.LIMIT, f"It unpacks to more than the {limits.unpacked_bytes} bytes that are allowed."
            )
            raise self.problem
        unpacked = self._since_strike
        if unpacked > limits.ratio_free_bytes and unpacked > limits.ratio * self.disk_bytes:
            problem = ReadProblem(
                Reason.LIMIT,
                f"It unpacks to more than {limits.ratio:g} times its size ({unpacked} bytes from {self.disk_bytes}), "
                "as archives made to do harm do.",
            )
            self._since_strike = 0
            self._strikes += 1
            if self._strikes > _STRIKES:
                self.problem = problem
            raise problem
        self.check()

    def entry(self) -> None:
        """Takes note of a member of an archive, text or not; raises ReadProblem LIMIT when there are too many."""
        if self.entries >= self.limits.entries:
            self.problem = ReadProblem(
                Reason.LIMIT, f"It holds more than the {self.limits.entries} members that are allowed."
            )
            raise self.problem
        self.entries += 1

    def stream(self, unpacked_bytes: int) -> None:
        """Takes note of the end of a compressed stream that others may follow; raises when they hold nothing."""
        self._hollow = 0 if unpacked_bytes else self._hollow + 1
        if self._hollow > self.limits.entries:
            raise ReadProblem(
                Reason.LIMIT,
                f"More than {self.limits.entries} compressed streams without content follow each other.",
            )

    def member(self) -> int:
        """Number of the next text, from 0."""
        self.members += 1
        return self.members - 1
