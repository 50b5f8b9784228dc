"""How a call travels on the client side: handlers, the layers around them, and the pipeline that they make.

A `Handler` takes a call and gives its outcome. A `Layer` wraps one handler, knows no neighbour, and decides once for
each method, when the stub is made, whether it has anything to do there: `wrap` returns the inner handler itself where
it has not. The first layer listed is the outermost.

A handler never raises because a call failed: failure is an outcome. It raises `asyncio.CancelledError` when the caller
gave up, and passes on what is no affair of the call at all (a request that cannot be serialised, a channel that is
closed). For an answer that is a stream the outcome says that the stream is open; what a layer wants to do at its end it
hands to `Call.when_ended`.

Handlers are stepped by hand up to their first wait (see `kit.client.driven`), so they must not use what belongs to the
running task: no `asyncio.timeout`, no `asyncio.current_task`.
"""

from __future__ import annotations

import asyncio
import copy
import enum
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias, runtime_checkable

import grpc
import grpc.aio

from kit.call import collect, expires_at
from kit.observe import tracing
from kit.policy import Resolved
from kit.resilience.retry import StopReason

__all__ = [
    "CANCELLED",
    "Attempted",
    "Begun",
    "Built",
    "Call",
    "Handler",
    "Keeping",
    "Layer",
    "Method",
    "Outcome",
    "Pipeline",
    "Shape",
]

#: The status of a call whose caller gave up, in the words of grpc.aio.
CANCELLED = (grpc.StatusCode.CANCELLED, "Locally cancelled by application!")


class Shape(enum.Enum):
    """Which sides of an RPC are streams."""

    UNARY_UNARY = "unary_unary"
    UNARY_STREAM = "unary_stream"
    STREAM_UNARY = "stream_unary"
    STREAM_STREAM = "stream_stream"

    @property
    def streams_requests(self) -> bool:
        """Whether the client sends a stream."""
        return self in (Shape.STREAM_UNARY, Shape.STREAM_STREAM)

    @property
    def streams_responses(self) -> bool:
        """Whether the server sends a stream."""
        return self in (Shape.UNARY_STREAM, Shape.STREAM_STREAM)


@dataclass(frozen=True, slots=True, eq=False)
class Method:
    """What is known of a method when its stub is made."""

    #: "/package.Service/Method"
    path: str
    shape: Shape
    policy: Resolved
    #: What the channel was opened to; "" on a stock channel.
    target: str
    #: How messages become bytes and back, and whether the method is registered with the channel; a stub says it.
    request_serializer: Any = None
    response_deserializer: Any = None
    registered: bool = False
    #: Bytes of metadata that a caller may give.
    metadata_limit: int = 16_384

    @property
    def service(self) -> str:
        """As "package.Service"."""
        return self.path.rpartition("/")[0].removeprefix("/")

    @property
    def may_retry(self) -> bool:
        """Whether a second attempt is possible at all."""
        return self.policy.retry.max_attempts > 1

    @property
    def replay_buffer(self) -> int:
        """Bytes of a stream of requests that are kept to be sent again; 0 where none are."""
        rules = self.policy.retry
        kept = self.may_retry and rules.replay_safe and self.shape.streams_requests
        return rules.replay_buffer if kept else 0

    @property
    def may_replay(self) -> bool:
        """Whether a request that may have reached a server can be sent again.

        Where the client streams, only what is kept can: what it has sent is gone otherwise.
        """
        if self.shape.streams_requests:
            return self.replay_buffer > 0
        return self.may_retry and self.policy.retry.replay_safe

    @property
    def begins_late(self) -> bool:
        """Whether a streamed answer counts as open only with its first message, as other attempts may follow or run."""
        return self.shape.streams_responses and (self.may_replay or self.policy.hedging is not None)


class Attempted:
    """One attempt, as it is noted while it runs."""

    __slots__ = (
        "breaker",
        "code",
        "delay",
        "details",
        "ended",
        "endpoint",
        "hedge",
        "number",
        "sent",
        "started",
        "timeout",
    )

    def __init__(
        self, number: int, endpoint: str, delay: float, started: float, timeout: float, *, sent: bool = True
    ) -> None:
        #: False where it provably never left.
        self.sent = sent
        self.number = number
        #: It was sent while others were running.
        self.hedge = False
        #: The circuit breaker that let it through.
        self.breaker: Any = None
        self.endpoint = endpoint
        self.delay = delay
        self.started = started
        #: Seconds that it was given; infinite for no limit.
        self.timeout = timeout
        self.ended = 0.0
        self.code: grpc.StatusCode | None = None
        self.details = ""

    def settle(self, code: grpc.StatusCode, details: str, now: float) -> None:
        """Notes how it ended; a second time changes nothing."""
        if self.code is None:
            self.code, self.details, self.ended = code, details, now


class Begun:
    """A first attempt that was sent before the pipeline ran (see `kit.client.direct`).

    What the layers would have made for it, they find here: the instant, the endpoint, the breaker and its permit, and
    grpc's own call. A retry budget has counted it already.
    """

    __slots__ = ("breaker", "endpoint", "inner", "permit", "span", "started")

    def __init__(self, inner: Any, started: float, endpoint: Any, breaker: Any, permit: Any, span: Any = None) -> None:
        self.inner = inner
        self.started = started
        self.endpoint = endpoint
        self.breaker = breaker
        self.permit = permit
        #: The span of the attempt, where it is traced.
        self.span = span


