"""One endpoint: an address and the sub-channel to it, which may be exchanged."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import grpc
import grpc.aio

from kit.pipeline import Method

__all__ = ["NOT_CONNECTED", "Endpoint", "reason_in"]

#: Seconds in which grpc says why it has no connection: it knows already.
WHY_TIMEOUT = 0.5
#: How grpc's details begin where there was no connection.
NOT_CONNECTED = "failed to connect to all addresses"

_FAILING = grpc.ChannelConnectivity.TRANSIENT_FAILURE
_LAST_ERROR = re.compile(r".*last error: (?:[A-Z_]+: )?", re.DOTALL)


def reason_in(details: str) -> str:
    """What went wrong at last, out of grpc's words for a connection that failed."""
    return _LAST_ERROR.sub("", details)


class Endpoint:
    """An address and the sub-channel to it."""

    __slots__ = ("_stubs", "_watches", "address", "channel", "weight")

    def __init__(self, address: str, channel: grpc.aio.Channel, weight: float = 1.0) -> None:
        self.address = address
        self.channel = channel
        #: Its share where balancing is weighted; more than 0.
        self.weight = weight
        self._stubs: dict[Method, Any] = {}
        self._watches: set[asyncio.Future[None]] = set()

    def rewire(self, channel: grpc.aio.Channel) -> grpc.aio.Channel:
        """Calls go over another sub-channel from now on; returns the one that they went over."""
        old, self.channel = self.channel, channel
        self._stubs = {}
        for watch in self._watches:
            watch.cancel()
        return old

    def stub(self, method: Method) -> Any:
        """What makes grpc's own call of a method here."""
        stub = self._stubs.get(method)
        if stub is None:
            make = getattr(self.channel, method.shape.value)
            stub = self._stubs[method] = make(
                method.path,
                request_serializer=method.request_serializer,
                response_deserializer=method.response_deserializer,
                _registered_method=method.registered,
            )
        return stub

    def forget(self, method: Method) -> None:
        """Lets go of what makes calls of a method that no more will be made of."""
        self._stubs.pop(method, None)

    def is_ready(self) -> bool:
        """Whether there is a connection; asks for one where there is none."""
        return self.channel.get_state(try_to_connect=True) is grpc.ChannelConnectivity.READY

    def state(self) -> grpc.ChannelConnectivity:
        """What grpc knows of the connection."""
        return self.channel.get_state()

    def watched(self, watch: asyncio.Future[None]) -> None:
        """`watch` waits for the connection's state; it is cancelled when another sub-channel takes over."""
        self._watches.add(watch)
        watch.add_done_callback(self._watches.discard)

    async def left(self, state: grpc.ChannelConnectivity) -> None:
        """Returns when the state is another one, or may be since the sub-channel is another one."""
        watch = asyncio.ensure_future(self.channel.wait_for_state_change(state))
        self._watches.add(watch)
        try:
            await asyncio.wait({watch})
            if not watch.cancelled():
                watch.result()
        finally:
            self._watches.discard(watch)
            watch.cancel()

    async def connected(self, timeout: float) -> bool:
        """Waits for a connection; False when it failed or `timeout` seconds were over."""
        watch = asyncio.ensure_future(self._connect())
        try:
            await asyncio.wait({watch}, timeout=timeout)
            return watch.done() and watch.result()
        finally:
            watch.cancel()

    async def _connect(self) -> bool:
        while True:
            state = self.channel.get_state(try_to_connect=True)
            if state is grpc.ChannelConnectivity.READY:
                return True
            if state in (_FAILING, grpc.ChannelConnectivity.SHUTDOWN):
                return False
            await self.left(state)

    async def why(self) -> str:
        """Why the connection failed, in grpc's words; the state's name where it has none.

        Only a call is told, so a health check is made. It fails at once, unless the connection has just come.
        """
        state = self.state()
        if state is not _FAILING:
            return state.name
        try:
            check: Any = self.channel.unary_unary("/grpc.health.v1.Health/Check")
            await check(b"", timeout=WHY_TIMEOUT)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNAVAILABLE and error.details():
                return reason_in(error.details() or "")
        return state.name
