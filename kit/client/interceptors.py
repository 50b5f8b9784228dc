"""`kit.client_interceptors`: the same pipeline on a stock `grpc.aio` channel.

grpc.aio files an interceptor under the first of four classes that it is an instance of, so there is one small adapter
for each shape of RPC. Each gives back a call of ours, which grpc.aio's own wraps.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from typing import Any

import grpc
import grpc.aio

from kit.call import current_priority
from kit.client import guards
from kit.client._arguments import check_interceptors
from kit.client._asked import METADATA_LIMIT, check_call, checked_metadata, refusing, with_priority
from kit.client._facts import CLIENTS, ClientFacts
from kit.client._pipeline import client_pipeline
from kit.client._requests import check_requests
from kit.client.calls import UnaryUnaryCall
from kit.client.direct import Direct, direct
from kit.client.events import Listener, Listeners
from kit.client.streams import StreamStreamCall, StreamUnaryCall, UnaryStreamCall
from kit.client.transport import over_continuation
from kit.clock import SYSTEM, Clock
from kit.errors import MetadataTooLarge
from kit.layers import Allowances, Breakers, StorageFactory
from kit.pipeline import Built, Call, Handler, Method, Pipeline, Shape
from kit.policy import PolicySource, Resolved
from kit.policy.followed import Policies

__all__ = ["client_interceptors"]


class _Adapter:
    """The pipeline for one shape; each method's chain is built at its first call."""

    def __init__(self, shape: Shape, pipeline: Pipeline, policies: Policies, clock: Clock, limit: int) -> None:
        self._shape = shape
        self._limit = limit
        self._pipeline = pipeline
        self._policies = policies
        self._clock = clock
        self.methods: dict[Any, Built] = {}
        #: Held for as long as the interceptor is, for who looks at the process.
        self.facts: ClientFacts | None = None

    def _call(self, send: Any, details: Any, request: Any) -> tuple[Call, Handler, Clock]:
        known = self.methods.get(details.method)
        if known is None:
            self._bind(details.method)
            known = self.methods[details.method]
        method, handler = known
        timeout, metadata = details.timeout, details.metadata
        if timeout is not None or metadata:
            metadata, refusal = self._asked(details)
            if refusal is not None:
                handler = refusing(refusal, method, self._clock)
        if current_priority() is not None:
            metadata = with_priority(metadata)
        if self._shape.streams_requests and request is not None:
            check_requests(request)
        call = Call(
            method,
            request,
            timeout=timeout,
            metadata=metadata,
            credentials=details.credentials,
            wait_for_ready=details.wait_for_ready,
            send=send,
        )
        return call, handler, self._clock

    def _asked(self, details: Any) -> tuple[Any, MetadataTooLarge | None]:
        """Looks at what the call was given: its metadata as it is sent, and why it is refused.

        Raises UsageTypeError, UsageValueError and InvalidMetadata.
        """
        check_call(details.timeout, details.credentials, details.wait_for_ready, None)
        return checked_metadata(details.metadata if details.metadata is not None else (), self._limit)

    def _bind(self, name: Any) -> None:
        path = name.decode() if isinstance(name, bytes) else name

        def build(policy: Resolved) -> Built:
            method = Method(path=path, shape=self._shape, policy=policy, target="")
            return method, self._pipeline.handler(method, over_continuation(method))

        self._policies.bind(path, build, partial(self._take, name))
        self._policies.follow()

    def _take(self, name: Any, built: Built) -> None:
        self.methods[name] = built


