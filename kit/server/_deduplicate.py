"""Executes a call once for each idempotency key, and gives its answer to whoever sends the key again.

For methods with one request and one answer whose policy names an `idempotency_key.mode`. A call is known by who makes
it, its method and its key. Of several at the same time one executes it:

    in this process     the others wait for it, without asking the store
    in several          the first of each process looks at the store, again and again, until there is an answer, or
                        until it may execute the call itself because the key was released or its lease is over

What is kept, and what a second request with the same key gets, stands in docs/guide/idempotency.md.
"""

from __future__ import annotations

from typing import Any

from kit.clock import SYSTEM, Clock
from kit.errors import ConfigurationError, InvalidArgument, PolicyError
from kit.layers.idempotency import IDEMPOTENCY_KEY
from kit.pipeline import Shape
from kit.resilience.idempotency import IdempotencyKeyMode, IdempotencyKeyPolicy, fault_of
from kit.server._call import Handler, ServerCall, ServerMethod, Undecodable
from kit.server.idempotency._keeper import Keeper
from kit.server.idempotency._once import Once

__all__ = ["DeduplicateLayer", "deduplicated"]

#: Seconds that an answer is kept where the policy names none.
DEFAULT_TTL = 24 * 3600.0


def deduplicated(method: ServerMethod) -> IdempotencyKeyPolicy | None:
    """What the method declares, where the server has to do something about it.

    Raises PolicyError for a stream: its answer is not kept, and clients were told that they may send it again.
    """
    declared = method.policy.policy.idempotency_key
    if declared is None or declared.mode in (None, IdempotencyKeyMode.NONE):
        return None
    if method.shape is not Shape.UNARY_UNARY:
        raise PolicyError(
            method.path,
            "idempotency_key.mode",
            "only methods with one request and one answer are deduplicated; set it to NONE for this stream",
        )
    return declared


class DeduplicateLayer:
    """One for each server."""

    name = "deduplicate"

    def __init__(self, keeper: Keeper | None, *, off: bool = False, clock: Clock = SYSTEM) -> None:
        """`keeper` None: there is no store, and calls that need one are refused. `off`: handlers see to it."""
        self.keeper = keeper
        self.off = off
        self._clock = clock

    def wrap(self, method: ServerMethod, inner: Handler) -> Handler:
        if self.off:
            return inner
        try:
            declared = deduplicated(method)
        except PolicyError as error:
            # A kit.Server has been refused at its start; on a stock server methods are not known before they are used.
            return _refusing(error)
        if declared is None:
            return inner
        if self.keeper is None:
            return _refusing(
                ConfigurationError(
                    f"{method.path} declares idempotency keys, and there is no store for them: give one, as "
                    "server_interceptors(idempotency=...), or False where the handler deduplicates"
                )
            )
        required = declared.mode is IdempotencyKeyMode.REQUIRED
        ttl = DEFAULT_TTL if declared.ttl is None else declared.ttl
        once = Once(self.keeper, self._clock, method, inner, ttl)

        async def handle(call: ServerCall) -> Any:
            if isinstance(call.request, Undecodable):
                return await inner(call)
            given = [value for name, value in call.metadata if name == IDEMPOTENCY_KEY]
            if not given:
                if required:
                    raise _required()
                return await once.without_key(call)
            fault = fault_of(given)
            if fault is not None:
                raise InvalidArgument(f"the {IDEMPOTENCY_KEY} metadata is no key: {fault}")
            [key] = given
            return await once.with_key(call, key.decode() if isinstance(key, bytes) else key)

        return handle


def _refusing(error: ConfigurationError) -> Handler:
    async def refuse(_call: ServerCall) -> Any:
        raise error

    return refuse


def _required() -> InvalidArgument:
    return InvalidArgument(
        f"send {IDEMPOTENCY_KEY} metadata with this call: a text that no other call has, such as a UUID, and the same "
        "one each time that the call is sent again",
        reason="IDEMPOTENCY_KEY_REQUIRED",
        domain="kit",
    )
