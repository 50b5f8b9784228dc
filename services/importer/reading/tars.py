"""Tar archives as a stream of entries.

Our own walk over the headers, since tarfile drops what it has read of a member when the archive breaks inside it. Only
regular files are given; links, devices and folders are no content. Names are for show.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass

from services.importer.reading.problems import Problem, ReadProblem, Reason
from services.importer.reading.streams import Bounded, Buffered

_BLOCK = 512
# A long name or pax header is a few hundred bytes; more than this is not honest.
_MAX_EXTENDED = 1 << 20
_MAX_SIZE = 1 << 60
# What is kept of a pax header.
_KEYS = ("path", "size")
_SPARSE = "GNU.sparse."


@dataclass(frozen=True, slots=True)
class Entry:
    """A regular file in an archive. Its stream is valid until the next entry is asked for."""

    name: str
    modified: float | None
    stream: Bounded


def entries(archive: Buffered, name: str) -> Iterator[Entry | Problem]:
    """Every regular file of the archive. A damage of the archive ends it with ReadProblem."""
    extended: dict[str, str] = {}
    while True:
        block = archive.exactly(_BLOCK)
        if len(block) < _BLOCK:
            what = "inside a header" if block else "without its end mark: entries may be missing"
            raise archive.fail(ReadProblem(Reason.DAMAGED, f"The tar archive ends {what}."))
        if block.count(0) == _BLOCK:
            break
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "replace")
        except (tarfile.HeaderError, ValueError):
            raise archive.fail(ReadProblem(Reason.DAMAGED, "A header of the tar archive does not add up.")) from None
        if not 0 <= info.size <= _MAX_SIZE:
            raise archive.fail(ReadProblem(Reason.DAMAGED, "A header of the tar archive gives an impossible size."))
        padding = -info.size % _BLOCK
        if info.type in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME):
            extended |= _extension(info, _content(archive, info.size + padding)[: info.size])
            continue
        if info.type == tarfile.GNUTYPE_SPARSE:
            _skip_sparse_map(archive, block)
        size = _size(info, extended)
        body = Bounded(archive, size)
        label = extended.get("path") or info.name
        if info.type == tarfile.GNUTYPE_SPARSE or _SPARSE in extended:
            yield Problem(f"{name}!/{label}", Reason.UNSUPPORTED, "Sparse members of tar archives cannot be read.")
        elif info.isreg():
            yield Entry(label, float(info.mtime) or None, body)
        if info.type not in (tarfile.XGLTYPE, tarfile.GNUTYPE_LONGLINK):
            extended = {}
        body.drain()
        archive.skip(-size % _BLOCK)
    archive.drain()  # what stands behind the end is nothing, but a checksum may come after it


def _content(archive: Buffered, size: int) -> bytes:
    if size > _MAX_EXTENDED:
        raise archive.fail(ReadProblem(Reason.LIMIT, f"A header of the tar archive is {size} bytes long."))
    return archive.exactly(size)


def _extension(info: tarfile.TarInfo, content: bytes) -> dict[str, str]:
    """Key and value pairs of a pax header, or the one of a GNU long name."""
    if info.type == tarfile.GNUTYPE_LONGNAME:
        return {"path": content.rstrip(b"\0").decode("utf-8", "replace")}
    pairs: dict[str, str] = {}
    at = 0
    while at < len(content):
        blank = content.find(b" ", at, at + 9)
        digits = content[at:blank] if blank > 0 else b""
        if not digits.isdigit() or not blank < at + int(digits) <= len(content):
            break
        key, _, value = content[blank + 1 : at + int(digits) - 1].partition(b"=")
        at += int(digits)
        word = key[:32].decode("utf-8", "replace")
        if word in _KEYS:
            pairs[word] = value.decode("utf-8", "replace")
        elif word.startswith(_SPARSE):
            pairs[_SPARSE] = ""
    return pairs


def _skip_sparse_map(archive: Buffered, header: bytes) -> None:
    """Passes over the blocks between an old GNU header and its content; each says whether another follows."""
    more = header[482]
    while more:
        block = archive.exactly(_BLOCK)
        more = block[504] if len(block) == _BLOCK else 0


def _size(info: tarfile.TarInfo, extended: dict[str, str]) -> int:
    """Bytes of content. Links and folders have none, whatever they claim."""
    if (
        not info.isreg()
        and info.type in tarfile.SUPPORTED_TYPES
        and info.type not in (tarfile.GNUTYPE_SPARSE, tarfile.GNUTYPE_LONGLINK, tarfile.XGLTYPE)
    ):
        return 0
    size = extended.get("size", "")
    return int(size) if size.isascii() and size.isdigit() and len(size) < 19 else info.size