@guards.asynchronous_only
class _UnaryUnary(_Adapter, grpc.aio.UnaryUnaryClientInterceptor):
    def __init__(
        self,
        pipeline: Pipeline,
        policies: Policies,
        clock: Clock,
        breakers: Breakers,
        allowances: Allowances,
        limit: int,
    ) -> None:
        super().__init__(Shape.UNARY_UNARY, pipeline, policies, clock, limit)
        self._breakers = breakers
        self._allowances = allowances
        self._direct: dict[Any, Direct | None] = {}

    def _take(self, name: Any, built: Built) -> None:
        super()._take(name, built)
        self._direct[name] = direct(self._pipeline, *built, self._clock, self._breakers, self._allowances)

    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        at_once = self._direct.get(client_call_details.method)
        timeout, metadata = client_call_details.timeout, client_call_details.metadata
        if at_once is not None and (timeout is not None or metadata):
            metadata, refusal = self._asked(client_call_details)
            if refusal is not None:
                at_once = None
            elif metadata is not client_call_details.metadata:
                client_call_details = client_call_details._replace(metadata=metadata)
        if current_priority() is not None:
            # It goes through the pipeline, which takes metadata apart anyway.
            at_once = None
        call = None if at_once is None else at_once.begin(timeout, None, "")
        if call is None:
            return UnaryUnaryCall(*self._call(continuation, client_call_details, request))
        _, timeout, metadata, credentials, wait_for_ready = client_call_details
        call.first = await continuation(call.with_time(client_call_details), request)
        call.asked = (request, timeout, metadata, credentials, wait_for_ready, None, continuation)
        return call


@guards.asynchronous_only
class _UnaryStream(_Adapter, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return UnaryStreamCall(*self._call(continuation, client_call_details, request))


@guards.asynchronous_only
class _StreamUnary(_Adapter, grpc.aio.StreamUnaryClientInterceptor):
    async def intercept_stream_unary(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return StreamUnaryCall(*self._call(continuation, client_call_details, request_iterator))


@guards.asynchronous_only
class _StreamStream(_Adapter, grpc.aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return StreamStreamCall(*self._call(continuation, client_call_details, request_iterator))


def client_interceptors(
    *,
    policy: PolicySource = None,
    breaker_listeners: Sequence[Any] = (),
    breaker_storage: StorageFactory | None = None,
    on_event: Listener | None = None,
    max_metadata_size: int = METADATA_LIMIT,
    clock: Clock = SYSTEM,
    rng: random.Random | None = None,
) -> list[grpc.aio.ClientInterceptor]:
    """Interceptors for `grpc.aio.insecure_channel(..., interceptors=...)`; put them first.

    `policy` is as for `kit.channel`. A stock channel is one endpoint, so nothing is picked; grpc hides our call objects
    inside its own, so reports are had by `kit.reports()` or from the error. `breaker_storage` is called with "".
    `on_event` is told when a file of policy has changed (`kit.client.events`). Calls with more than `max_metadata_size`
    bytes of metadata are refused: raise it where the server takes more than gRPC's servers do by default.

    Raises PolicyError, and UsageTypeError or UsageValueError for any other argument.
    """
    check_interceptors(breaker_listeners, on_event, max_metadata_size, breaker_storage)
    listeners = Listeners([] if on_event is None else [on_event], on_bus=clock is SYSTEM)
    policies = Policies(policy, clock, partial(listeners.reloaded, ""))
    # What spreads clients over time is no secret.
    rng = rng or random.Random()  # noqa: S311
    breakers, allowances = Breakers(clock, breaker_listeners, breaker_storage), Allowances(clock)
    pipeline = client_pipeline(clock, rng, None, breakers, allowances)
    policies.keep = pipeline.keep
    adapters = (
        _UnaryUnary(pipeline, policies, clock, breakers, allowances, max_metadata_size),
        _UnaryStream(Shape.UNARY_STREAM, pipeline, policies, clock, max_metadata_size),
        _StreamUnary(Shape.STREAM_UNARY, pipeline, policies, clock, max_metadata_size),
        _StreamStream(Shape.STREAM_STREAM, pipeline, policies, clock, max_metadata_size),
    )
    facts = ClientFacts("", pipeline, breakers, allowances, [adapter.methods for adapter in adapters])
    for adapter in adapters:
        adapter.facts = facts
    if clock is SYSTEM:
        CLIENTS.add(facts)
    return list(adapters)
