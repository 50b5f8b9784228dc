"""Idempotency keys: what is declared about them, what a client makes of it, and what a key may look like.

Theory of operation. A method declares that its server deduplicates calls by their key. What a client does then:

    mode       a key of its own                                       the caller's own key
    NONE       never                                                  is metadata like any other
    OPTIONAL   where the call may be sent more than once              is kept, and must be a key
    REQUIRED   always                                                 is kept, and must be a key

A key is the same on every attempt and hedge of a call, so a second execution does no harm, and retrying and hedging are
allowed whatever the method's idempotency_level. That holds as long as the server remembers the key: where nothing else
makes a second execution safe, a call must be over within `ttl`.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass

from kit.resilience.kinds import check_kinds

__all__ = ["MAX_KEY", "IdempotencyKeyMode", "IdempotencyKeyPolicy", "IdempotencyKeyRules", "fault_of"]

#: Characters of a key. Metadata of a call should stay below 8 KiB in all, and a UUID takes 36.
MAX_KEY = 255


class IdempotencyKeyMode(enum.Enum):
    """Whether a server deduplicates by the key. The values are those of kitapi.v1.IdempotencyKeyPolicy.Mode."""

    NONE = 1
    OPTIONAL = 2
    REQUIRED = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class IdempotencyKeyPolicy:
    """What a user says about keys; the fields are those of kitapi.v1.IdempotencyKeyPolicy. None inherits."""

    #: NONE turns off what is inherited.
    mode: IdempotencyKeyMode | None = None
    #: Seconds that the server remembers a key and its answer.
    ttl: float | None = None

    def __post_init__(self) -> None:
        check_kinds(self)
        if self.ttl is not None and not 0 < self.ttl < math.inf:
            raise ValueError(f"ttl must be longer than 0 seconds and finite, not {self.ttl}")


@dataclass(frozen=True, kw_only=True, slots=True)
class IdempotencyKeyRules:
    """What the client side works by; there are none where the mode is NONE or nobody names one."""

    #: Whether a call whose caller names no key gets one.
    makes_keys: bool
    #: Seconds within which the call must be over, because the server forgets its key after that; infinite where a
    #: second execution would do no harm, or there is none.
    within: float = math.inf

    @classmethod
    def of(cls, policy: IdempotencyKeyPolicy, *, sent_again: bool, safe_by_itself: bool) -> IdempotencyKeyRules | None:
        """`sent_again`: the call may have further attempts; `safe_by_itself`: they need no key to do no harm."""
        if policy.mode in (None, IdempotencyKeyMode.NONE):
            return None
        rests_on_it = sent_again and not safe_by_itself and policy.ttl is not None
        return cls(
            makes_keys=sent_again or policy.mode is IdempotencyKeyMode.REQUIRED,
            within=policy.ttl if rests_on_it and policy.ttl is not None else math.inf,
        )


def fault_of(keys: Sequence[str | bytes]) -> str | None:
    """What is wrong with the keys that a caller put into the metadata of a call, in words; None for a good one."""
    if len(keys) != 1:
        return f"one is wanted, not {len(keys)}"
    [key] = keys
    text = key.decode("latin-1") if isinstance(key, bytes) else key
    if not 1 <= len(text) <= MAX_KEY:
        return f"it must have 1 to {MAX_KEY} characters, not {len(text)}"
    if not all("!" <= character <= "~" for character in text):
        return "it may have visible ASCII characters only, and no space"
    return None
