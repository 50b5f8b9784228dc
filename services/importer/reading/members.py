"""A file on disk as the texts that it holds: itself, or the members of the archive that it is."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass

from services.importer.reading import encoding, foreign, tars, unpack, zips
from services.importer.reading.limits import Meter
from services.importer.reading.problems import Problem, ReadProblem, Reason
from services.importer.reading.sniff import SNIFF_BYTES, Kind, is_broken_archive, is_empty_tar, sniff
from services.importer.reading.streams import Buffered, DiskFile, Readable
from services.importer.reading.unzstd import Unzstd

_UNPACK: dict[Kind, Callable[[Buffered, Meter], Readable]] = {
    Kind.GZIP: unpack.Gunzip,
    Kind.BZIP2: unpack.bunzip2,
    Kind.XZ: unpack.unxz,
    Kind.LZMA: unpack.unlzma,
    Kind.ZSTD: Unzstd,
}
_FOREIGN = {Kind.LZ4: "lz4", Kind.COMPRESS: "compress", Kind.SEVEN_ZIP: "7z", Kind.RAR: "rar"}
# A longer name is shown in part.
_NAME_CHARACTERS = 1000
# The last second of the year 9999: later ones are not times.
_LAST_SECOND = 253402300799.0


@dataclass(frozen=True, slots=True)
class Member:
    """One text. Its stream is valid until the next member is asked for."""

    #: Number within the file on disk; the same whenever the same file is read.
    number: int
    #: "app.log", "logs.zip!/app.log".
    name: str
    #: Seconds since 1970 of its last change, as far as known.
    modified: float | None
    #: Its bytes, in UTF-8 where `transcoded`; offsets count these.
    stream: Buffered
    #: Encoding of the source, as the IANA names it; "" where it is not known and its bytes are given as they are.
    encoding: str = "utf-8"
    #: Whether the stream is not what stands in the source, but its text in UTF-8.
    transcoded: bool = False


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
    head = stream.peek(SNIFF_BYTES)
    kind, label = sniff(head)
    if kind is Kind.BINARY and is_empty_tar(name, head):
        stream.drain()
        return
    if kind in (Kind.TEXT, Kind.BINARY) and is_broken_archive(name, head):
        raise ReadProblem(Reason.DAMAGED, "It has the name of an archive, and does not begin as one.")
    if kind is Kind.TEXT:
        yield _text(stream, head, name, modified, meter)
        return
    if kind is Kind.UNSUPPORTED:
        raise ReadProblem(Reason.UNSUPPORTED, f"{label} is not supported. Unpack it first.")
    if kind is Kind.BINARY:
        raise ReadProblem(Reason.BINARY, f"This is not text but {label}.")
    if depth > meter.limits.depth:
        raise ReadProblem(Reason.LIMIT, f"Archives are nested more than {meter.limits.depth} deep.")
    match kind:
        case Kind.TAR:
            for found in tars.entries(stream, name):
                yield from _entry(found, name, modified, meter, depth)
        case Kind.ZIP:
            for item in zips.entries(stream, meter, name):
                yield from _entry(item, name, modified, meter, depth)
        case Kind.SEVEN_ZIP | Kind.RAR:
            with closing(foreign.entries(stream, _FOREIGN[kind], meter, name)) as members:
                for one in members:
                    yield from _entry(one, name, modified, meter, depth)
        case Kind.LZ4 | Kind.COMPRESS:
            with closing(foreign.Single(stream, _FOREIGN[kind], meter)) as unpacked:
                yield from _members(Buffered(unpacked), name, modified, meter, depth + 1)
        case _:
            yield from _members(Buffered(_UNPACK[kind](stream, meter)), name, modified, meter, depth + 1)


def _text(stream: Buffered, head: bytes, name: str, modified: float | None, meter: Meter) -> Member:
    found = encoding.detect(head, whole=len(head) < SNIFF_BYTES)
    if found.codec:
        stream.skip(found.mark)
        stream = Buffered(encoding.Transcoded(stream, found.codec))
    return Member(meter.member(), name, modified, stream, found.name, bool(found.codec))


def _entry(
    found: tars.Entry | zips.Entry | foreign.Entry | Problem,
    archive: str,
    modified: float | None,
    meter: Meter,
    depth: int,
) -> Iterator[Member | Problem]:
    meter.entry()
    if isinstance(found, Problem):
        yield Problem(_shown(found.path), found.reason, found.message)
        return
    name = f"{archive}!/{_shown(found.name)}"
    stream = found.stream if isinstance(found.stream, Buffered) else Buffered(found.stream)
    if found.modified is not None and 0 < found.modified <= _LAST_SECOND:
        modified = found.modified
    yield from _guarded(stream, name, modified, meter, depth + 1)


def _shown(name: str) -> str:
    """A member's name, which anybody may have chosen, for show: what changes or hides its neighbours is escaped.

    Control characters, line ends, marks of direction and of no width become \\x.., \\u....; so do lone surrogates.
    """
    name = name if len(name) <= _NAME_CHARACTERS else f"{name[:_NAME_CHARACTERS]}…"
    if name.isascii() and name.isprintable():
        return name
    return "".join(_escaped(char) for char in name)


def _escaped(char: str) -> str:
    if char.isprintable() or unicodedata.category(char) == "Zs":
        return char
    return char.encode("unicode_escape").decode("ascii")
