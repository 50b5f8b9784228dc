"""A call as the server's layers see it, and how grpc's method handlers become one of ours and back.

A `Handler` takes a `ServerCall` to its end and returns the response, or None where responses are streamed: those it
writes to the context itself. So the four shapes and the two styles of streaming handlers (generators and
`context.write`) are one kind of thing to a `Layer`. A layer wraps one handler, knows no neighbour, and decides once for
each method whether it has anything to do there: `wrap` returns the inner handler itself where it has not.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Generator, Iterable
from contextlib import aclosing
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import grpc
import grpc.aio

from kit.errors import InvalidArgument
from kit.pipeline import Shape
from kit.policy import Priority, Resolved
from kit.server._synchronous import in_thread

#: The metadata of the call that is being looked up. Its handler runs in the same task afterwards; reading it from the
#: context again would cost 5 us.
arrived: ContextVar[tuple[tuple[str, str | bytes], ...]] = ContextVar("kit_arrived", default=())


class ServerCall:
    """A call that is served. `code` and `details` are its outcome, known to a layer when the inner one has ended."""

    __slots__ = ("code", "context", "details", "metadata", "method", "principal", "priority", "request", "time_given")

    def __init__(
        self,
        method: str,
        request: Any,
        context: grpc.aio.ServicerContext[Any, Any],
        metadata: tuple[tuple[str, str | bytes], ...] = (),
    ) -> None:
        #: "/package.Service/Method"
        self.method = method
        #: The message, or an async iterator of messages.
        self.request = request
        self.context = context
        #: As the client sent it.
        self.metadata = metadata
        self.code: grpc.StatusCode = grpc.StatusCode.OK
        self.details = ""
        #: Who calls; None where nobody has been authenticated.
        self.principal: Any = None
        self.priority = Priority.DEFAULT
        #: Seconds that it had when it arrived; 0 where it has no deadline.
        self.time_given = 0.0


#: What leaves a handler as it is: errors, the end of its task, and the end of the program.
_PASSING = (Exception, asyncio.CancelledError, GeneratorExit, KeyboardInterrupt)
_NO_MESSAGE = "the request is not a message of the type that the method takes"

Handler: TypeAlias = Callable[[ServerCall], Awaitable[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class ServerMethod:
    """What is known of a method when its chain is built."""

    #: "/package.Service/Method"
    path: str
    shape: Shape
    policy: Resolved
    #: From bytes to a message and back; None for plain bytes.
    request_deserializer: Any = None
    response_serializer: Any = None
    #: The handler is no coroutine: nobody can end it.
    in_thread: bool = False

    @property
    def service(self) -> str:
        """As "package.Service"."""
        return self.path.rpartition("/")[0].removeprefix("/")


class Layer(Protocol):
    """One concern around a handler."""

    @property
    def name(self) -> str:
        """What the pipeline's description says."""
        ...

    def wrap(self, method: ServerMethod, inner: Handler) -> Handler:
        """The handler for this method; `inner` itself where there is nothing to do."""
        ...


@dataclass(frozen=True, slots=True)
class Undecodable:
    """Stands for a request message that could not be parsed."""

    reason: str


class Serialized:
    """A response that is in bytes already, for a layer that has kept one."""

    __slots__ = ("raw",)

    def __init__(self, raw: bytes) -> None:
        self.raw = raw


def compose(layers: Iterable[Layer], method: ServerMethod, handler: Handler) -> Handler:
    """Wraps `handler` in `layers`; the first is the outermost."""
    for layer in reversed(list(layers)):
        handler = layer.wrap(method, handler)
    return handler


def shape_of(rpc: grpc.RpcMethodHandler[Any, Any]) -> Shape:
    """Which sides are streams."""
    if rpc.request_streaming:
        return Shape.STREAM_STREAM if rpc.response_streaming else Shape.STREAM_UNARY
    return Shape.UNARY_STREAM if rpc.response_streaming else Shape.UNARY_UNARY


def runs_in_thread(rpc: grpc.RpcMethodHandler[Any, Any]) -> bool:
    """Whether the handler is no coroutine."""
    function: Any = _function(rpc)
    return not (inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function))


