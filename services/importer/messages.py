"""What the importer and its worker processes say to each other: JSON objects, each behind its length, over pipes.

importer -> worker    {"op": "task", ...TaskSpec}   {"op": "ack"}   {"op": "cancel"}
                      {"op": "flush"}                                publish soon what has been read
                      {"op": "tail", "on"}                           send "lines", or no more
worker -> importer    {"op": "ready"}
                      {"op": "file", "number"}                       begins a file on disk
                      {"op": "progress", lines, bytes, files, disk}  since the last split; disk: since the task's start
                      {"op": "source", id, name, file, lines, bytes, low, high, format, encoding, levels, sha256,
                          complete}                                  a source has ended, before the split that holds its
                                                                     end; with "state", the parser's, where it can go on
                      {"op": "error", file, path, reason, message, line}
                      {"op": "lines", lines}                         base64 of a serialised ParsedLines
                      {"op": "split", id, split, cursor}             on disk; waits for the ack
                      {"op": "done", files}   {"op": "cancelled"}   {"op": "failed", message}

A "cancel" in place of an "ack" ends a task at a split: another try goes on there.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, BinaryIO

from services.importer.planning import source_id

Message = dict[str, Any]

#: Bytes of the length before each message.
HEADER_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """One task, complete: a worker knows nothing else."""

    import_id: str
    import_name: str
    workspace: str
    #: Folder of all splits.
    splits: str
    number: int
    #: Ordinal of the first split to make.
    ordinal: int = 0
    #: (number, name, path)
    files: list[tuple[int, str, str]]
    #: By source id: lines, bytes, complete.
    covered: dict[str, tuple[int, int, bool]] = field(default_factory=dict)
    #: Source id and parser state behind what is covered of it.
    cursor: tuple[str, dict[str, Any]] | None = None
    #: Sources that an import before began: their ids, by those that they would have got. Ask `source_id`.
    ids: dict[str, str] = field(default_factory=dict)
    #: Parser states of sources that an import before began, by source id. Ask `state_of`.
    states: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: Numbers of files that grow: a last line without a line feed is not read yet.
    growing: list[int] = field(default_factory=list)

    def source_id(self, file: int, member: int) -> str:
        """Id of a source of this task."""
        own = source_id(self.import_id, file, member)
        return self.ids.get(own, own)

    def state_of(self, source: str) -> dict[str, Any] | None:
        """The parser state with which a source goes on; None at its start, or where it is not known."""
        if self.cursor is not None and self.cursor[0] == source:
            return self.cursor[1]
        return self.states.get(source)

    def to_message(self) -> Message:
        """As it is sent."""
        return {"op": "task", **asdict(self)}

    @classmethod
    def from_message(cls, message: Message) -> TaskSpec:
        """As it was sent."""
        fields = {key: value for key, value in message.items() if key != "op"}
        fields["files"] = [tuple(entry) for entry in fields["files"]]
        fields["covered"] = {key: tuple(value) for key, value in fields["covered"].items()}
        fields["cursor"] = tuple(fields["cursor"]) if fields["cursor"] else None
        return cls(**fields)


def encode(message: Message) -> bytes:
    """Bytes of a message with its length before it. Strings may hold what a path may hold."""
    body = json.dumps(message, separators=(",", ":")).encode()
    return len(body).to_bytes(HEADER_BYTES, "big") + body


def decode(body: bytes) -> Message:
    """The message in a body."""
    message: Message = json.loads(body)
    return message


def read_message(pipe: BinaryIO) -> Message | None:
    """The next message from a blocking pipe; None when the other side is gone."""
    header = pipe.read(HEADER_BYTES)
    if len(header) < HEADER_BYTES:
        return None
    size = int.from_bytes(header, "big")
    body = pipe.read(size)
    return decode(body) if len(body) == size else None
