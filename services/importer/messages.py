"""What the importer and its worker processes say to each other: JSON objects, each behind its length, over pipes.

importer -> worker    {"op": "task", ...TaskSpec}   {"op": "ack"}   {"op": "cancel"}
worker -> importer    {"op": "ready"}
                      {"op": "file", "number"}                       begins a file on disk
                      {"op": "progress", lines, bytes, files, disk}  since the last split; disk: since the task's start
                      {"op": "error", file, path, reason, message, line}
                      {"op": "split", id, split, cursor}             on disk; waits for the ack
                      {"op": "done", files}   {"op": "cancelled"}   {"op": "failed", message}
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, BinaryIO

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
