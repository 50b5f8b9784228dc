"""What layers are tested with: methods, and an innermost handler that answers from a script in virtual time."""

from __future__ import annotations

import math
from collections.abc import Iterable

import grpc
import grpc.aio

import kit
from kit.pipeline import Call, Method, Outcome, Shape
from kit.policy import IdempotencyLevel, policy_for
from kit.testing import VirtualClock

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
INTERNAL = grpc.StatusCode.INTERNAL


def method(
    *, shape: Shape = Shape.UNARY_UNARY, safe: bool = True, policy: kit.MethodPolicy | None = None, attempts: int = 4
) -> Method:
    """A method with a retry policy of whole seconds, without jitter."""
    usual = kit.MethodPolicy(
        idempotency_level=IdempotencyLevel.IDEMPOTENT if safe else IdempotencyLevel.UNKNOWN,
        retry=kit.RetryPolicy(
            max_attempts=attempts, initial_backoff=1.0, max_backoff=10.0, jitter=kit.policy.Jitter.NONE
        ),
    )
    given = {"*": usual, "/test.Service/*": policy if policy is not None else kit.MethodPolicy()}
    return Method(path="/test.Service/Do", shape=shape, policy=policy_for("/test.Service/Do", given), target="test:1")


def failure(
    code: grpc.StatusCode = UNAVAILABLE, *, pushback: str | None = None, committed: bool = False
) -> grpc.aio.AioRpcError:
    """What grpc raises for a call that failed."""
    return grpc.aio.AioRpcError(
        code,
        grpc.aio.Metadata(("server", "was-here")) if committed else grpc.aio.Metadata(),
        grpc.aio.Metadata(("grpc-retry-pushback-ms", pushback)) if pushback is not None else grpc.aio.Metadata(),
        details="scripted",
    )


class Wire:
    """An innermost handler: each attempt takes `seconds` and ends as the script says; after its end all succeed."""

    def __init__(
        self, clock: VirtualClock, script: Iterable[grpc.aio.AioRpcError | Outcome] = (), *, seconds: float = 0.0
    ) -> None:
        self._clock = clock
        self._script = list(script)
        self._seconds = seconds
        #: The instants at which attempts started, counted from the first.
        self.started: list[float] = []
        #: The time that each was given.
        self.allowed: list[float] = []
        #: The metadata of each.
        self.metadata: list[list[tuple[str, str | bytes]] | None] = []

    async def __call__(self, call: Call) -> Outcome:
        self.started.append(self._clock.now() - 1000.0)
        self.allowed.append(call.attempts[-1].timeout if call.attempts else math.nan)
        self.metadata.append(call.sent_metadata)
        if self._seconds:
            await self._clock.sleep(self._seconds)
        if not self._script:
            return Outcome("answer")
        step = self._script.pop(0)
        return step if isinstance(step, Outcome) else Outcome(error=step)