class Call:
    """One call on its way: what was asked for, and what has been noted about it so far.

    What a call starts with stands on the class, so that making one sets only what it was made with.
    """

    #: The span of the whole call.
    span = tracing.OFF
    #: Seconds waited before the attempt to come.
    delay = 0.0
    #: Whether the attempt to come is sent beside others that run.
    hedge = False
    #: Whether another attempt beside it has won.
    lost = False
    #: The attempt that runs, or ran last.
    attempt: Attempted | None = None
    #: Where the attempt goes; what it is is the transport's affair.
    endpoint: Any = None
    #: The metadata of the attempt; None where it is the caller's, unchanged.
    sent_metadata: list[tuple[str, str | bytes]] | None = None
    #: The first attempt, where it was sent before the pipeline ran; the transport takes it away.
    begun: Begun | None = None
    #: What keeps a stream of requests for further attempts, the client's affair; None where nothing does.
    replay: Any = None
    #: It was made before the attempt to come, though none has been sent: it has waited for its turn, for instance.
    waited = False
    #: Something is held for it until its end, to which it must come though nobody waits for it.
    holds = False
    #: grpc's own call of the attempt that runs, or ran last.
    inner: Any = None
    #: Set when there is one, for who waits for it before that.
    waiter: asyncio.Event | None = None
    started = 0.0
    ended = 0.0
    #: None while it is running.
    code: grpc.StatusCode | None = None
    details = ""
    #: The throttle and budget that further attempts draw from, once there was a reason to ask.
    allowance: Any = None
    #: The states of circuit breakers that refused it, by address.
    refused_by: Mapping[str, str] = MappingProxyType({})
    #: Why there was no further attempt.
    stop: StopReason | None = None
    #: The `idempotency-key` in the metadata; "" where there is none, or the method declares nothing about it.
    idempotency_key = ""
    #: Whether the kit has made it, and not the caller.
    key_is_made = False
    #: What answered in place of the call, and what it had failed with; see `kit.call.CallReport`.
    degraded = ""
    failure = ""
    #: Called with the status and its text when a stream that was opened has ended.
    at_end: tuple[Callable[[grpc.StatusCode, str], None], ...] = ()

    def __init__(
        self,
        method: Method,
        request: Any,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
        send: Any = None,
    ) -> None:
        self.method = method
        #: The message, or the iterator of messages (None: they will be written).
        self.request = request
        #: Seconds that the code named.
        self.timeout = timeout
        #: The caller's metadata, and the call's own idempotency key: a sequence of pairs or None.
        self.metadata = metadata
        self.credentials = credentials
        self.wait_for_ready = wait_for_ready
        self.compression = compression
        #: What makes grpc's call, where no endpoint does: the continuation of a stock channel.
        self.send = send
        #: An instant; the deadline layer narrows it.
        self.expires_at = expires_at()
        self.collectors = collect()
        self.attempts: list[Attempted] = []

    def branch(self) -> Call:
        """The same call for an attempt that runs beside others. What is noted of attempts is shared."""
        branch = copy.copy(self)
        branch.inner = branch.waiter = branch.endpoint = branch.sent_metadata = branch.attempt = None
        return branch

    def when_ended(self, tell: Callable[[grpc.StatusCode, str], None]) -> None:
        """Adds what is to be done at the end of a stream, after what is there already."""
        self.at_end = (*self.at_end, tell)

    def sent(self, inner: Any) -> None:
        """Notes grpc's own call of a new attempt."""
        self.inner = inner
        if self.waiter is not None:
            self.waiter.set()


class Outcome:
    """How a call or an attempt came out.

    `error` None means success: `response` is then the message, or, for an answer that is a stream, the first message
    where it was waited for and `NOTHING` where not.
    """

    __slots__ = ("error", "response", "unsent")

    NOTHING: Any = object()

    def __init__(
        self, response: Any = NOTHING, error: grpc.aio.AioRpcError | None = None, unsent: bool = False
    ) -> None:
        self.response = response
        self.error = error
        #: It provably never left: no ready connection was picked.
        self.unsent = unsent


Handler: TypeAlias = Callable[[Call], Coroutine[Any, Any, Outcome]]


#: A method and its chain.
Built: TypeAlias = tuple[Method, Handler]


class Layer(Protocol):
    """One concern around a handler."""

    @property
    def name(self) -> str:
        """What `Pipeline.describe` says."""
        ...

    def wrap(self, method: Method, inner: Handler) -> Handler:
        """The handler for this method; `inner` itself where there is nothing to do."""
        ...


@runtime_checkable
class Keeping(Protocol):
    """A layer that keeps something for each set of rules."""

    def keep(self, policies: Sequence[Resolved]) -> None:
        """Forgets what is kept for rules that none of these policies has."""
        ...


class Pipeline:
    """Layers in order, the outermost first."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = tuple(layers)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers themselves, outermost first."""
        return self._layers

    def handler(self, method: Method, transport: Handler) -> Handler:
        """The chain for one method, ending at `transport`. Build it once."""
        handler = transport
        for layer in reversed(self._layers):
            handler = layer.wrap(method, handler)
        return handler

    def keep(self, policies: Iterable[Resolved]) -> None:
        """Lets layers forget what they keep for rules that none of these policies has."""
        in_use: list[Resolved] = []
        for policy in policies:
            found: Resolved | None = policy
            while found is not None:
                in_use.append(found)
                found = found.stand_in
        for layer in self._layers:
            if isinstance(layer, Keeping):
                layer.keep(in_use)

    def describe(self, method: Method | None = None) -> list[str]:
        """The names of the layers, outermost first; with a method, only of those that act on it."""
        if method is None:
            return [layer.name for layer in self._layers]
        return [layer.name for layer in self._layers if layer.wrap(method, _nowhere) is not _nowhere]


async def _nowhere(_call: Call) -> Outcome:
    raise NotImplementedError
