"""The kit's server side for a stock grpc.aio server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from kit.observe import get_logger
from kit.policy import PolicySource
from kit.server._call import arrived, is_async
from kit.server._pipeline import ServerPipeline, server_pipeline

log = get_logger("kit.server")
#: Methods whose wrapped form is kept. Generated code has few; a catch-all handler may serve any name.
_MAX_KEPT = 4096


class KitServerInterceptor(grpc.aio.ServerInterceptor):
    """Puts the pipeline around every method that is served. The chain is built once for each method."""

    def __init__(self, pipeline: ServerPipeline) -> None:
        self._pipeline = pipeline
        self._wrapped: dict[str, tuple[grpc.RpcMethodHandler[Any, Any], grpc.RpcMethodHandler[Any, Any]]] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        method = handler_call_details.method
        arrived.set(handler_call_details.invocation_metadata or ())
        try:
            rpc = await continuation(handler_call_details)
        except Exception as error:  # noqa: BLE001 - an interceptor inside failed; grpc would send the exception's text
            return self._pipeline.wrap(_raising(error), method)
        if rpc is None:
            return rpc
        known = self._wrapped.get(method)
        if known is not None and known[0] is rpc:
            return known[1]
        wrapped = self._wrap(rpc, method)
        if len(self._wrapped) < _MAX_KEPT:
            self._wrapped[method] = (rpc, wrapped)
        return wrapped

    def _wrap(self, rpc: grpc.RpcMethodHandler[Any, Any], method: str) -> grpc.RpcMethodHandler[Any, Any]:
        if not is_async(rpc):
            log.warning("a method that is no coroutine is served without the kit", method=method)
            return rpc
        return self._pipeline.wrap(rpc, method)


def _raising(error: Exception) -> grpc.RpcMethodHandler[Any, Any]:
    """A method that fails. It does not wait for a request, so it fits a call of any shape."""

    async def fail(_requests: object, _context: object) -> None:
        raise error

    handler: grpc.RpcMethodHandler[Any, Any] = grpc.stream_stream_rpc_method_handler(fail)
    return handler


def server_interceptors(*, policy: PolicySource = None) -> list[grpc.aio.ServerInterceptor]:
    """Interceptors for `grpc.aio.server(interceptors=...)`: tracing, errors, deadlines, for all four shapes.

    List them first: what comes after them is inside them. Handlers may be coroutines, async generators or write to the
    context. A synchronous handler is passed by unchanged, with a warning in the log. `policy` is as for `kit.channel`:
    None takes what the descriptors say. Raises ConfigurationError.
    """
    return [KitServerInterceptor(server_pipeline(policy=policy))]
