"""One endpoint's connection, followed from outside: made again where it is lost while nothing calls.

`kit.resilience.reconnect` says when. grpc itself goes on trying every few seconds once a connection has failed; where
the machine gives up and no call waits, the endpoint gets a fresh sub-channel, which is quiet until somebody calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import grpc
import grpc.aio

from kit.client._tasks import Tasks
from kit.client.endpoints import Endpoint
from kit.clock import Clock
from kit.resilience.reconnect import Phase, Reconnect, ReconnectRules

__all__ = ["CONNECT_TIMEOUT", "Keeper", "calls_in_flight"]

#: Seconds that one try may take.
CONNECT_TIMEOUT = 5.0
_READY, _SHUT = grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.SHUTDOWN
_FAILING = grpc.ChannelConnectivity.TRANSIENT_FAILURE


def calls_in_flight(endpoint: Endpoint) -> int | None:
    """Calls over the endpoint's connection, as grpc.aio keeps them; None where it does not."""
    calls = getattr(endpoint.channel, "_active_calls", None)
    return None if calls is None else sum(not call.done() for call in tuple(calls))


class Told(Protocol):
    """Who hears of an endpoint's connection."""

    def connected(self, keeper: Keeper) -> None:
        """There is a connection that was not there before."""

    def trying(self, keeper: Keeper) -> None:
        """A connection is tried for; the endpoint may have gone in the meantime."""

    def gave_up(self, keeper: Keeper) -> None:
        """The last try has failed."""


class Keeper:
    """Follows one endpoint. `told` gives None where nobody is there any more, which ends it."""

    def __init__(
        self,
        endpoint: Endpoint,
        rules: ReconnectRules,
        clock: Clock,
        random: Callable[[], float],
        tasks: Tasks,
        told: Callable[[], Told | None],
    ) -> None:
        self.endpoint = endpoint
        self.machine = Reconnect(rules)
        self._clock = clock
        self._random = random
        self._tasks = tasks
        self._told = told
        self._task: asyncio.Task[None] | None = None
        #: What came of the first try: why it failed, or None.
        self.first: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        #: Connections that were made, and tries that failed.
        self.connects = 0
        self.failures = 0
        self.last_error = ""
        #: When it was given up, where that has been told and not been taken back.
        self.given_up: float | None = None

    def start(self) -> None:
        """Tries at once, and follows the connection from then on. May be called again, which starts over."""
        self.stop()
        self.given_up = None
        self.machine.again(self._clock.now())
        self._task = self._tasks.start(self._run())

    def stop(self) -> None:
        """Lets go of the connection."""
        if self._task is not None:
            self._task.cancel()

    def leave(self) -> None:
        """The endpoint has gone."""
        self.stop()
        if not self.first.done():
            self.first.set_result("it has gone")

    async def _run(self) -> None:
        endpoint, machine, clock = self.endpoint, self.machine, self._clock
        while (state := endpoint.state()) is not _SHUT and self._told() is not None:
            channel = endpoint.channel
            if state is _READY:
                self._connected()
                await self._left(state)
                if endpoint.channel is channel:
                    machine.lost(clock.now(), self._random())
                elif endpoint.state() is not _READY:
                    machine.again(clock.now())
            elif machine.phase is Phase.GAVE_UP:
                await self._left(state)
                if endpoint.state() is not _READY:
                    machine.again(clock.now())  # a call has asked
            elif (seconds := machine.due - clock.now()) > 0:
                await self._left(state, seconds)
            else:
                await self._try()

    def _connected(self) -> None:
        if not self.first.done():
            self.first.set_result(None)
        if self.machine.connected():
            self.connects += 1
            if (told := self._told()) is not None:
                told.connected(self)

    async def _try(self) -> None:
        trying = self.machine.begin(self._clock.now())
        assert trying is not None, "one is due"
        if (told := self._told()) is not None:
            told.trying(self)
            del told  # nobody is kept alive by a wait
        if await self._connect():
            return
        self.last_error = await self.endpoint.why()
        self.failures += 1
        if not self.first.done():
            self.first.set_result(self.last_error)
        trying.failed(self._clock.now(), self._random())
        if self.machine.phase is Phase.GAVE_UP and (told := self._told()) is not None:
            told.gave_up(self)

    async def _connect(self) -> bool:
        """Asks for a connection; False when it failed or took too long."""
        until = self._clock.now() + CONNECT_TIMEOUT
        while (left := until - self._clock.now()) > 0:
            state = self.endpoint.channel.get_state(try_to_connect=True)
            if state is _READY:
                return True
            if state in (_FAILING, _SHUT):
                return False
            await self._left(state, left)
        return False

    async def _left(self, state: grpc.ChannelConnectivity, seconds: float | None = None) -> None:
        """Returns when the state or the sub-channel is another one, or when `seconds` are over.

        Nothing is left to be tidied up where the loop is closed under it.
        """
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()

        def wake(_: object) -> None:
            if not woken.done():
                woken.set_result(None)

        watch = self._tasks.wait(self.endpoint.channel.wait_for_state_change(state))
        self.endpoint.watched(watch)
        waits: list[asyncio.Task[None]] = [watch]
        if seconds is not None:
            waits.append(self._tasks.wait(self._clock.sleep(seconds)))
        for wait in waits:
            wait.add_done_callback(wake)
        try:
            await woken
        finally:
            if not loop.is_closed():
                for wait in waits:
                    wait.cancel()
        error = watch.exception() if watch.done() and not watch.cancelled() else None
        if error is not None and not isinstance(error, grpc.aio.UsageError):  # which is that it was closed
            raise error
