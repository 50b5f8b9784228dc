"""A file on disk as the texts that it holds: itself, or the members of the archive that it is."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from dataclasses import dataclass

from services.importer.reading import tars, zips
from services.importer.reading.limits import Meter
from services.importer.reading.problems import Problem, ReadProblem, Reason
from services.importer.reading.sniff import SNIFF_BYTES, Kind, sniff
from services.importer.reading.streams import Buffered, DiskFile, Gunzip, Readable


@dataclass(frozen=True, slots=True)
class Member:
    """One text. Its stream is valid until the next member is asked for."""

    #: Number within the file on disk; the same whenever the same file is read.
    number: int
    #: "app.log", "logs.zip!/app.log".
    name: str
    #: Seconds since 1970 of its last change, as far as known.
    modified: float | None
    stream: Buffered


def open_members(path: str, name: str, meter: Meter) -> Iterator[Member | Problem]:
    """Every text in the file at `path`, shown as `name`, and what is wrong with it.

    Never raises ReadProblem itself; a member's stream does, and then whoever reads it tells of it and sets `reported`.
    """
    try:
        file = DiskFile(path, meter)
    except ReadProblem as problem:
        yield Problem(name, problem.reason, problem.message)
        return
    try:
        yield from _guarded(Buffered(file), name, file.modified, meter, 1)
    finally:
        file.close()


def _guarded(
    stream: Buffered, name: str, modified: float | None, meter: Meter, depth: int
) -> Iterator[Member | Problem]:
    try:
        yield from _members(stream, name, modified, meter, depth)
    except ReadProblem as problem:
        if not problem.reported:
            problem.reported = True
            yield Problem(name, problem.reason, problem.message)


def _members(
    stream: Buffered, name: str, modified: float | None, meter: Meter, depth: int
) -> Iterator[Member | Problem]:
    kind, label = sniff(stream.peek(SNIFF_BYTES))
    if kind in (Kind.GZIP, Kind.ZIP, Kind.TAR) and depth > meter.limits.depth:
        raise ReadProblem(Reason.LIMIT, f"Archives are nested more than {meter.limits.depth} deep.")
    match kind:
        case Kind.GZIP:
            yield from _members(Buffered(Gunzip(stream, meter)), name, modified, meter, depth + 1)
        case Kind.TAR:
            for found in tars.entries(stream, name):
                yield from _entry(found, name, modified, meter, depth)
        case Kind.ZIP:
            for item in zips.entries(stream, meter, name):
                yield from _entry(item, name, modified, meter, depth)
        case Kind.UNSUPPORTED:
            raise ReadProblem(Reason.UNSUPPORTED, f"{label} is not supported. Unpack it first.")
        case Kind.BINARY:
            raise ReadProblem(Reason.BINARY, f"This is not text but {label}.")
        case Kind.UTF16:
            yield Member(meter.member(), name, modified, Buffered(_FromUtf16(stream)))
        case Kind.TEXT:
            yield Member(meter.member(), name, modified, stream)


def _entry(
    found: tars.Entry | zips.Entry | Problem, archive: str, modified: float | None, meter: Meter, depth: int
) -> Iterator[Member | Problem]:
    meter.entry()
    if isinstance(found, Problem):
        yield found
        return
    name = f"{archive}!/{found.name}"
    yield from _guarded(Buffered(found.stream), name, found.modified or modified, meter, depth + 1)


class _FromUtf16:
    """UTF-16 with a byte order mark, as UTF-8 without one. What is not valid becomes U+FFFD."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._decoder = codecs.getincrementaldecoder("utf-16")("replace")
        self._ended = False

    def read(self, size: int) -> bytes:
        """UTF-8 bytes; about as many as asked for."""
        text = io.StringIO()
        while not self._ended and not text.tell():
            data = self._source.read(size)
            self._ended = not data
            text.write(self._decoder.decode(data, final=self._ended))
        return text.getvalue().encode("utf-8", "replace")
