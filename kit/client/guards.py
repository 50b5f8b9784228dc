"""Clear errors for uses of the client side that cannot work.

grpc.aio belongs to one event loop of one process. Used from another loop it hangs, and used in a forked child it hangs
or crashes; neither says why. So a channel knows its `Home`, and every call is compared with it when it is made. The
comparison is one look at the running loop: what a fork does to it is noted by the child once, when it starts.
"""

from __future__ import annotations

import asyncio
import functools
import os
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

import grpc
import grpc.aio

from kit.errors import UsageError
from kit.pipeline import Call, Handler

__all__ = ["Home", "asynchronous_only", "refuse_channel"]

_homes: weakref.WeakSet[Home] = weakref.WeakSet()
#: Stands where the loop was, in a child.
_FORKED: Any = object()


class Home:
    """The event loop that a channel was opened in, which is the only one that may use it.

    Raises UsageError where no event loop runs.
    """

    __slots__ = ("__weakref__", "_target", "loop")

    def __init__(self, target: object) -> None:
        self._target = target
        loop = asyncio._get_running_loop()
        if loop is None:
            raise UsageError(
                f"the channel to {target} is opened where no event loop runs; open it inside the coroutine that "
                "asyncio.run() starts, for instance by `async with kit.channel(...) as channel`"
            )
        self.loop: asyncio.AbstractEventLoop | None = loop
        _homes.add(self)

    def bound(self, handler: Handler) -> Handler:
        """The handler, for calls that are made at home; any other raises UsageError before anything is sent."""
        running = asyncio._get_running_loop

        def handle(call: Call) -> Any:
            if running() is not self.loop:
                raise self._misuse()
            return handler(call)

        return handle

    def check(self) -> None:
        """Raises UsageError anywhere but at home."""
        if asyncio._get_running_loop() is not self.loop:
            raise self._misuse()

    def _misuse(self) -> UsageError:
        what = f"the channel to {self._target}"
        if self.loop is _FORKED:
            return UsageError(
                f"{what} was opened before the fork that made this process ({os.getpid()}); open channels in the "
                'child, or start it with multiprocessing.get_context("spawn")'
            )
        if asyncio._get_running_loop() is None:
            return UsageError(f"{what} is called where no event loop runs; call it from the coroutine that opened it")
        return UsageError(
            f"{what} was opened in another event loop than the one that runs now; a process keeps to one "
            "asyncio.run(), and every loop opens channels of its own"
        )


def _in_child() -> None:
    for home in _homes:
        home.loop = _FORKED


os.register_at_fork(after_in_child=_in_child)


def refuse_channel(target: object) -> None:
    """Raises UsageError for what is a channel already and no target."""
    if isinstance(target, grpc.Channel):
        raise UsageError("kit.channel takes an address, not a channel; the kit does not work with synchronous channels")
    if isinstance(target, grpc.aio.Channel):
        raise UsageError(
            "kit.channel takes an address, not a channel; for a channel of your own write "
            "grpc.aio.insecure_channel(address, interceptors=kit.client_interceptors())"
        )


#: Which synchronous class stands beside which asynchronous one; the methods have the same name in both.
_SYNCHRONOUS: tuple[tuple[type, Any, str], ...] = (
    (grpc.aio.UnaryUnaryClientInterceptor, grpc.UnaryUnaryClientInterceptor, "intercept_unary_unary"),
    (grpc.aio.UnaryStreamClientInterceptor, grpc.UnaryStreamClientInterceptor, "intercept_unary_stream"),
    (grpc.aio.StreamUnaryClientInterceptor, grpc.StreamUnaryClientInterceptor, "intercept_stream_unary"),
    (grpc.aio.StreamStreamClientInterceptor, grpc.StreamStreamClientInterceptor, "intercept_stream_stream"),
)
_T = TypeVar("_T", bound=type)


def asynchronous_only(cls: _T) -> _T:
    """Makes an interceptor class say clearly, at the first call, that it cannot serve a synchronous channel.

    grpc.intercept_channel takes the interceptor, because its class counts as a synchronous one; the call then
    raises UsageError. Refused right away it would only hear "interceptor must be ...".
    """
    for asynchronous, synchronous, name in _SYNCHRONOUS:
        if issubclass(cls, asynchronous):
            setattr(cls, name, _refusing(getattr(cls, name)))
            synchronous.register(cls)
    return cls


def _refusing(intercept: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(intercept)
    def checked(self: object, continuation: Any, client_call_details: Any, request: Any) -> Any:
        if not isinstance(client_call_details, grpc.aio.ClientCallDetails):
            raise UsageError(
                "kit.client_interceptors() works with asynchronous channels only; write "
                "grpc.aio.insecure_channel(address, interceptors=kit.client_interceptors())"
            )
        return intercept(self, continuation, client_call_details, request)

    return checked
