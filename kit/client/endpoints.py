"""Where calls go: the endpoints of a target, one sub-channel each.

Here is what all targets have in common, and the fixed list. `_local` follows the registry of this machine, `_dns` the
answers of DNS, `tls` says with which certificates.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import weakref
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from contextvars import Context
from functools import partial
from typing import Any

import grpc
import grpc.aio

from kit.client._closing import Closing
from kit.client._endpoint import NOT_CONNECTED, Endpoint, reason_in
from kit.client.events import EndpointsChanged, Listeners
from kit.clock import Clock
from kit.errors import ConfigurationError

__all__ = ["NOT_CONNECTED", "Endpoint", "Endpoints", "reason_in", "static_addresses"]

log = logging.getLogger("kit.client")

#: Seconds between two looks at a state that no connection announces: endpoints that come and go.
LOOK_INTERVAL = 0.1
#: Seconds that calls in flight are given on a connection that takes no new ones. A day, so that no stream is cut which
#: the server would have let go on: a connection that is dead is found by keepalive, and calls by their deadlines.
RETIRE_GRACE = 86_400.0
#: Endpoints that are named in an error.
_NAMED = 8

_BEST_FIRST = (
    grpc.ChannelConnectivity.READY,
    grpc.ChannelConnectivity.CONNECTING,
    grpc.ChannelConnectivity.IDLE,
    grpc.ChannelConnectivity.TRANSIENT_FAILURE,
)
_FAILING = grpc.ChannelConnectivity.TRANSIENT_FAILURE
#: The schemes that grpc resolves, and what to write with them. `dns:` is looked at in `_dns`.
_SCHEMES = {
    "dns": "dns:///host:port",
    "ipv4": "ipv4:1.2.3.4:port",
    "ipv6": "ipv6:[::1]:port",
    "unix": "unix:/path/to/socket",
    "unix-abstract": "unix-abstract:name",
    "vsock": "vsock:cid:port",
    "xds": "xds:///name",
    "google-c2p": "google-c2p:///name",
}
_LITERAL = ("ipv4", "ipv6")
_HOST_PORT = re.compile(r"(?:\[[0-9A-Fa-f:.%\w]+\]|[^\s:/,\[\]]+):(\d{1,5})")


def static_addresses(target: str | Sequence[str]) -> list[str]:
    """The addresses of "h:1,h:2", of a list, or of a single target with a scheme ("dns:///", "unix:").

    Raises ConfigurationError for what is no address.
    """
    parts: list[Any]
    if isinstance(target, str):
        parts = target.split(",")
    elif isinstance(target, (bytes, Mapping)) or not isinstance(target, Iterable):
        raise ConfigurationError(
            f'a channel cannot be opened to {target!r}; write an address, "host:port", or a list of them'
        )
    else:
        parts = list(target)
    for part in parts:
        if not isinstance(part, str):
            what = f'"{parts[0]}:{parts[1]}"' if [type(each) for each in parts] == [str, int] else 'each as "host:port"'
            raise ConfigurationError(f"{part!r} in {parts!r} is not an address; write {what}")
    addresses = [part.strip() for part in parts]
    if not addresses:
        raise ConfigurationError("a channel needs at least one address")
    for address in addresses:
        _check_address(address)
    return list(dict.fromkeys(addresses))


def _check_address(address: str) -> None:
    """Refuses what is none. What a scheme stands before is grpc's affair, as far as there is such a scheme."""
    scheme, colon, rest = address.partition(":")
    hint = 'write "host:port", "dns:///..." or "local:///name"'
    if colon and scheme in _SCHEMES:
        if scheme in _LITERAL:
            rest = rest.removeprefix("//").removeprefix("/")
        if rest.strip("/") and (scheme not in _LITERAL or _is_host_port(rest)):
            return
        hint = f'write "{_SCHEMES[scheme]}"'
    elif scheme == "local":
        hint = "it names all instances of a service, and stands alone"
    elif "://" in address:
        host = rest.strip("/").partition("/")[0]
        secure = " and credentials=grpc.ssl_channel_credentials() or kit.TlsFiles()" if scheme == "https" else ""
        port = "" if _is_host_port(host) else ":port"
        hint = f'a target is no URL; write "{host or "host"}{port}"{secure}'
    elif _is_host_port(address):
        return
    raise ConfigurationError(f"{address!r} is not an address; {hint}")


def _is_host_port(text: str) -> bool:
    found = _HOST_PORT.fullmatch(text)
    return found is not None and 0 < int(found[1]) < 65536


def _best(states: Collection[grpc.ChannelConnectivity]) -> grpc.ChannelConnectivity:
    return next((state for state in _BEST_FIRST if state in states), grpc.ChannelConnectivity.IDLE)


