"""`kit.client_interceptors`: the same pipeline on a stock `grpc.aio` channel.

grpc.aio files an interceptor under the first of four classes that it is an instance of, so there is one small adapter
for each shape of RPC. Each gives back a call of ours, which grpc.aio's own wraps.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import grpc
import grpc.aio

from kit.client import guards
from kit.client.calls import StreamStreamCall, StreamUnaryCall, UnaryStreamCall, UnaryUnaryCall
from kit.client.channel import client_pipeline
from kit.client.transport import over_continuation
from kit.clock import SYSTEM, Clock
from kit.layers import Breakers
from kit.pipeline import Call, Handler, Method, Pipeline, Shape
from kit.policy import Overrides, PolicySource, overrides_from, policy_for

__all__ = ["client_interceptors"]


class _Adapter:
    """The pipeline for one shape; each method's chain is built at its first call."""

    def __init__(self, shape: Shape, pipeline: Pipeline, overrides: Overrides, clock: Clock) -> None:
        self._shape = shape
        self._pipeline = pipeline
        self._overrides = overrides
        self._clock = clock
        self._methods: dict[Any, tuple[Method, Handler]] = {}

    def _call(self, send: Any, details: Any, request: Any) -> tuple[Call, Handler, Clock]:
        known = self._methods.get(details.method)
        if known is None:
            path = details.method.decode() if isinstance(details.method, bytes) else details.method
            method = Method(path=path, shape=self._shape, policy=policy_for(path, self._overrides), target="")
            known = (method, self._pipeline.handler(method, over_continuation(method)))
            self._methods[details.method] = known
        method, handler = known
        call = Call(
            method,
            request,
            timeout=details.timeout,
            metadata=details.metadata,
            credentials=details.credentials,
            wait_for_ready=details.wait_for_ready,
            send=send,
        )
        return call, handler, self._clock


@guards.asynchronous_only
class _UnaryUnary(_Adapter, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return UnaryUnaryCall(*self._call(continuation, client_call_details, request))


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
    clock: Clock = SYSTEM,
    rng: random.Random | None = None,
) -> list[grpc.aio.ClientInterceptor]:
    """Interceptors for `grpc.aio.insecure_channel(..., interceptors=...)`; put them first.

    `policy` is as for `kit.channel`. A stock channel is one endpoint, so nothing is picked; grpc hides our call objects
    inside its own, so reports are had by `kit.reports()` or from the error. Raises PolicyError.
    """
    overrides = overrides_from(policy)
    # What spreads clients over time is no secret.
    rng = rng or random.Random()  # noqa: S311
    pipeline = client_pipeline(clock, rng, None, Breakers(clock, breaker_listeners))
    return [
        _UnaryUnary(Shape.UNARY_UNARY, pipeline, overrides, clock),
        _UnaryStream(Shape.UNARY_STREAM, pipeline, overrides, clock),
        _StreamUnary(Shape.STREAM_UNARY, pipeline, overrides, clock),
        _StreamStream(Shape.STREAM_STREAM, pipeline, overrides, clock),
    ]
