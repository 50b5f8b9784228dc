"""Comparing what is compressed with what is known of it: it has to be unpacked for that. Runs in a thread."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from services.importer.identity import Decision, Kept, Known, Text
from services.importer.marks import SAMPLE_BYTES, SAMPLES, TAIL_BYTES, digest
from services.importer.reading import Limits, Member, Meter, Problem, ReadProblem, open_members

_CHUNK = 1 << 20


class GivenUp(Exception):  # noqa: N818 - not an error
    """Nobody waits for the answer any more."""


@dataclass(slots=True)
class _Seen:
    """A member that was unpacked."""

    size: int = 0
    last: bytes = b""
    #: SHA-256 of its first so many bytes, for the sizes that were asked for, and the byte behind them.
    at: dict[int, tuple[str, bytes]] = field(default_factory=dict)


def archive(
    path: str, name: str, known: Known, own: str, alive: Collection[str] | None, check: Callable[[], None]
) -> Decision:
    """What is to be read of an archive that has changed since it was read.

    A member is known by the hash of its content, whatever its name and place are now; one that begins with what is
    known has grown. Where no hash is known, a member of the same name and size is taken to be the same.
    """
    here = {text.source_id: text for text in known.texts if alive is None or text.source_id in alive}
    ids: dict[str, str] = {}
    covered: dict[str, tuple[int, int, bool]] = {}
    states: dict[str, Mapping[str, object]] = {}
    replaces: list[str] = []
    carried: list[Text] = []
    head = own.rpartition("x")[0]
    for member in open_members(path, name, Meter(Limits())):
        if isinstance(member, Problem):
            continue
        seen = _hash(member, {text.bytes for text in here.values()}, check)
        text = _match(member.name, seen, here.values())
        if text is None:
            continue
        del here[text.source_id]
        grown = seen.size > text.bytes
        terminated = not grown or text.bytes == 0 or seen.at[text.bytes][1][:1] == b"\n"
        skip = text.bytes
        if grown and not terminated:
            if seen.at[text.bytes][1][1:] != b"\n":
                replaces.append(text.source_id)
                continue
            skip += 1
        ids[f"{head}x{member.number:x}"] = text.source_id
        covered[text.source_id] = (text.lines, skip, seen.size <= skip and text.complete)
        if text.state is not None:
            states[text.source_id] = text.state
        carried.append(text)
    return Decision(
        kept=Kept.READ, ids=ids, covered=covered, states=states, replaces=replaces, known=known.id, texts=carried
    )


def rotated(path: str, name: str, known: Known, own: str, check: Callable[[], None]) -> Decision | None:
    """What is to be read of a compressed file that may be the known plain one; None when it is another."""
    [text] = known.texts
    offset = known.offset
    places = [offset * number // (SAMPLES + 1) for number in range(1, SAMPLES + 1)]
    wanted = [(0, known.head_size), *((place, min(SAMPLE_BYTES, offset - place)) for place in places)]
    wanted += [(max(0, offset - TAIL_BYTES), min(offset, TAIL_BYTES)), (offset, 1)]
    members = open_members(path, name, Meter(Limits()))
    member = next(members, None)
    if not isinstance(member, Member) or member.name != name:
        return None
    pieces, size = _pieces(member, wanted, check)
    if size < offset or digest(pieces[0]) != known.head or digest(pieces[-2]) != known.tail:
        return None
    if digest(b"".join(pieces[1:-2])) != known.samples:
        return None
    skip = offset
    if size > offset and not known.terminated:
        if pieces[-1] != b"\n":
            return Decision(replaces=(text.source_id,), known=known.id)
        skip += 1
    kept = Kept.APPENDED if size > skip else Kept.UNCHANGED
    return Decision(
        kept=kept,
        ids={own: text.source_id},
        covered={text.source_id: (text.lines, skip, size <= skip)},
        states={} if text.state is None else {text.source_id: text.state},
        known=known.id,
        texts=[text],
    )


def _hash(member: Member, sizes: Collection[int], check: Callable[[], None]) -> _Seen:
    seen, sha = _Seen(), hashlib.sha256()
    left = sorted(size for size in sizes if size > 0)
    pending: int | None = None
    try:
        while True:
            wanted = min(_CHUNK, left[0] - seen.size) if left else _CHUNK
            data = member.stream.read(wanted)
            check()
            if pending is not None:
                seen.at[pending] = (seen.at[pending][0], seen.last + data[:1])
                pending = None
            if not data:
                break
            sha.update(data)
            seen.size += len(data)
            seen.last = data[-1:]
            while left and left[0] == seen.size:
                pending = left.pop(0)
                seen.at[pending] = (sha.copy().hexdigest(), seen.last)
    except ReadProblem as problem:
        problem.reported = True
    return seen


def _match(name: str, seen: _Seen, texts: Iterable[Text]) -> Text | None:
    found = [text for text in texts if text.bytes and text.sha256 and seen.at.get(text.bytes, ("",))[0] == text.sha256]
    if not found:
        found = [text for text in texts if not text.sha256 and (text.name, text.bytes) == (name, seen.size)]
    return max(found, key=lambda text: (text.bytes, text.name == name), default=None)


def _pieces(member: Member, wanted: list[tuple[int, int]], check: Callable[[], None]) -> tuple[list[bytes], int]:
    """The (start, size) pieces of a text, and its whole size."""
    pieces = [b""] * len(wanted)
    at = 0
    try:
        while data := member.stream.read(_CHUNK):
            check()
            for number, (start, size) in enumerate(wanted):
                if start < at + len(data) and at < start + size:
                    pieces[number] += data[max(0, start - at) : max(0, start + size - at)]
            at += len(data)
    except ReadProblem as problem:
        problem.reported = True
    return pieces, at


__all__ = ["GivenUp", "archive", "rotated"]