class Endpoints:
    """A fixed list of endpoints. Where it changes, `all` is another list."""

    def __init__(
        self,
        target: str,
        dial: Callable[[str], grpc.aio.Channel],
        addresses: Sequence[str],
        listeners: Listeners | None = None,
    ) -> None:
        self.target = target
        self._dial = dial
        self.listeners = listeners if listeners is not None else Listeners()
        self._closed = False
        #: Addresses that are picked only where there is no other: health checks have found them unhealthy.
        self.passed_over: frozenset[str] = frozenset()
        #: Says what to change where a connection failed for a reason, or "".
        self.hint: Callable[[str], str] | None = None
        #: In use and not closed: what every call asks.
        self._open = False
        #: Called once, when the channel is used for the first time: by a call, or to connect.
        self.on_use: list[Callable[[], None]] = []
        #: Called with an endpoint that has come; not with those that are there from the start.
        self.on_new: list[Callable[[Endpoint], None]] = []
        #: Called with the address of an endpoint that is no longer one of the target's.
        self.on_gone: list[Callable[[str], None]] = []
        self._sleepers: list[Closing] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._retiring: dict[asyncio.Task[None], grpc.aio.Channel] = {}
        self.all: list[Endpoint] = [Endpoint(address, dial(address)) for address in addresses]

    # What calls ask

    def look(self, *, again: bool = False) -> list[Endpoint]:
        """The endpoints as of now; `again` when there is reason to think that they have changed."""
        if not self._open:
            self._use()
        return self.all

    def still_there(self, endpoint: Endpoint) -> bool:
        """Asked before an attempt goes to it: whether it is still one that attempts should go to."""
        return True

    def pending(self) -> bool:
        """Whether a call had better `appear` first, though there are endpoints."""
        return False

    async def appear(self, expires_at: float, clock: Clock, *, patient: bool = False) -> None:
        """Waits for an endpoint where there is none; a fixed list does not change.

        `patient` is what a call is that waits until there is a connection.
        """

    def is_closed(self) -> bool:
        """Whether the channel is closed."""
        return self._closed

    async def connected(self, endpoint: Endpoint, timeout: float) -> bool:
        """Waits for a connection; False when it failed, `timeout` seconds were over or the channel was closed."""
        try:
            return await endpoint.connected(timeout)
        except grpc.aio.UsageError:
            if self._closed:
                return False
            raise

    def missing(self) -> str:
        """Who was looked for and what was found, in words."""
        if not self.all:
            return f"no endpoint of {self.target}"
        named = ", ".join(f"{endpoint.address} {endpoint.state().name}" for endpoint in self.all[:_NAMED])
        more = f" and {len(self.all) - _NAMED} more" if len(self.all) > _NAMED else ""
        return f"no endpoint of {self.target} takes calls; tried {named}{more}"

    async def why(self, endpoint: Endpoint) -> str:
        """Why there is no connection to the endpoint, and what to change where that is known."""
        return self.hinted(await endpoint.why())

    def hinted(self, reason: str) -> str:
        """The reason, with what to change."""
        hint = "" if self.hint is None else self.hint(reason)
        return f"{reason}; {hint}" if hint else reason

    def unreachable(self) -> bool:
        """Whether not one of them can be connected."""
        return all(endpoint.state() is _FAILING for endpoint in self.all)

    def state(self, try_to_connect: bool) -> grpc.ChannelConnectivity:
        """The best state among the endpoints."""
        if self._closed:
            return grpc.ChannelConnectivity.SHUTDOWN
        if try_to_connect and not self._open:
            self._use()
        states = {endpoint.channel.get_state(try_to_connect) for endpoint in self.all}
        return _best(states)

    async def state_changed(self, last: grpc.ChannelConnectivity, clock: Clock) -> None:
        """Returns when `state` gives another one than `last`."""
        while self.state(False) is last:
            seen = {endpoint: endpoint.state() for endpoint in self.all}
            if seen and _best(seen.values()) is not last:
                return  # grpc's own threads were at work in between
            watches = [asyncio.ensure_future(endpoint.left(state)) for endpoint, state in seen.items()]
            watches.append(asyncio.ensure_future(clock.sleep(LOOK_INTERVAL)))
            try:
                await asyncio.wait(watches, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for watch in watches:
                    watch.cancel()

    # What changes them

    def redial(self, endpoint: Endpoint) -> None:
        """Gives the endpoint a new connection: calls go over it from now on, and those in flight end over the old one.

        What is known of the endpoint (breaker, load, ejection) stays. One that has gone is left alone.
        """
        if not self._closed and endpoint in self.all:
            self._retire(endpoint.rewire(self._dial(endpoint.address)))

    async def renew(
        self, endpoint: Endpoint, timeout: float, dial: Callable[[str], grpc.aio.Channel] | None = None
    ) -> str | None:
        """The same, but the new connection has to be there first: no call waits for it.

        None when calls go over it, or else why there is none within `timeout` seconds, and nothing has changed.
        `dial` opens it another way.
        """
        fresh = Endpoint(endpoint.address, (dial or self._dial)(endpoint.address))
        reason: str | None = "the endpoint has gone"
        try:
            if not await fresh.connected(timeout):
                reason = await self.why(fresh)
            elif not self._closed and endpoint in self.all:
                self._retire(endpoint.rewire(fresh.channel))
                reason = None
            return reason
        finally:
            if reason is not None:
                await fresh.channel.close()

    def update(self, weights: Mapping[str, float]) -> bool:
        """Dials addresses that are new and lets go of those that are not named any more; answers whether it changed.

        `weights` has every address that is there now. Those that stay keep their order.
        """
        known = {endpoint.address: endpoint for endpoint in self.all}
        if self._closed or {address: endpoint.weight for address, endpoint in known.items()} == weights:
            return False
        new = [Endpoint(address, self._dial(address)) for address in weights if address not in known]
        gone = [endpoint for endpoint in self.all if endpoint.address not in weights]
        self.all = [*(endpoint for endpoint in self.all if endpoint.address in weights), *new]
        for endpoint in self.all:
            endpoint.weight = weights[endpoint.address]
        for endpoint in new:
            for meet in self.on_new:
                meet(endpoint)
        for endpoint in gone:
            self._retire(endpoint.channel)
            for tell in self.on_gone:
                tell(endpoint.address)
        if new or gone:
            self.listeners.tell(
                EndpointsChanged(
                    target=self.target,
                    added=tuple(endpoint.address for endpoint in new),
                    removed=tuple(endpoint.address for endpoint in gone),
                )
            )
        return True

    def background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Runs beside the calls until it returns or the channel is closed or freed. What it raises is logged.

        It must not refer to whatever refers to the channel, nor to us: the channel would never be freed.
        """
        loop = asyncio.get_running_loop()
        if not self._tasks:
            weakref.finalize(self, _abandon, self._tasks, loop, os.getpid()).atexit = False
        task = loop.create_task(work, context=Context())
        # Where a loop is closed with tasks in it, asyncio says so of each on stderr; these are not the user's.
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        self._tasks.add(task)
        task.add_done_callback(partial(_ended, self._tasks, self.target))
        return task

    def closing(self, clock: Clock) -> Clock:
        """The clock for calls that wait between two attempts: they are cancelled when the channel is closed."""
        sleepers = Closing(clock)
        self._sleepers.append(sleepers)
        return sleepers

    async def close(self, grace: float | None) -> None:
        """Closes every sub-channel; calls in flight get `grace` seconds."""
        self._closed, self._open = True, False
        for sleepers in self._sleepers:
            sleepers.close()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(endpoint.channel.close(grace) for endpoint in self.all), self._hasten(grace))

    def _use(self) -> None:
        if self._closed:
            raise grpc.aio.UsageError("Channel is closed.")
        self._open = True
        for begin in self.on_use:
            begin()

    def _retire(self, channel: grpc.aio.Channel) -> None:
        """Closes a sub-channel as soon as its last call has ended, or its grace."""
        task = asyncio.get_running_loop().create_task(channel.close(RETIRE_GRACE), context=Context())
        self._retiring[task] = channel
        task.add_done_callback(self._retiring.pop)

    async def _hasten(self, grace: float | None) -> None:
        """Lets what is retiring end within `grace` seconds."""
        if not self._retiring:
            return
        await asyncio.wait(self._retiring, timeout=grace or 0)
        for channel in self._retiring.values():
            # A second close() would return at once, and a cancelled one leaves calls and connection behind: without
            # calls the first one ends by itself.
            for call in tuple(getattr(channel, "_active_calls", ())):
                call.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)


def _ended(tasks: set[asyncio.Task[None]], target: str, task: asyncio.Task[None]) -> None:
    tasks.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("what follows %s in the background failed", target, exc_info=error)


def _abandon(tasks: set[asyncio.Task[None]], loop: asyncio.AbstractEventLoop, process: int) -> None:
    """Nobody refers to the endpoints any more. May come in any thread."""
    if tasks and process == os.getpid() and not loop.is_closed():
        loop.call_soon_threadsafe(_cancel, tuple(tasks))


def _cancel(tasks: tuple[asyncio.Task[None], ...]) -> None:
    for task in tasks:
        task.cancel()
