"""What is kept of an answer, and how it is written down. Pure."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass

import grpc

from kit.errors import STATUS_DETAILS_KEY, code_from_int

__all__ = ["REPLAY_KEY", "STORED", "Answer", "kept_metadata"]

#: Trailing metadata of an answer that was kept: its value is "true".
REPLAY_KEY = "kit-idempotent-replay"
#: Outcomes that hold for good. Any other may pass, or nobody knows what it means: the next call with the key executes.
STORED = frozenset(
    {
        grpc.StatusCode.OK,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.OUT_OF_RANGE,
    }
)

Pairs = tuple[tuple[str, str | bytes], ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of a call as its caller saw it."""

    code: grpc.StatusCode
    details: str
    #: The message in bytes; none where the call failed.
    response: bytes
    trailing: Pairs = ()

    def to_bytes(self) -> bytes:
        """A line of JSON, then the response."""
        trailing = [
            [name, value] if isinstance(value, str) else [name, base64.b64encode(value).decode(), "bytes"]
            for name, value in self.trailing
        ]
        head = {"code": self.code.value[0], "details": self.details, "trailing": trailing}
        return json.dumps(head).encode() + b"\n" + self.response

    @classmethod
    def from_bytes(cls, kept: bytes) -> Answer:
        """What `to_bytes` made."""
        line, _, response = kept.partition(b"\n")
        head = json.loads(line)
        trailing = tuple(
            (pair[0], pair[1] if len(pair) == 2 else base64.b64decode(pair[1])) for pair in head["trailing"]
        )
        return cls(code_from_int(head["code"]), head["details"], response, trailing)


def kept_metadata(trailing: Iterable[tuple[str, str | bytes]]) -> Pairs:
    """The trailing metadata without what is gRPC's own; the details of the status stay."""
    return tuple(
        (name, value) for name, value in trailing if name == STATUS_DETAILS_KEY or not name.startswith("grpc-")
    )
