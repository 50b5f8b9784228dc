"""What was sent of a stream of requests, kept for as long as it may have to be sent again.

Theory of operation. A `ReplayBuffer` follows one call. An attempt first sends again what is kept (`again`, while
`pending`), and then what nobody has sent before (`sent`), which is kept in its turn:

    what happened                               kept                     committed
    a message goes out for the first time       it as well               no
    ... but there is no room for it             nothing any more         yes
    something of the answer has arrived         what is still pending    yes
    an attempt failed: `rewind`                 all of it is pending     no; once committed there is no other attempt

A message counts as many bytes as it takes on the wire: itself and gRPC's prefix of 5, so that messages that are empty
fill a buffer too. Where the size of one is not known there is no room for it.

Invariants: what is kept is never more than `limit` bytes; while nothing is committed, what is kept is all that was
sent; each attempt sends each message once and in order.
"""

from __future__ import annotations

from typing import Generic, TypeVar

__all__ = ["MAX_REPLAY_BUFFER", "PREFIX", "ReplayBuffer"]

#: The most bytes that a call may keep: four messages of the size that gRPC takes unless told otherwise. Every call in
#: flight has a buffer of its own.
MAX_REPLAY_BUFFER = 16 * 2**20
#: Bytes before each message on the wire.
PREFIX = 5
T = TypeVar("T")


class ReplayBuffer(Generic[T]):
    """The messages of one call."""

    __slots__ = ("_at", "_kept", "_room", "committed")

    def __init__(self, limit: int) -> None:
        self._room = limit
        self._kept: list[T] = []
        #: How many of those kept this attempt has sent.
        self._at = 0
        #: There will be no other attempt.
        self.committed = False

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def pending(self) -> bool:
        """Whether this attempt has yet to send something again."""
        return self._at < len(self._kept)

    def again(self) -> T:
        """The next message to send again; there must be one."""
        message = self._kept[self._at]
        self._at += 1
        if self.committed:
            self._free()
        return message

    def sent(self, message: T, size: int | None) -> None:
        """A message goes out for the first time; `size` in bytes, None where it is not known."""
        if self.committed:
            return
        if size is None or size + PREFIX > self._room:
            self.commit()
            return
        self._room -= size + PREFIX
        self._kept.append(message)
        self._at += 1

    def rewind(self) -> None:
        """Another attempt begins."""
        self._at = 0

    def commit(self) -> None:
        """There will be no other attempt: what this one has sent is let go."""
        self.committed = True
        self._free()

    def _free(self) -> None:
        if self._at == len(self._kept):
            self._kept = []
            self._at = 0
