"""Which file this is, and what of it the workspace has lines of already. Reads files; runs in a thread.

A file is known by its first 1,024 bytes, by the bytes before the place up to which it was read, and, when it has
another name now, by its inode or by samples over all that was read. Inodes alone prove nothing: they are used again.
docs/adr/0025-file-identity.md has the reasons.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import IntEnum
from typing import Any

from services.importer.marks import HEAD_BYTES, File
from services.importer.planning import member_number


class Kept(IntEnum):
    """The same numbers as loganalyzer.importer.v1.ImportFile.State."""

    READ = 1
    UNCHANGED = 2
    APPENDED = 3
    INCOMPLETE = 4


@dataclass(frozen=True, slots=True)
class Text:
    """What the workspace has of one text: the file itself, or a member of an archive."""

    source_id: str
    name: str
    lines: int
    #: Unpacked, from its start.
    bytes: int
    complete: bool
    sha256: str = ""
    #: Parser state behind its last line, where known.
    state: Mapping[str, Any] | None = None
    #: What the worker said of it, for ListImportFiles.
    facts: Mapping[str, Any] = field(default_factory=dict)


def plain(one: Any) -> dict[str, Any]:
    """The fields of a dataclass. Nothing is copied, as `asdict` would."""
    return {each.name: getattr(one, each.name) for each in fields(one)}


@dataclass(frozen=True, slots=True)
class Known:
    """A file on disk that the workspace has lines of."""

    id: int
    #: Where it was last seen; "" when another file stands there now.
    path: str
    device: int
    inode: int
    head_size: int
    head: str
    #: Bytes on disk that were read for certain, and marks of them. Of what is packed perhaps more was read.
    offset: int
    tail: str
    samples: str
    #: The last line that was read ends with a line feed.
    terminated: bool
    #: Not read as it stands: compressed, an archive, or in another encoding.
    packed: bool
    #: Nothing was left out because of an error, or since it was growing.
    whole: bool
    texts: tuple[Text, ...]

    @property
    def content(self) -> tuple[str, int, str, str]:
        """The marks of what was read."""
        return self.head, self.offset, self.tail, self.samples

    def to_facts(self) -> dict[str, Any]:
        """What goes into the table's JSON."""
        facts = plain(self)
        for key in ("id", "path", "device", "inode", "head"):
            del facts[key]
        facts["texts"] = [plain(text) for text in self.texts]
        return facts

    @classmethod
    def from_facts(cls, id_: int, path: str, device: int, inode: int, head: str, facts: Mapping[str, Any]) -> Known:
        """The opposite of `to_facts`."""
        texts = tuple(Text(**text) for text in facts["texts"])
        return cls(id=id_, path=path, device=device, inode=inode, head=head, **{**facts, "texts": texts})


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be read of a file. Ids are mapped from those that its sources would have got in this import."""

    kept: Kept = Kept.READ
    ids: Mapping[str, str] = field(default_factory=dict)
    #: By source id: lines, bytes, complete.
    covered: Mapping[str, tuple[int, int, bool]] = field(default_factory=dict)
    states: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    #: Sources whose lines are deleted before, since they are read again.
    replaces: Sequence[str] = ()
    #: The row of `known` that it goes on with, and its texts.
    known: int | None = None
    texts: Sequence[Text] = ()
    #: The file as it was when this was decided.
    device: int = 0
    inode: int = 0
    size: int = 0
    #: It is known exactly as it is: place, inode and all.
    settled: bool = False
    #: Read as new, though it begins as a known file does: perhaps one that is just being rotated.
    doubtful: bool = False

    def to_json(self) -> dict[str, Any]:
        """As it is stored."""
        return {**plain(self), "texts": [plain(text) for text in self.texts]}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Decision:
        """As it was stored."""
        texts = tuple(Text(**text) for text in stored["texts"])
        covered = {key: (value[0], value[1], value[2]) for key, value in stored["covered"].items()}
        return cls(**{**stored, "kept": Kept(stored["kept"]), "texts": texts, "covered": covered})


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at a file says before anything is compared."""

    path: str
    device: int
    inode: int
    size: int
    head: str
    #: Hashes of the beginnings that a known file may have had; of what a gzip file unpacks to.
    starts: tuple[str, ...]
    zipped: bool
    packed: bool


def look(file: File) -> Look:
    """See Look."""
    packed = file.size > 0 and file.packed()
    zipped = file.zipped()
    starts = file.starts() if zipped or not packed else ()
    return Look(file.path, file.device, file.inode, file.size, file.head(HEAD_BYTES), starts, zipped, packed)


