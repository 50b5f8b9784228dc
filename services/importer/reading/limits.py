"""Limits that protect the importer, and the meter that holds bytes against them."""

from __future__ import annotations

from dataclasses import dataclass

from services.importer.reading.problems import ReadProblem, Reason

_GB = 1 << 30
_MB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Held against bytes that really came out, never against what an archive claims."""

    #: Unpacked bytes of one file on disk, all its members together.
    unpacked_bytes: int = 100 * _GB
    #: Unpacked bytes for one byte on disk. Repetitive JSON logs reach 35, single members 200; a bomb of zeros 1,000.
    ratio: float = 250.0
    #: Up to here the ratio does not matter: a small file may be as repetitive as it likes.
    ratio_free_bytes: int = 256 * _MB
    #: Members of one file on disk.
    entries: int = 100_000
    #: Archives and compressions inside each other: 2 is a .tar.gz, 4 a .gz inside a .zip inside that.
    depth: int = 6
    #: A longer line ends the reading of its source.
    line_bytes: int = 16 * _MB
    #: An archive inside another that must be held in memory to be read.
    nested_bytes: int = 64 * _MB


class Meter:
    """Counts what one file on disk has given so far."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.disk_bytes = 0
        self.unpacked_bytes = 0
        self.entries = 0
        self.members = 0

    def unpacked(self, count: int) -> None:
        """Takes note of unpacked bytes; raises ReadProblem LIMIT when it is too much."""
        limits = self.limits
        self.unpacked_bytes += count
        if self.unpacked_bytes > limits.unpacked_bytes:
            raise ReadProblem(
                Reason.LIMIT, f"It unpacks to more than the {limits.unpacked_bytes} bytes that are allowed."
            )
        if self.unpacked_bytes > limits.ratio_free_bytes and self.unpacked_bytes > limits.ratio * self.disk_bytes:
            raise ReadProblem(
                Reason.LIMIT,
                f"It unpacks to more than {limits.ratio:g} times its size ({self.unpacked_bytes} bytes from "
                f"{self.disk_bytes}), as archives made to do harm do.",
            )

    def entry(self) -> None:
        """Takes note of a member of an archive, text or not; raises ReadProblem LIMIT when there are too many."""
        if self.entries >= self.limits.entries:
            raise ReadProblem(Reason.LIMIT, f"It holds more than the {self.limits.entries} members that are allowed.")
        self.entries += 1

    def member(self) -> int:
        """Number of the next text, from 0."""
        self.members += 1
        return self.members - 1
