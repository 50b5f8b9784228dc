"""What a channel does for its connections between calls: warm-up, reconnecting, health checks.

Theory of operation. A channel that is opened with `warm_up` connects every endpoint a little later and has a keeper
follow each connection from then on (`_keeper`). With `health` every endpoint is checked at intervals (`_health`), and
those that are unhealthy are picked only where there is no other. Both run in tasks of the loop that the channel was
opened in. They end when the channel is closed or is freed without that: while they wait they refer to connections,
never to the channel. In a forked child they do nothing.

Nothing here is on the way of a call.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

import grpc.aio

from kit.client._health import Checks
from kit.client._keeper import CONNECT_TIMEOUT, Keeper, calls_in_flight
from kit.client._tasks import Tasks
from kit.client._watching import watch
from kit.client.balance import BalanceLayer
from kit.client.endpoints import Endpoint, Endpoints
from kit.client.events import Listeners, Reconnected, ReconnectFailed, WarmedUp
from kit.client.guards import Home
from kit.client.reports import ChannelStatistics, EndpointCheck, EndpointStatistics, HealthReport
from kit.clock import Clock
from kit.errors import UsageError
from kit.resilience.pulse import Health, HealthCheck, next_check
from kit.resilience.reconnect import ReconnectRules

__all__ = ["WARM_UP_DELAY", "Care"]

#: Seconds from opening a channel to its warm-up: a program that starts has more urgent things to do, and a channel that
#: is opened and closed again costs nothing.
WARM_UP_DELAY = 0.1


class Care:
    """Looks after the endpoints of one channel. Only the channel holds it."""

    def __init__(
        self,
        endpoints: Endpoints,
        balance: BalanceLayer,
        clock: Clock,
        random: Callable[[], float],
        listeners: Listeners,
        home: Home,
        *,
        warm_up: bool,
        health: HealthCheck | None,
    ) -> None:
        self._endpoints = endpoints
        self._balance = balance
        self._clock = clock
        self._random = random
        self._listeners = listeners
        self._home = home
        self._interval = health if health is not None else HealthCheck()
        self._checks = Checks(endpoints, self._interval, clock, listeners, marks=health is not None)
        self._heartbeats = self._heartbeats_failed = self._reconnects = 0
        self._warm = False
        self._keepers: dict[str, Keeper] = {}
        self._watches: dict[str, asyncio.Task[None]] = {}
        self._tasks = Tasks(home)
        # The endpoints know the listeners, and those may know the channel.
        weakref.finalize(self, _let_go, self._tasks, weakref.ref(endpoints)).atexit = False
        at_home = self._at_home = _at_home(weakref.ref(self), self._tasks)
        endpoints.on_new.append(lambda endpoint: None if (care := at_home()) is None else care._new(endpoint))
        endpoints.on_gone.append(lambda address: None if (care := at_home()) is None else care._gone(address))
        if warm_up:
            self._tasks.start(_warm_up(at_home, clock))
        if health is not None:
            self._tasks.start(_beat(at_home, clock))

    def stop(self) -> None:
        """Begins to end what runs in the background."""
        self._tasks.stop()

    async def stopped(self) -> None:
        """Returns when nothing runs any more."""
        await self._tasks.stopped()

    # What is asked of it

    async def check_now(self) -> HealthReport:
        """Checks every endpoint, all at once."""
        self._home.check()
        return await self._checks.all()

    async def wait_for_healthy(self, timeout: float, *, all_endpoints: bool) -> EndpointCheck | HealthReport:
        """The first endpoint that serves, or all when all of them do. Raises NoEndpoint after `timeout` seconds."""
        self._home.check()
        if all_endpoints:
            return await self._checks.every(timeout)
        return await self._checks.first(timeout)

    def force_reconnect(self, address: str | None) -> None:
        """Gives every endpoint, or the one of that address, a new connection."""
        self._home.check()
        known = self._endpoints.look(again=True)
        chosen = [endpoint for endpoint in known if address is None or endpoint.address == address]
        if address is not None and not chosen:
            raise UsageError(
                f"{self._endpoints.target} has no endpoint {address!r}; it has "
                f"{', '.join(endpoint.address for endpoint in known) or 'none'}"
            )
        for endpoint in chosen:
            self._endpoints.redial(endpoint)
            self._keep(endpoint)

    def statistics(self) -> ChannelStatistics:
        """What is known of every endpoint."""
        ejected = self._balance.ejected()
        return ChannelStatistics(
            target=self._endpoints.target,
            endpoints=tuple(self._statistics(endpoint, ejected) for endpoint in self._endpoints.all),
            heartbeats=self._heartbeats,
            heartbeats_failed=self._heartbeats_failed,
            reconnects=self._reconnects,
        )

    def _statistics(self, endpoint: Endpoint, ejected: frozenset[str]) -> EndpointStatistics:
        address = endpoint.address
        keeper, pulse = self._keepers.get(address), self._checks.pulse(address)
        return EndpointStatistics(
            address=address,
            state=endpoint.state(),
            connects=0 if keeper is None else keeper.connects,
            failures=0 if keeper is None else keeper.failures,
            last_error="" if keeper is None else keeper.last_error,
            ejected=address in ejected,
            passed_over=address in self._endpoints.passed_over,
            health=Health.UNKNOWN if pulse is None else pulse.health,
            failed_checks=0 if pulse is None else pulse.failures,
            calls_in_flight=calls_in_flight(endpoint),
        )

    # What happens in the background

    async def warm_up(self) -> None:
        """Connects every endpoint, tells what came of it, and has each of them kept."""
        clock, endpoints = self._clock, self._endpoints
        began = clock.now()
        if not endpoints.look(again=True):
            await endpoints.appear(began + CONNECT_TIMEOUT, clock)
        self._warm = True
        known = [endpoint.address for endpoint in endpoints.all]
        keepers = [self._keepers.get(endpoint.address) or self._keep(endpoint) for endpoint in endpoints.all]
        outcomes = await asyncio.gather(*(keeper.first for keeper in keepers))
        failed = tuple((address, why) for address, why in zip(known, outcomes, strict=True) if why is not None)
        event = WarmedUp(
            target=endpoints.target,
            connected=tuple(address for address, why in zip(known, outcomes, strict=True) if why is None),
            failed=failed if known else ((endpoints.target, endpoints.missing()),),
            seconds=clock.now() - began,
        )
        self._listeners.tell(event, level=logging.WARNING if failed else logging.INFO)

    async def beat(self) -> float:
        """Checks every endpoint; gives the seconds until the next time."""
        began = self._clock.now()
        for endpoint in self._endpoints.look(again=True):
            self._watch(endpoint)
        checks = [self._tasks.start(self._checks.one(endpoint)) for endpoint in self._endpoints.look(again=True)]
        found = await asyncio.gather(*checks)
        self._heartbeats += len(found)
        self._heartbeats_failed += sum(not one.serving for one in found)
        return max(0.0, next_check(self._interval, self._random()) - (self._clock.now() - began))

    # What keepers tell

    def connected(self, keeper: Keeper) -> None:
        """There is a connection that was not there before."""
        self._reconnects += keeper.connects > 1
        if keeper.given_up is not None:
            after, keeper.given_up = self._clock.now() - keeper.given_up, None
            self._listeners.tell(
                Reconnected(target=self._endpoints.target, address=keeper.endpoint.address, after=after)
            )

    def trying(self, keeper: Keeper) -> None:
        """A connection is tried for; where the endpoint has gone in the meantime, the keeper goes with it."""
        self._endpoints.look(again=True)

    def gave_up(self, keeper: Keeper) -> None:
        """The last try has failed."""
        if keeper.given_up is None:
            keeper.given_up = self._clock.now()
            event = ReconnectFailed(
                target=self._endpoints.target,
                address=keeper.endpoint.address,
                tries=keeper.machine.tries,
                why=keeper.last_error,
            )
            self._listeners.tell(event, level=logging.WARNING)
        if calls_in_flight(keeper.endpoint) == 0:
            # Or else grpc would go on trying every few seconds for ever.
            self._endpoints.redial(keeper.endpoint)

    def _keep(self, endpoint: Endpoint) -> Keeper:
        """Connects an endpoint and follows its connection from now on."""
        keeper = self._keepers.get(endpoint.address)
        if keeper is None:
            keeper = self._keepers[endpoint.address] = Keeper(
                endpoint, ReconnectRules(), self._clock, self._random, self._tasks, self._at_home
            )
        keeper.start()
        return keeper

    def _new(self, endpoint: Endpoint) -> None:
        if self._warm:
            self._keep(endpoint)
        if self._watches:
            self._watch(endpoint)

    def _watch(self, endpoint: Endpoint) -> None:
        """Listens to what the endpoint says of its health, unless that is done."""
        if not self._interval.watch or endpoint.address in self._watches:
            return
        at_home = self._at_home

        def told(serves: bool) -> bool:
            care = at_home()
            if care is None or endpoint not in care._endpoints.all:
                return False
            care._checks.told(endpoint, serves)
            return True

        self._watches[endpoint.address] = self._tasks.start(
            watch(endpoint, self._interval.service, told, self._tasks, self._clock, self._random)
        )

    def _gone(self, address: str) -> None:
        if (watching := self._watches.pop(address, None)) is not None:
            watching.cancel()
        keeper = self._keepers.pop(address, None)
        if keeper is not None:
            keeper.leave()
        self._checks.forget(address)


def _at_home(here: weakref.ref[Care], tasks: Tasks) -> Callable[[], Care | None]:
    """The care as long as the channel is there, in the process and the loop that it was opened in."""
    return lambda: here() if tasks.at_home() else None


def _let_go(tasks: Tasks, endpoints: weakref.ref[Endpoints]) -> None:
    tasks.abandon()
    # A stub may use them still, and nobody would take it back.
    if (left := endpoints()) is not None:
        left.passed_over = frozenset()


async def _warm_up(at_home: Callable[[], Care | None], clock: Clock) -> None:
    await clock.sleep(WARM_UP_DELAY)
    if (care := at_home()) is not None:
        await _unless_closed(care.warm_up())


async def _beat(at_home: Callable[[], Care | None], clock: Clock) -> None:
    seconds: float | None = WARM_UP_DELAY
    while seconds is not None:
        await clock.sleep(seconds)
        if (care := at_home()) is None:
            return
        seconds = await _unless_closed(care.beat())
        del care


async def _unless_closed(work: Coroutine[Any, Any, Any]) -> Any:
    """None where the channel was closed meanwhile."""
    try:
        return await work
    except grpc.aio.UsageError:
        return None
