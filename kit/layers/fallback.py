"""Another answer for a call that failed, as `kit.resilience.fallback` decides.

The caller gets it as an answer and is told: by the report, by `kit-degraded` in the trailing metadata, by a line in the
log and an event on the call's span. Layers inside of this one have seen the failure.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import grpc.aio

from kit.clock import Clock
from kit.errors import BreakerOpen, PolicyError
from kit.layers._answers import Again, again, default_of, request_key
from kit.layers.idempotency import IDEMPOTENCY_KEY
from kit.observe import tracing
from kit.pipeline import Call, Handler, Method, Outcome, Shape
from kit.policy import Resolved
from kit.policy.fallback import STREAMS_HAVE_NO_FALLBACK, is_named, stand_in_of
from kit.resilience.fallback import refutes
from kit.resilience.last_good import LastGood
from kit.resilience.retry import StopReason

__all__ = ["DEGRADED_KEY", "FallbackLayer", "degraded_metadata"]

#: The name of the trailing metadata that tells what answered: "cached", "method" or "default".
DEGRADED_KEY = "kit-degraded"
#: With less time left (seconds) than this no other method is asked.
_SLACK = 0.005

log = logging.getLogger("kit.client")


def degraded_metadata(call: Call, trailing: grpc.aio.Metadata) -> grpc.aio.Metadata:
    """Trailing metadata of a call as its caller sees them."""
    if not call.degraded:
        return trailing
    return grpc.aio.Metadata(*trailing, (DEGRADED_KEY, call.degraded.partition(" ")[0]))


class FallbackLayer:
    """Answers with the last good answer, with what another method says, or with a default.

    `chain` gives the whole pipeline for another method. The answers that are kept belong to the layer, so to a channel.
    """

    name = "fallback"

    def __init__(self, clock: Clock, chain: Callable[[Method], Handler], kept: LastGood[Again] | None = None) -> None:
        self._clock = clock
        self._chain = chain
        self._kept = kept if kept is not None else LastGood[Again]()

    def keep(self, policies: Sequence[Resolved]) -> None:
        """Forgets what it has kept where no method has a use for it any more."""
        if not any(policy.fallback is not None and policy.fallback.cached_for for policy in policies):
            self._kept.clear()

    def wrap(self, method: Method, inner: Handler) -> Handler:
        rules = method.policy.fallback
        if rules is None:
            return inner
        if method.shape is not Shape.UNARY_UNARY:
            # Where no descriptor is known, a policy does not show that the method streams.
            if is_named(method.path, method.policy.origins):
                raise PolicyError(method.path, "fallback", STREAMS_HAVE_NO_FALLBACK)
            return inner
        now, kept, cached_for = self._clock.now, self._kept, rules.cached_for
        ask = self._asking(method)
        default = default_of(method, rules.default_json) if rules.default_json is not None else None

        async def handle(call: Call) -> Outcome:
            key = request_key(call) if cached_for else None
            outcome = await inner(call)
            error = outcome.error
            if error is None:
                if key is not None and (copy := again(outcome.response)) is not None:
                    kept.keep(key, *copy, now(), cached_for)
                return outcome
            code = error.code().value[0]
            if not rules.covers(code):
                if key is not None and refutes(code):
                    kept.drop(key)
                return outcome
            failed_at = now()
            if call.attempts:
                call.attempts[-1].settle(error.code(), error.details() or "", failed_at)
            if key is not None and (found := kept.find(key, failed_at, cached_for)) is not None:
                answer, age = found
                return _degraded(call, error, f"cached {age:.1f} s old", answer())
            if ask is not None and call.expires_at - failed_at > _SLACK:
                other, answered = await ask(call)
                if answered.error is None:
                    how = f", {other.degraded}" if other.degraded else ""
                    return _degraded(call, error, f"method {other.method.path}{how}", answered.response)
            if default is not None:
                return _degraded(call, error, "default", default(call))
            return outcome

        return handle

    def _asking(self, method: Method) -> Callable[[Call], Coroutine[Any, Any, tuple[Call, Outcome]]] | None:
        """What calls the method that stands in; None where there is none."""
        path, policy = stand_in_of(method.path, method.policy.fallback), method.policy.stand_in
        if path is None or policy is None:
            return None
        other = dataclasses.replace(method, path=path, policy=policy)
        handler = self._chain(other)

        async def ask(call: Call) -> tuple[Call, Outcome]:
            instead = _instead_of(call, other)
            # What is over is let go of: the call is not, so it can be cancelled, and its metadata are waited for.
            failed, call.inner = call.inner, None
            if call.waiter is not None:
                call.waiter.clear()
            outcome = await handler(instead)
            call.inner = instead.inner if outcome.error is None else failed
            if call.inner is not None and call.waiter is not None:
                call.waiter.set()
            return instead, outcome

        return ask


def _instead_of(call: Call, other: Method) -> Call:
    """The call of the method that stands in, in what is left of the time."""
    metadata = call.metadata
    if call.key_is_made:
        # It stands for an execution of the method that failed.
        metadata = grpc.aio.Metadata(*(pair for pair in metadata if pair[0] != IDEMPOTENCY_KEY))
    instead = Call(
        other,
        call.request,
        metadata=metadata,
        credentials=call.credentials,
        wait_for_ready=call.wait_for_ready,
        compression=call.compression,
        send=call.send,
    )
    instead.expires_at, instead.collectors = call.expires_at, call.collectors
    # It is made in the middle of one that was made before.
    instead.waited = True
    return instead


def _degraded(call: Call, error: grpc.aio.AioRpcError, how: str, response: Any) -> Outcome:
    """The outcome with another answer, noted and told."""
    code = error.code().name
    call.degraded, call.failure = how, f"{code}: {error.details()}"
    if call.stop is None:
        call.stop = StopReason.BREAKER_OPEN if isinstance(error, BreakerOpen) else StopReason.OFF
    tracing.add_event(call.span, "kit.degraded", {"kit.degraded": how, "kit.degraded.failure": code})
    if log.isEnabledFor(logging.INFO):
        path = call.method.path
        fields = {
            "rpc_method": path,
            "rpc_degraded": how,
            "rpc_code": code,
            "rpc_attempts": len(call.attempts),
            "rpc_stop_reason": call.stop.name,
        }
        log.info("%s: failed with %s, answered by fallback (%s)", path, call.failure, how, extra=fields)
    return Outcome(response)
