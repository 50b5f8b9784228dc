"""The idempotency key of a call: one for all of its attempts and hedges, so that the server executes it once."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Coroutine
from typing import Any

import grpc.aio

from kit.clock import Clock
from kit.errors import InvalidIdempotencyKey
from kit.pipeline import Call, Handler, Method, Outcome
from kit.resilience.idempotency import fault_of
from kit.resilience.retry import StopReason

__all__ = ["IDEMPOTENCY_KEY", "IdempotencyKeyLayer"]

#: The name of the metadata.
IDEMPOTENCY_KEY = "idempotency-key"


def _random_key() -> str:
    """122 random bits of the operating system: nobody guesses one, and no two are the same."""
    return str(uuid.uuid4())


class IdempotencyKeyLayer:
    """Puts a key into the metadata of calls whose server deduplicates; a key that the caller named is kept.

    `new_key` makes one.
    """

    name = "idempotency key"

    def __init__(self, clock: Clock, new_key: Callable[[], str] = _random_key) -> None:
        self._clock = clock
        self._new_key = new_key

    def wrap(self, method: Method, inner: Handler) -> Handler:
        rules = method.policy.idempotency_key
        if rules is None:
            return inner
        now, new_key, makes_keys, within = self._clock.now, self._new_key, rules.makes_keys, rules.within

        def handle(call: Call) -> Coroutine[Any, Any, Outcome]:
            given = [value for name, value in call.metadata or () if name == IDEMPOTENCY_KEY]
            if given:
                fault = fault_of(given)
                if fault is not None:
                    return refused(call, fault)
                [key] = given
                call.idempotency_key = key.decode() if isinstance(key, bytes) else key
            elif makes_keys:
                call.idempotency_key = made = new_key()
                call.key_is_made = True
                # Another object: the caller's own is not touched.
                call.metadata = grpc.aio.Metadata(*(call.metadata or ()), (IDEMPOTENCY_KEY, made))
            if within != math.inf:
                call.expires_at = min(call.expires_at, now() + within)
            return inner(call)

        async def refused(call: Call, fault: str) -> Outcome:
            call.stop = StopReason.NOT_RETRYABLE
            return Outcome(
                error=InvalidIdempotencyKey(f"the {IDEMPOTENCY_KEY} metadata is no key: {fault}; nothing was sent")
            )

        return handle
