"""The addresses of a name in DNS, one sub-channel each, so that calls are balanced over them one by one.

Theory of operation. The name is looked up when the channel is first used, and from then on by one task:

    every REFRESH seconds             while calls are made; a channel that nobody uses asks nobody
    at once                           when a connection fails or is ended by its server (a server that is about to go
                                      says so by that), and when a call finds no address
    not before the last is LEAST old  and, where being asked brought nothing new, twice as long each time, to REFRESH:
                                      the first look after a change is quick, and an outage that clients see together
                                      does not become one of the DNS server as well

A look-up that fails changes nothing: what was known stays. Every address is connected as soon as it is known, and
attempts go to those that are connected while there are any; so an address that has died, or one of a family that this
machine cannot reach, costs no call.
"""

from __future__ import annotations

import asyncio
import re
import socket
import weakref
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio

from kit.client.endpoints import Endpoint, Endpoints
from kit.client.events import Listeners, LookupFailed
from kit.clock import Clock
from kit.errors import ConfigurationError

__all__ = ["DnsEndpoints", "DnsName", "Resolver", "dns_name", "resolve"]

#: Seconds between two look-ups while calls are made: what grpc and most clients have, and few records live shorter.
REFRESH = 30.0
#: Seconds between two look-ups that are asked for. A cluster's DNS is about a second behind what it tells of.
LEAST = 1.0
#: The same while no address is known, at most: a service that comes is then found well within the 30 s promised.
LEAST_KNOWN = 5.0
#: Seconds that a call waits for the first connection, where its deadline lets it.
CONNECT_TIMEOUT = 5.0
#: grpc's, for a name without a port.
DEFAULT_PORT = 443

_READY, _IDLE = grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.IDLE
_FAILING, _SHUT = grpc.ChannelConnectivity.TRANSIENT_FAILURE, grpc.ChannelConnectivity.SHUTDOWN
_PATH = re.compile(r"(?:\[(?P<literal>[0-9A-Fa-f:.%\w]+)\]|(?P<name>[^\s:/,\[\]]+))(?::(?P<port>\d{1,5}))?")

#: Gives the addresses ("1.2.3.4:50051", "[::1]:50051") of a host and port. Raises OSError.
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]


@dataclass(frozen=True, slots=True)
class DnsName:
    """What is looked up. `authority` is as it was written: what servers and certificates are asked for."""

    host: str
    port: int
    authority: str


def dns_name(target: str) -> DnsName | None:
    """The name in "dns:///host:port" or "dns:host:port"; None for a target of another kind.

    Raises ConfigurationError.
    """
    if not target.startswith("dns:"):
        return None
    path = target.removeprefix("dns:")
    if path.startswith("//"):
        server, _, path = path[2:].partition("/")
        if server:
            raise ConfigurationError(
                f"{target!r} names a DNS server, {server}; names are looked up as this machine is set up to, "
                f'so write "dns:///{path or "host:port"}"'
            )
    path = path.removeprefix("/")
    found = _PATH.fullmatch(path)
    port = DEFAULT_PORT if found is None or found["port"] is None else int(found["port"])
    if found is None or not 0 < port < 65536:
        raise ConfigurationError(f'{target!r} is not an address; write "dns:///host:port"')
    return DnsName(found["literal"] or found["name"], port, path)


