"""Server side of idempotency keys: the states of a key, and what may happen in each.

Theory of operation. A server keeps a record for each key that a caller has sent to a method:

    PENDING     known, and nobody executes it: the last execution came to nothing that is worth keeping
    RUNNING     an owner executes it, and has a lease that it renews while it does
    COMPLETED   the answer is kept and given to whoever sends the key again

    state        event                                                        next
    none         claim: a call comes with the key                             RUNNING
    PENDING      claim                                                        RUNNING
    RUNNING      take over: a call comes after the lease, the owner is gone   RUNNING, of another owner
    RUNNING      renew: the owner is alive                                    RUNNING
    RUNNING      complete: the owner has an answer                            COMPLETED
    RUNNING      release: the owner has failed in a way that may pass         PENDING
    any          forget: its time is over, and no lease holds it              none

What an owner does it does by its name and generation, which no two claims share: one that comes back after it was taken
over finds a record that is not its own, and changes nothing. An owner whose lease is over and whom nobody took over
may still complete. Every event may happen twice in a row, so it can be tried again when nobody knows how it ended.

Times are instants on one clock that all owners share, in seconds; what that clock is the store knows.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace

__all__ = [
    "TRANSITIONS",
    "Decision",
    "Event",
    "KeyState",
    "Record",
    "Verdict",
    "claimed",
    "completed",
    "decide",
    "is_over",
    "released",
    "renewed",
]


class KeyState(enum.Enum):
    """What is known of a key. The values are those that stores write down."""

    PENDING = 1
    RUNNING = 2
    COMPLETED = 3


class Event(enum.Enum):
    """What happens to a key."""

    CLAIM = "claim"
    TAKE_OVER = "take over"
    RENEW = "renew"
    COMPLETE = "complete"
    RELEASE = "release"
    FORGET = "forget"


#: None is a key of which nothing is known. What is not here does not happen.
TRANSITIONS: Mapping[tuple[KeyState | None, Event], KeyState | None] = {
    (None, Event.CLAIM): KeyState.RUNNING,
    (KeyState.PENDING, Event.CLAIM): KeyState.RUNNING,
    (KeyState.RUNNING, Event.TAKE_OVER): KeyState.RUNNING,
    (KeyState.RUNNING, Event.RENEW): KeyState.RUNNING,
    (KeyState.RUNNING, Event.COMPLETE): KeyState.COMPLETED,
    (KeyState.RUNNING, Event.RELEASE): KeyState.PENDING,
    (KeyState.PENDING, Event.FORGET): None,
    (KeyState.RUNNING, Event.FORGET): None,
    (KeyState.COMPLETED, Event.FORGET): None,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """What is kept of a key."""

    state: KeyState
    #: Digest of the request: the same key with another request is a mistake.
    fingerprint: bytes
    #: Who executes it, or did so last. No two claims have the same.
    owner: str
    #: How many claims there were.
    generation: int
    #: While it is RUNNING nobody takes it over before this instant.
    lease_until: float
    #: From this instant on it may be forgotten.
    expires_at: float
    #: What the caller is told; there is one exactly when it is COMPLETED.
    answer: bytes | None = None


class Verdict(enum.Enum):
    """What a call with a key is to do."""

    #: Execute: the key is its own.
    RUN = "run"
    #: Give the kept answer.
    REPLAY = "replay"
    #: Wait: another call executes it.
    WAIT = "wait"
    #: Be refused: the key was used for another request.
    REUSED = "reused"


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict and what belongs to it."""

    verdict: Verdict
    #: The kept answer, where it is to be given.
    answer: bytes | None = None
    #: Seconds until the lease of the one that executes is over, unless it renews it.
    wait: float = 0.0


def is_over(record: Record, now: float) -> bool:
    """Whether the record may be forgotten, and counts as if it were."""
    return record.expires_at <= now and not (record.state is KeyState.RUNNING and record.lease_until > now)


def decide(record: Record | None, fingerprint: bytes, owner: str, now: float) -> Decision:
    """What the call of `owner` does about the key of `record`. RUN: it may become `claimed`."""
    if record is None or is_over(record, now):
        return Decision(Verdict.RUN)
    if record.fingerprint != fingerprint:
        return Decision(Verdict.REUSED)
    if record.state is KeyState.COMPLETED:
        return Decision(Verdict.REPLAY, answer=record.answer)
    if record.state is KeyState.RUNNING and record.owner != owner and record.lease_until > now:
        return Decision(Verdict.WAIT, wait=record.lease_until - now)
    return Decision(Verdict.RUN)


def claimed(record: Record | None, *, fingerprint: bytes, owner: str, now: float, lease: float, ttl: float) -> Record:
    """The record after `decide` said RUN. `lease` and `ttl` are seconds."""
    if _held(record, owner):
        assert record is not None
        # The same claim once more: nobody knew whether it had been heard.
        return replace(record, lease_until=now + lease)
    if record is None or is_over(record, now):
        before, event = None, Event.CLAIM
    else:
        before = record.state
        event = Event.TAKE_OVER if before is KeyState.RUNNING else Event.CLAIM
    state = TRANSITIONS[before, event]
    assert state is not None
    return Record(
        state=state,
        fingerprint=fingerprint,
        owner=owner,
        generation=1 if record is None else record.generation + 1,
        lease_until=now + lease,
        expires_at=now + ttl,
    )


def renewed(record: Record | None, *, owner: str, now: float, lease: float) -> Record | None:
    """The record with a new lease; None where it is no longer the owner's."""
    if not _held(record, owner):
        return None
    assert record is not None
    return replace(record, lease_until=now + lease, expires_at=max(record.expires_at, now + lease))


def completed(record: Record | None, *, owner: str, answer: bytes, now: float, ttl: float) -> Record | None:
    """The record with its answer, which is kept for `ttl` seconds; None where it is no longer the owner's."""
    if record is not None and record.owner == owner and record.state is KeyState.COMPLETED:
        return record
    if not _held(record, owner):
        return None
    assert record is not None
    return replace(record, state=_next(record, Event.COMPLETE), answer=answer, expires_at=now + ttl)


def released(record: Record | None, *, owner: str) -> Record | None:
    """The record free for the next claim; None where it is no longer the owner's."""
    if record is not None and record.owner == owner and record.state is KeyState.PENDING:
        return record
    if not _held(record, owner):
        return None
    assert record is not None
    return replace(record, state=_next(record, Event.RELEASE))


def _held(record: Record | None, owner: str) -> bool:
    return record is not None and record.state is KeyState.RUNNING and record.owner == owner


def _next(record: Record, event: Event) -> KeyState:
    state = TRANSITIONS[record.state, event]
    assert state is not None
    return state