def handler_of(rpc: grpc.RpcMethodHandler[Any, Any], path: str) -> Handler:
    """The user's code behind `rpc`, the method `path`, as the innermost handler."""
    function: Any = _function(rpc)
    if runs_in_thread(rpc):
        function = in_thread(
            function, path, request_streaming=rpc.request_streaming, response_streaming=rpc.response_streaming
        )

    async def coroutine(call: ServerCall) -> Any:
        if type(call.request) is Undecodable:
            raise InvalidArgument(_NO_MESSAGE)
        try:
            response = await function(call.request, call.context)
        except _PASSING:
            raise
        except BaseException as error:
            raise _contained(error, path) from error
        if response is None and not rpc.response_streaming and not call.context.code():
            raise TypeError(f"the handler of {call.method} returned None instead of a response")
        return response

    async def generator(call: ServerCall) -> None:
        if type(call.request) is Undecodable:
            raise InvalidArgument(_NO_MESSAGE)
        # Closed here, so that its `finally` has run when the call has ended, however it ended.
        try:
            async with aclosing(function(call.request, call.context)) as responses:
                async for response in responses:
                    await call.context.write(response)
        except _PASSING:
            raise
        except BaseException as error:
            raise _contained(error, path) from error

    return generator if inspect.isasyncgenfunction(function) else coroutine


def _contained(error: BaseException, path: str) -> RuntimeError:
    """A defect in the place of what is no Exception, as `sys.exit()` raises it in a handler.

    grpc answers nothing then and its client waits for ever; SystemExit would end the event loop, and with it the calls
    of everybody else.
    """
    return RuntimeError(f"the handler of {path} raised {type(error).__name__}")


def wrap(
    rpc: grpc.RpcMethodHandler[Any, Any], method: ServerMethod, layers: Iterable[Layer]
) -> grpc.RpcMethodHandler[Any, Any]:
    """The same method with `layers` around it."""
    handler = compose(layers, method, handler_of(rpc, method.path))
    path = method.path

    async def serve(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        return await handler(ServerCall(path, request, context, arrived.get()))

    make: Any
    served: Any = serve if rpc.response_streaming else _Served(path, handler)
    if rpc.request_streaming:
        make = grpc.stream_stream_rpc_method_handler if rpc.response_streaming else grpc.stream_unary_rpc_method_handler
        parse = _refusing(rpc.request_deserializer)
    else:
        make = grpc.unary_stream_rpc_method_handler if rpc.response_streaming else grpc.unary_unary_rpc_method_handler
        parse = _guarded(rpc.request_deserializer)
    write = rpc.response_serializer if rpc.response_streaming else _passing(rpc.response_serializer)
    wrapped: grpc.RpcMethodHandler[Any, Any] = make(served, parse, write)
    return wrapped


class _Served:
    """The handler as grpc.aio takes it, for one response.

    grpc.aio asks at every call whether a function is a coroutine's, at length, unless it is awaitable as it stands.
    """

    __slots__ = ("_handler", "_path")

    def __init__(self, path: str, handler: Handler) -> None:
        self._path = path
        self._handler = handler

    def __call__(self, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Awaitable[Any]:
        return self._handler(ServerCall(self._path, request, context, arrived.get()))

    def __await__(self) -> Generator[Any, Any, Any]:
        raise TypeError("a method's handler is to be called")


def unread(handler: Handler, method: ServerMethod, layers: Iterable[Layer]) -> grpc.RpcMethodHandler[Any, Any]:
    """What ends calls of the method, of whatever shape, without having received the request."""
    whole = compose(layers, method, handler)
    path = method.path

    async def serve(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        return await whole(ServerCall(path, request, context, arrived.get()))

    # grpc does not wait for a message where messages are streamed.
    made: grpc.RpcMethodHandler[Any, Any] = grpc.stream_stream_rpc_method_handler(serve)
    return made


def _function(rpc: grpc.RpcMethodHandler[Any, Any]) -> object:
    if rpc.request_streaming:
        return rpc.stream_stream if rpc.response_streaming else rpc.stream_unary
    return rpc.unary_stream if rpc.response_streaming else rpc.unary_unary


def _guarded(parse: Callable[[bytes], Any] | None) -> Callable[[bytes], Any] | None:
    """Raises nothing: grpc sends a client the text of a parser's exception before any interceptor sees the call."""
    if parse is None:
        return None

    def guarded(raw: bytes) -> Any:
        try:
            return parse(raw)
        except Exception as error:  # noqa: BLE001 - whatever it is, the message cannot be read
            return Undecodable(str(error))

    return guarded


def _refusing(parse: Callable[[bytes], Any] | None) -> Callable[[bytes], Any] | None:
    """The same, but what it raises where the handler reads a message is a status."""
    if parse is None:
        return None

    def refusing(raw: bytes) -> Any:
        try:
            return parse(raw)
        except Exception:  # noqa: BLE001 - whatever it is, the message cannot be read
            raise InvalidArgument(_NO_MESSAGE) from None

    return refusing


def _passing(write: Callable[[Any], bytes] | None) -> Callable[[Any], bytes]:
    """The same, but what is serialised already goes as it is."""

    def passing(response: Any) -> bytes:
        if type(response) is Serialized:
            return response.raw
        return response if write is None else write(response)

    return passing