async def resolve(host: str, port: int) -> list[str]:
    """What this machine answers: its hosts file, its DNS servers."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    hosts = dict.fromkeys(str(address[0]) for *_, address in found)
    return [f"[{known}]:{port}" if ":" in known else f"{known}:{port}" for known in hosts]


class DnsEndpoints(Endpoints):
    """See the module. Nothing is looked up before the first call, or before a connection is asked for."""

    def __init__(
        self,
        target: str,
        name: DnsName,
        dial: Callable[[str], grpc.aio.Channel],
        clock: Clock,
        random: Callable[[], float],
        listeners: Listeners | None = None,
        resolver: Resolver = resolve,
    ) -> None:
        super().__init__(target, dial, (), listeners)
        self._name = name
        self._clock = clock
        self._random = random
        self._resolve = resolver
        #: Why the last look-up failed; None where it did not.
        self._failure: str | None = None
        self._told: str | None = None
        self._answered = False
        self._next_at = 0.0
        #: Calls were made since the last look-up.
        self._used = False
        self._resting = False
        self._wanted = asyncio.Event()
        #: Set, and replaced, when there is news for calls that wait.
        self._news = asyncio.Event()
        self._ready: set[Endpoint] = set()
        self._watches: dict[Endpoint, asyncio.Task[None]] = {}
        self.on_use.append(self._begin)

    # What calls ask

    def look(self, *, again: bool = False) -> list[Endpoint]:
        self._used = True
        if self._resting:
            self._answered = False
            self._wanted.set()
        return super().look(again=again)

    def still_there(self, endpoint: Endpoint) -> bool:
        # With no connection anywhere any will do, unless others are about to be known.
        return endpoint in self._ready or (self._answered and not self._ready)

    def pending(self) -> bool:
        return not self._ready

    async def appear(self, expires_at: float, clock: Clock, *, patient: bool = False) -> None:
        until = expires_at
        if self.all and not patient:
            until = min(until, clock.now() + CONNECT_TIMEOUT)
        elif self._answered and clock.now() >= self._next_at:
            self._answered = False  # it was a while ago
        while not self._closed and (left := until - clock.now()) > 0:
            if self._ready or (not patient and self._settled()):
                return
            if not self.all:
                self._wanted.set()
            await _either(self._news.wait(), clock, left)

    def _settled(self) -> bool:
        """Whether waiting is in vain: DNS has said that nobody is there, or who is there cannot be connected."""
        return self._answered and self.unreachable()

    def missing(self) -> str:
        if self.all:
            return super().missing()
        asked = f"{self._name.host!r}, asked for by {self.target}"
        return f"no address of {asked}: {self._failure or 'DNS has not answered yet'}"

    def state(self, try_to_connect: bool) -> grpc.ChannelConnectivity:
        if try_to_connect and not self._closed:
            self.look()
        state = super().state(try_to_connect)
        if self.all or self._closed or not self._open:
            return state
        return _FAILING if self._failure is not None else grpc.ChannelConnectivity.CONNECTING

    async def close(self, grace: float | None) -> None:
        self._closed = True
        # Calls that wait for an address or a connection find it out.
        self._tell_waiting()
        await super().close(grace)

    # The look-ups

    def _begin(self) -> None:
        self._wanted.set()
        self.background(_follow(weakref.ref(self)))

    async def _turn(self, gap: float) -> float:
        """Looks up now; answers how many seconds to leave in between. `gap` is what it was before."""
        asked = self._wanted.is_set()
        self._wanted.clear()
        self._used = False
        changed = await self._look_up()
        gap = min(gap * 2, REFRESH if self.all else LEAST_KNOWN) if asked and not changed else LEAST
        self._next_at = self._clock.now() + gap
        self._tell_waiting()
        return gap

    def _rest(self) -> bool:
        """Whether nobody has called since the last look-up."""
        self._resting = not self._used and not self._wanted.is_set()
        return self._resting

    def _wake(self) -> None:
        self._resting = False
        for endpoint in self.all:
            endpoint.is_ready()

    async def _look_up(self) -> bool:
        """Asks once and takes the answer in; whether it is another one than before."""
        name = self._name
        found: Sequence[str] = ()
        self._answered = False
        try:
            found = await self._resolve(name.host, name.port)
            self._failure = None if found else "DNS knows the name and no address of it"
        except (OSError, UnicodeError) as error:
            self._failure = _words(error)
        finally:
            self._answered = True
        if self._failure is not None:
            if self._failure != self._told:
                self._told = self._failure
                kept = tuple(endpoint.address for endpoint in self.all)
                reason = f"looking up {name.host!r} failed: {self._failure}"
                self.listeners.tell(LookupFailed(target=self.target, reason=reason, kept=kept))
            return False
        self._told = None
        changed = self.update(dict.fromkeys(found, 1.0))
        for gone in self._watches.keys() - set(self.all):
            self._watches.pop(gone).cancel()
            self._ready.discard(gone)
        for endpoint in self.all:
            if endpoint not in self._watches:
                self._watches[endpoint] = self.background(_watch(weakref.ref(self), endpoint))
        return changed

    def _seen(self, endpoint: Endpoint, last: grpc.ChannelConnectivity) -> grpc.ChannelConnectivity:
        """Takes in the state of a connection, and asks for one where there is none."""
        state = endpoint.channel.get_state(not self._resting)
        if state is not last:
            (self._ready.add if state is _READY else self._ready.discard)(endpoint)
            if not self._resting and (state is _FAILING or last is _READY):
                self._wanted.set()
            self._tell_waiting()
        return state

    def _tell_waiting(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


# Tasks keep nobody alive: a channel that was dropped without being closed is freed, and they end with it.


async def _follow(weak: weakref.ref[DnsEndpoints]) -> None:
    gap = LEAST
    while (endpoints := weak()) is not None:
        gap = await endpoints._turn(gap)
        clock, wanted = endpoints._clock, endpoints._wanted
        # Clients that were started together spread out.
        refresh = REFRESH * (1 - endpoints._random() / 5)
        del endpoints
        await clock.sleep(gap)
        await _either(wanted.wait(), clock, refresh - gap)
        endpoints = weak()
        if endpoints is not None and endpoints._rest():
            del endpoints
            await wanted.wait()
            endpoints = weak()
            if endpoints is not None:
                endpoints._wake()
        del endpoints


async def _watch(weak: weakref.ref[DnsEndpoints], endpoint: Endpoint) -> None:
    state = _IDLE
    while (endpoints := weak()) is not None:
        state = endpoints._seen(endpoint, state)
        del endpoints
        if state is _SHUT:
            return
        await endpoint.left(state)


def _words(error: OSError | UnicodeError) -> str:
    if isinstance(error, socket.gaierror) and error.errno == socket.EAI_NONAME:
        return f"there is no such name ({error.strerror})"
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


async def _either(waits: Any, clock: Clock, seconds: float) -> None:
    """Returns when what is waited for has come, or after so many seconds."""
    watches = {asyncio.ensure_future(waits)}
    if seconds != float("inf"):
        watches.add(asyncio.ensure_future(clock.sleep(seconds)))
    try:
        await asyncio.wait(watches, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for watch in watches:
            watch.cancel()
