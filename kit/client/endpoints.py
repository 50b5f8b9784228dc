"""Where calls go: the endpoints of a target, one sub-channel each."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import Any

import grpc
import grpc.aio

from kit.clock import Clock
from kit.discovery import Registry
from kit.errors import ConfigurationError
from kit.pipeline import Method

__all__ = ["Endpoint", "Endpoints", "LocalEndpoints", "static_addresses"]

#: Seconds between two looks into the local registry while every endpoint is connected.
LOOK_INTERVAL = 0.1
#: Seconds that a call waits for a service that is not registered, if its deadline lets it.
APPEAR_TIMEOUT = 2.0
#: Seconds between two looks while it waits.
APPEAR_INTERVAL = 0.05
#: Seconds that calls in flight are given on an endpoint that is no longer listed.
RETIRE_GRACE = 60.0

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
    """A fixed list of endpoints. Where it changes, `all` is another list."""

    def __init__(self, target: str, dial: Callable[[str], grpc.aio.Channel], addresses: Sequence[str]) -> None:
        self.target = target
        self._dial = dial
        self._closed = False
        #: Called with the address of an endpoint that is no longer one of the target's.
        self.on_gone: list[Callable[[str], None]] = []
        self._retiring: set[asyncio.Task[None]] = set()
        self.all: list[Endpoint] = [Endpoint(address, dial(address)) for address in addresses]

    def look(self, *, again: bool = False) -> list[Endpoint]:
        """The endpoints as of now; `again` when there is reason to think that they have changed."""
        if self._closed:
            raise grpc.aio.UsageError("Channel is closed.")
        return self.all

    def still_there(self, endpoint: Endpoint) -> bool:
        """Asked before an attempt goes to it: whether it is still one of the target's."""
        return True

    async def appear(self, expires_at: float, clock: Clock) -> None:
        """Waits for an endpoint where there is none; a fixed list does not change."""

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

    def look(self, *, again: bool = False) -> list[Endpoint]:
        if again or self._now() - self._looked_at >= LOOK_INTERVAL:
            self.refresh()
        return super().look()

    def still_there(self, endpoint: Endpoint) -> bool:
        if endpoint.is_ready():
            return True
        # It may just have gone, and another one come: ask before the call is lost on it.
        self.refresh()
        return endpoint in self.all

    async def appear(self, expires_at: float, clock: Clock) -> None:
        until = min(expires_at, clock.now() + APPEAR_TIMEOUT)
        while not self.all and (left := until - clock.now()) > 0:
            await clock.sleep(min(APPEAR_INTERVAL, left))
            self.refresh()

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
            for tell in self.on_gone:
                tell(gone.address)
            task.add_done_callback(self._retiring.discard)