def known_as(
    file: File, texts: Sequence[Text], decision: Decision, *, whole: bool, growing: bool = False
) -> Known | None:
    """A file as it is known from now on; None when it does not hold (any more) what was read of it.

    `growing`: a last line without a line feed was held back.
    """
    packed = file.packed() or len(texts) != 1 or member_number(texts[0].source_id) != 0
    offset = decision.size or file.size if packed else texts[0].bytes
    if offset > file.size:
        return None
    terminated = growing or file.terminated(offset)
    whole = whole and not (growing and packed)
    head_size = min(HEAD_BYTES, offset)
    return Known(
        decision.known or 0, file.path, file.device, file.inode, head_size, file.head(head_size), offset,
        file.tail(offset), file.samples(offset), terminated, packed, whole, tuple(texts),
    )  # fmt: skip


def same_so_far(file: File, known: Known) -> bool:
    """Whether the file begins with all that was read of the known one, by head and tail."""
    return (
        file.size >= known.offset and file.head(known.head_size) == known.head and file.tail(known.offset) == known.tail
    )


def moved(file: File, known: Known) -> bool:
    """Whether a file under another name is the known one: its content is, and its old place holds it no more."""
    same_inode = (file.device, file.inode) == (known.device, known.inode)
    if not same_inode and (not likely(file.path, known, grown=file.size > known.offset) or not _sampled(file, known)):
        return False
    return same_so_far(file, known) and (same_inode or not still_there(known))


def likely(path: str, known: Known, *, grown: bool) -> bool:
    """Whether a file that begins with the content of a known one may be it.

    A few bytes are soon the same by chance: one that has `grown` must be called like it.
    """
    if not known.offset:
        return False
    if known.head_size >= HEAD_BYTES or not grown:
        return True
    folder, name = os.path.split(path)
    before, stem = os.path.split(known.path or known.texts[0].name)
    return (not known.path or before == folder) and name.startswith(stem.partition(".")[0])


def beside(path: str, known: Known) -> bool:
    """Whether the known file stands beside its compressed copy, as while it is being rotated."""
    plain, suffix = os.path.splitext(path)
    if suffix != ".gz":
        return False
    try:
        with File(plain) as file:
            return same_so_far(file, known) and _sampled(file, known)
    except OSError:
        return False


def _sampled(file: File, known: Known) -> bool:
    return file.samples(known.offset) == known.samples


def still_there(known: Known) -> bool:
    """Whether the file can be found where it was last seen."""
    if not known.path:
        return False
    try:
        with File(known.path) as file:
            return same_so_far(file, known)
    except OSError:
        return False


def goes_on(file: File, known: Known, own: str, alive: Collection[str] | None, growing: bool) -> Decision | None:
    """What is to be read of a file that begins with all that is known; `own` is the id of its source in this import.

    None when nothing of it is searchable any more: it is read as if it were new.
    """
    here = [text for text in known.texts if alive is None or text.source_id in alive or not text.lines]
    if not any(text.lines for text in here):
        return None
    base = Decision(known=known.id, texts=here)
    if known.packed and file.size == known.offset:
        if known.whole and len(here) == len(known.texts):
            return _with(base, kept=Kept.UNCHANGED)
        return _with(base, kept=Kept.READ, **_carried(here, own))
    [text] = here
    if known.packed:
        if not known.terminated:
            return _with(base, replaces=(text.source_id,), texts=())
        more = replace(text, complete=False, sha256="")
        return _with(base, kept=Kept.APPENDED, **_carried([more], own))
    rest = file.size - known.offset
    if rest and not known.terminated:
        if file.piece(known.offset, 1) != b"\n":
            # What was its last line goes on: that line is another now.
            return _with(base, replaces=(text.source_id,), texts=())
        known_bytes, rest = known.offset + 1, rest - 1
    else:
        known_bytes = known.offset
    if not rest or (growing and _no_line(file, known_bytes)):
        return _with(base, kept=Kept.UNCHANGED)
    at = Text(text.source_id, text.name, text.lines, known_bytes, False, "", text.state, text.facts)
    return _with(base, kept=Kept.APPENDED, **_carried([at], own))


def is_archive(known: Known) -> bool:
    """Whether it holds texts that have places of their own in it."""
    return known.packed and (len(known.texts) != 1 or "!/" in known.texts[0].name)


def _no_line(file: File, start: int) -> bool:
    """Whether no line feed comes from here on, looking at the first and the last megabyte."""
    megabyte = 1 << 20
    last = max(start, file.size - megabyte)
    return b"\n" not in file.piece(last, megabyte) and b"\n" not in file.piece(start, megabyte)


def _carried(texts: Sequence[Text], own: str) -> dict[str, Any]:
    head = own.rpartition("x")[0]
    return {
        "ids": {f"{head}x{member_number(text.source_id):x}": text.source_id for text in texts},
        "covered": {text.source_id: (text.lines, text.bytes, text.complete) for text in texts},
        "states": {text.source_id: text.state for text in texts if text.state is not None},
    }


def _with(decision: Decision, **changes: Any) -> Decision:
    return replace(decision, **changes)
