"""The kit's server side for a stock grpc.aio server."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import grpc
import grpc.aio

from kit.errors import ConfigurationError
from kit.observe import errors as error_log
from kit.policy import PolicySource, Resolved
from kit.resilience.admission_rules import Admission
from kit.server._access import AccessLog
from kit.server._admit import AdmitLayer, Gate
from kit.server._answers import answer_to
from kit.server._call import arrived
from kit.server._errors import ErrorRules
from kit.server._pipeline import ServerPipeline, server_pipeline
from kit.server.auth import Authenticator
from kit.server.idempotency._source import Deduplication, StoreSource

_Rpc: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
_Wrapped: TypeAlias = "tuple[_Rpc, _Rpc, tuple[Gate, _Rpc] | None]"

#: Methods whose wrapped form is kept. Generated code has few; a catch-all handler may serve any name.
_MAX_KEPT = 4096


class KitServerInterceptor(grpc.aio.ServerInterceptor):
    """Puts the pipeline around every method that is served. The chain is built once for each method."""

    def __init__(self, pipeline: ServerPipeline) -> None:
        self._pipeline = pipeline
        #: By path: as it was, as it is served, and what may refuse its calls before their request is received.
        self._wrapped: dict[str, _Wrapped] = {}

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
            return self.failing(error, method)
        return rpc if rpc is None else self.of(rpc, method)

    def of(self, rpc: _Rpc, method: str) -> _Rpc:
        """What serves the call that has `arrived`: the method with the pipeline around it, or its refusal."""
        known = self._wrapped.get(method)
        if known is None and len(self._wrapped) < _MAX_KEPT:
            try:
                self._bind(rpc, method)
            except ConfigurationError as error:
                self._wrapped[method] = (rpc, _misdeclared(error, method), None)
            known = self._wrapped[method]
        elif known is None or known[0] is not rpc:
            # It is made anew for each call, by a handler for any name.
            known = (rpc, self._pipeline.wrap(rpc, method), self._pipeline.gate(rpc, method))
        gate = known[2]
        return gate[1] if gate is not None and gate[0](arrived.get()) else known[1]

    def _bind(self, rpc: _Rpc, method: str) -> None:
        """Builds what serves the method, now and whenever its policy has become another one."""

        def build(policy: Resolved) -> _Wrapped:
            return rpc, self._pipeline.wrap(rpc, method, policy), self._pipeline.gate(rpc, method, policy)

        self._pipeline.policies.bind(method, build, partial(self._wrapped.__setitem__, method))
        self._pipeline.policies.follow()

    def failing(self, error: Exception, method: str) -> _Rpc:
        """A method that fails, as the pipeline lets it."""
        return self._pipeline.wrap(_raising(error), method)


def _misdeclared(error: ConfigurationError, method: str) -> _Rpc:
    """A method that cannot be served as it is declared: INTERNAL with an id, under which the log says what is wrong.

    `kit.Server` looks before it starts. On a stock server it shows when the method is called first.
    """
    answer = answer_to(error, lambda: secrets.token_hex(8))
    error_log.error("a method is not served", method=method, error_id=answer.error_id, error=str(error))

    async def refuse(_requests: object, context: Any) -> None:
        await context.abort(answer.code, answer.message, answer.trailing)

    handler: _Rpc = grpc.stream_stream_rpc_method_handler(refuse)
    return handler


def _raising(error: Exception) -> grpc.RpcMethodHandler[Any, Any]:
    """A method that fails. It does not wait for a request, so it fits a call of any shape."""

    async def fail(_requests: object, _context: object) -> None:
        raise error

    handler: grpc.RpcMethodHandler[Any, Any] = grpc.stream_stream_rpc_method_handler(fail)
    return handler


def server_interceptors(
    *,
    policy: PolicySource = None,
    admission: Admission | None = Admission(),  # noqa: B008 - frozen
    authenticators: Sequence[Authenticator] = (),
    insecure_ignore_auth: bool = False,
    audit: bool | None = None,
    idempotency: StoreSource = None,
    validate: bool = True,
    errors: ErrorRules | None = None,
    access_log: AccessLog | bool | None = None,
) -> list[grpc.aio.ServerInterceptor]:
    """Interceptors for `grpc.aio.server(interceptors=...)`: tracing, errors, deadlines, for all four shapes.

    List them first: what comes after them is inside them. Handlers may be coroutines, async generators or write to the
    context; what is no coroutine runs in a thread. The arguments are those of `kit.Server`. Raises ConfigurationError.
    """
    deduplication = Deduplication(idempotency)
    pipeline = server_pipeline(
        policy=policy,
        admit=AdmitLayer(admission),
        authenticators=authenticators,
        ignore_auth=insecure_ignore_auth,
        audit=audit,
        deduplicate=deduplication.layer,
        access=access_log,
        validate=validate,
        errors=errors,
    )
    return [KitServerInterceptor(pipeline)]
