"""Where calls go: the endpoints of a target, one sub-channel each, and the layer that picks one for every attempt."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import grpc
import grpc.aio

from kit.clock import Clock
from kit.discovery import Registry
from kit.errors import CallRefused, ConfigurationError, NoEndpoint
from kit.pipeline import Attempted, Call, Handler, Method, Outcome
from kit.resilience.deadline import attempt_timeout

__all__ = ["BalanceLayer", "Endpoint", "Endpoints", "LocalEndpoints", "static_addresses"]

#: Seconds between two looks into the local registry while every endpoint is connected.
LOOK_INTERVAL = 0.1
#: Seconds that a call waits for a service that is not registered, if its deadline lets it.
APPEAR_TIMEOUT = 2.0
#: Seconds between two looks while it waits.
APPEAR_INTERVAL = 0.05
#: Seconds that calls in flight are given on an endpoint that is no longer listed.
RETIRE_GRACE = 60.0
#: Seconds that a connection may take, where the attempt itself is not bounded sooner.
CONNECT_TIMEOUT = 5.0

_BEST_FIRST = (
    grpc.ChannelConnectivity.READY,
    grpc.ChannelConnectivity.CONNECTING,
    grpc.ChannelConnectivity.IDLE,
    grpc.ChannelConnectivity.TRANSIENT_FAILURE,
)
_HOST_PORT = re.compile(r"(?:\[[0-9A-Fa-f:.%\w]+\]|[^\s:/,\[\]]+):(\d{1,5})")


def static_addresses(target: str | Sequence[str]) -> list[str]:
    """The addresses of "h:1,h:2", of a list, or of a single target that grpc itself resolves ("dns:///", "unix:").

    Raises ConfigurationError for what is no address.
    """
    addresses = [part.strip() for part in (target.split(",") if isinstance(target, str) else target)]
    if not addresses:
        raise ConfigurationError("a channel needs at least one address")
    for address in addresses:
        if "://" in address or address.startswith(("unix:", "dns:", "ipv4:", "ipv6:")):
            continue
        found = _HOST_PORT.fullmatch(address)
        if found is None or not 0 < int(found[1]) < 65536:
            raise ConfigurationError(
                f'{address!r} is not an address; write "host:port", "dns:///..." or "local:///name"'
            )
    return list(dict.fromkeys(addresses))


class Endpoint:
    """An address and the sub-channel to it."""

    __slots__ = ("_stubs", "address", "channel")

    def __init__(self, address: str, channel: grpc.aio.Channel) -> None:
        self.address = address
        self.channel = channel
        self._stubs: dict[Method, Any] = {}

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

    def is_ready(self) -> bool:
        """Whether there is a connection; asks for one where there is none."""
        return self.channel.get_state(try_to_connect=True) is grpc.ChannelConnectivity.READY

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
            if state in (grpc.ChannelConnectivity.TRANSIENT_FAILURE, grpc.ChannelConnectivity.SHUTDOWN):
                return False
            await self.channel.wait_for_state_change(state)


async def _changed(endpoint: Endpoint) -> None:
    await endpoint.channel.wait_for_state_change(endpoint.channel.get_state())


class Endpoints:
    """A fixed list of endpoints, picked in turn."""

    def __init__(self, target: str, dial: Callable[[str], grpc.aio.Channel], addresses: Sequence[str]) -> None:
        self.target = target
        self._dial = dial
        self._closed = False
        self._turn = 0
        self._retiring: set[asyncio.Task[None]] = set()
        self.all: list[Endpoint] = [Endpoint(address, dial(address)) for address in addresses]

    def pick(self, attempts: Sequence[Attempted]) -> Endpoint | None:
        """The next endpoint; not one that these attempts failed at, where there is another. None when there is none."""
        if self._closed:
            raise grpc.aio.UsageError("Channel is closed.")
        known = self.all
        if len(known) == 1:
            return known[0]
        failed = {tried.endpoint for tried in attempts}
        for _ in known:
            self._turn = (self._turn + 1) % len(known)
            if known[self._turn].address not in failed:
                return known[self._turn]
        last = attempts[-1].endpoint if attempts else ""
        return next((endpoint for endpoint in known if endpoint.address != last), None)

    async def appear(self, call: Call, clock: Clock) -> Endpoint | None:
        """Waits for an endpoint where there is none; a fixed list does not change."""
        return None

    def missing(self) -> str:
        """Who was looked for, in words."""
        return f"no endpoint of {self.target}"

    def state(self, try_to_connect: bool) -> grpc.ChannelConnectivity:
        """The best state among the endpoints."""
        if self._closed:
            return grpc.ChannelConnectivity.SHUTDOWN
        states = {endpoint.channel.get_state(try_to_connect) for endpoint in self.all}
        return next((state for state in _BEST_FIRST if state in states), grpc.ChannelConnectivity.IDLE)

    async def state_changed(self, last: grpc.ChannelConnectivity, clock: Clock) -> None:
        """Returns when `state` gives another one than `last`."""
        while self.state(False) is last:
            watches = [asyncio.ensure_future(_changed(endpoint)) for endpoint in self.all]
            watches.append(asyncio.ensure_future(clock.sleep(LOOK_INTERVAL)))
            try:
                await asyncio.wait(watches, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for watch in watches:
                    watch.cancel()

    async def close(self, grace: float | None) -> None:
        """Closes every sub-channel; calls in flight get `grace` seconds."""
        self._closed = True
        await asyncio.gather(*(endpoint.channel.close(grace) for endpoint in self.all))
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)


class LocalEndpoints(Endpoints):
    """The live instances of a service in the local registry, looked up again when they may have changed."""

    def __init__(
        self, name: str, dial: Callable[[str], grpc.aio.Channel], registry: Registry, now: Callable[[], float]
    ) -> None:
        super().__init__(f"local:///{name}", dial, ())
        self._name = name
        self._registry = registry
        self._now = now
        self._looked_at = -LOOK_INTERVAL
        self.refresh()

    def pick(self, attempts: Sequence[Attempted]) -> Endpoint | None:
        if self._now() - self._looked_at >= LOOK_INTERVAL or attempts:
            self.refresh()
        found = super().pick(attempts)
        if found is not None and not found.is_ready():
            # It may just have gone, and another one come: ask before the call is lost on it.
            self.refresh()
            if found not in self.all:
                found = super().pick(attempts)
        return found

    async def appear(self, call: Call, clock: Clock) -> Endpoint | None:
        until = min(call.expires_at, clock.now() + APPEAR_TIMEOUT)
        while (left := until - clock.now()) > 0:
            await clock.sleep(min(APPEAR_INTERVAL, left))
            self.refresh()
            if self.all:
                return super().pick(call.attempts)
        return None

    def missing(self) -> str:
        return f"no instance of {self._name!r} is registered on this machine"

    def state(self, try_to_connect: bool) -> grpc.ChannelConnectivity:
        self.refresh()
        return super().state(try_to_connect)

    def refresh(self) -> None:
        """Dials what is new in the registry and lets go of what is no longer there."""
        self._looked_at = self._now()
        addresses = list(dict.fromkeys(instance.address for instance in self._registry.lookup(self._name)))
        known = {endpoint.address: endpoint for endpoint in self.all}
        if list(known) == addresses or self._closed:
            return
        self.all = [known.get(address) or Endpoint(address, self._dial(address)) for address in addresses]
        for gone in (endpoint for address, endpoint in known.items() if address not in addresses):
            task = asyncio.get_running_loop().create_task(gone.channel.close(RETIRE_GRACE))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)


class BalanceLayer:
    """Picks the endpoint of every attempt.

    Where only attempts that never left may be made again, nothing is sent until there is a connection: what fails
    before that has provably not reached a server.
    """

    name = "balance"

    def __init__(self, endpoints: Endpoints, clock: Clock) -> None:
        self._endpoints = endpoints
        self._clock = clock

    def wrap(self, method: Method, inner: Handler) -> Handler:
        endpoints, clock = self._endpoints, self._clock
        connects_first = method.may_retry and not method.may_replay

        def handle(call: Call) -> Coroutine[Any, Any, Outcome]:
            endpoint = endpoints.pick(call.attempts)
            if endpoint is None or (connects_first and not call.wait_for_ready and not endpoint.is_ready()):
                return unready(call, endpoint)
            call.endpoint = endpoint
            return inner(call)

        async def unready(call: Call, endpoint: Endpoint | None) -> Outcome:
            since = clock.now()
            if endpoint is None:
                endpoint = await endpoints.appear(call, clock)
                if endpoint is None:
                    waited = clock.now() - since
                    return Outcome(error=NoEndpoint(f"{endpoints.missing()}; waited {waited:.1f} s"))
            if connects_first and not call.wait_for_ready:
                started = clock.now()
                allowed = min(CONNECT_TIMEOUT, attempt_timeout(started, call.expires_at, method.policy.per_try_timeout))
                if not await endpoint.connected(allowed):
                    details = f"no connection to {endpoint.address}; nothing was sent"
                    tried = Attempted(
                        len(call.attempts) + 1, endpoint.address, call.delay, started, allowed, sent=False
                    )
                    tried.settle(grpc.StatusCode.UNAVAILABLE, details, clock.now())
                    call.attempts.append(tried)
                    return Outcome(error=CallRefused(grpc.StatusCode.UNAVAILABLE, details), unsent=True)
            call.endpoint = endpoint
            return await inner(call)

        return handle
