"""Names in DNS: one endpoint for each address, followed as the answers change."""

from __future__ import annotations

import asyncio
import gc
import itertools
import socket
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import grpc
import grpc.aio
import pytest

import kit
from kit.client import Channel
from kit.client.events import ChannelEvent, EndpointsChanged, LookupFailed
from kit.errors import NoEndpoint
from kit.policy import BalanceKind
from kit.server import Server
from kit.testing import Fault, Faults, VirtualClock
from tests.integration.client.echo import UNARY, Echo, EchoStub, add_echo, text

TARGET = "dns:///search.example:50051"
#: One attempt: nothing hides that a call went the wrong way.
ONCE = kit.MethodPolicy(retry=kit.RetryPolicy(max_attempts=1), balance=kit.BalancePolicy(kind=BalanceKind.ROUND_ROBIN))
NO_SUCH_NAME = socket.gaierror(socket.EAI_NONAME, "Name or service not known")

Start = Callable[[], Awaitable[tuple[Server, Faults]]]


class Dns:
    """Answers with what it holds, or fails with it."""

    def __init__(self, *addresses: str) -> None:
        self.answer: list[str] | OSError = list(addresses)
        self.asked = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self._asked = asyncio.Condition()

    async def __call__(self, host: str, port: int) -> list[str]:
        assert (host, port) == ("search.example", 50051)
        async with self._asked:
            self.asked += 1
            self._asked.notify_all()
        await self.may_answer.wait()
        if isinstance(self.answer, OSError):
            raise self.answer
        return list(self.answer)

    async def was_asked(self, times: int) -> None:
        """Returns when it was asked so often."""
        async with asyncio.timeout(10), self._asked:
            await self._asked.wait_for(lambda: self.asked >= times)


def background() -> list[str]:
    """What runs beside calls."""
    names = (getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks())
    return [name for name in names if name in ("_follow", "_watch")]


class Told:
    """What the channel told, as it happened."""

    def __init__(self) -> None:
        self.events: list[ChannelEvent] = []
        self._news = asyncio.Event()

    def __call__(self, event: ChannelEvent) -> None:
        self.events.append(event)
        self._news.set()

    async def of(self, kind: type[ChannelEvent], count: int = 1) -> list[ChannelEvent]:
        """Returns when there are so many of a kind."""
        async with asyncio.timeout(10):
            while len(found := [event for event in self.events if isinstance(event, kind)]) < count:
                self._news.clear()
                await self._news.wait()
        return found


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    async with AsyncExitStack() as stack:

        async def go() -> tuple[Server, Faults]:
            faults = Faults()
            server = Server("echo", listen="127.0.0.1:0", register=False, interceptors=(faults,), grace=0.0)
            await stack.enter_async_context(server.add(Echo(), add_echo))
            return server, faults

        yield go


@pytest.fixture
def dead_address() -> str:
    """An address at which nobody listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{found.getsockname()[1]}"


async def test_calls_are_balanced_over_every_address_of_the_name(start: Start) -> None:
    servers = [await start() for _ in range(3)]
    dns = Dns(*(server.address for server, _ in servers))
    async with Channel(TARGET, resolver=dns, policy=ONCE) as channel:
        assert channel.target == TARGET
        async with asyncio.timeout(10):
            while not all(faults.count(UNARY) for _, faults in servers):
                await EchoStub(channel).Unary(text())
    assert dns.asked == 1


async def test_nothing_is_looked_up_before_the_first_call(start: Start) -> None:
    server, _ = await start()
    dns = Dns(server.address)
    async with Channel(TARGET, resolver=dns) as channel:
        stub = EchoStub(channel)
        assert channel.get_state() is grpc.ChannelConnectivity.IDLE
        await asyncio.sleep(0)
        assert dns.asked == 0
        assert not background()
        await stub.Unary(text())
        assert dns.asked == 1


async def test_asking_for_a_connection_looks_up(start: Start) -> None:
    server, _ = await start()
    dns = Dns(server.address)
    async with Channel(TARGET, resolver=dns) as channel:
        assert channel.get_state(try_to_connect=True) is grpc.ChannelConnectivity.CONNECTING
        async with asyncio.timeout(10):
            await channel.channel_ready()
    assert channel.get_state() is grpc.ChannelConnectivity.SHUTDOWN


async def test_a_closed_channel_leaves_no_task_behind(start: Start) -> None:
    server, _ = await start()
    async with Channel(TARGET, resolver=Dns(server.address)) as channel:
        await EchoStub(channel).Unary(text())
        assert len(background()) == 2
    assert not background()


async def test_a_channel_that_is_dropped_without_being_closed_leaves_no_task_behind(start: Start) -> None:
    server, _ = await start()
    channel = Channel(TARGET, resolver=Dns(server.address))
    await EchoStub(channel).Unary(text())
    freed = asyncio.Event()
    weakref.finalize(channel._endpoints, freed.set)
    del channel
    async with asyncio.timeout(10):
        while not freed.is_set() or background():
            gc.collect()
            await asyncio.sleep(0)


async def test_the_first_calls_wait_for_the_answer(start: Start) -> None:
    server, faults = await start()
    dns = Dns(server.address)
    dns.may_answer.clear()
    async with Channel(TARGET, resolver=dns) as channel:
        calls = [EchoStub(channel).Unary(text()) for _ in range(3)]
        await dns.was_asked(1)
        dns.may_answer.set()
        assert [(await call).value for call in calls] == ["hello"] * 3
    assert (dns.asked, faults.count(UNARY)) == (1, 3)


async def test_the_deadline_bounds_the_wait_for_the_answer() -> None:
    dns, clock = Dns(), VirtualClock()
    dns.may_answer.clear()
    async with Channel(TARGET, resolver=dns, clock=clock) as channel:
        call = EchoStub(channel).Unary(text(), timeout=3.0)
        waiting = asyncio.ensure_future(call.code())
        await clock.advance(2.9)
        assert not waiting.done()
        await clock.advance(0.2)
        assert await waiting is grpc.StatusCode.UNAVAILABLE
        with pytest.raises(NoEndpoint, match=r"'search\.example'.*DNS has not answered yet; waited 3\.0 s"):
            await call


async def test_a_name_that_does_not_exist_is_named_with_the_reason_at_once() -> None:
    dns, told = Dns(), Told()
    dns.answer = NO_SUCH_NAME
    async with Channel(TARGET, resolver=dns, on_event=told) as channel:
        for _ in range(2):
            with pytest.raises(NoEndpoint) as failure:
                await EchoStub(channel).Unary(text())
            details = failure.value.details() or ""
            assert "no address of 'search.example', asked for by dns:///search.example:50051" in details
            assert "there is no such name (Name or service not known)" in details
        assert channel.get_state() is grpc.ChannelConnectivity.TRANSIENT_FAILURE
    assert dns.asked == 1
    assert len(told.events) == 1


async def test_a_call_that_may_wait_gets_the_name_when_it_comes_into_being(start: Start) -> None:
    server, _ = await start()
    dns, clock = Dns(), VirtualClock()
    dns.answer = NO_SUCH_NAME
    async with Channel(TARGET, resolver=dns, clock=clock) as channel:
        call = EchoStub(channel).Unary(text(), wait_for_ready=True)
        waiting = asyncio.ensure_future(call.code())
        await clock.advance(3.5)
        assert not waiting.done()
        dns.answer = [server.address]
        await clock.advance(5.0)
        assert (await call).value == "hello"
        assert await waiting is grpc.StatusCode.OK


async def test_a_call_some_time_after_a_failed_look_up_looks_again(start: Start) -> None:
    server, _ = await start()
    dns, clock = Dns(), VirtualClock()
    dns.answer = NO_SUCH_NAME
    async with Channel(TARGET, resolver=dns, clock=clock) as channel:
        with pytest.raises(NoEndpoint):
            await EchoStub(channel).Unary(text())
        dns.answer = [server.address]
        await clock.advance(600.0)
        assert (await EchoStub(channel).Unary(text())).value == "hello"


async def test_new_addresses_are_found_within_thirty_seconds_and_old_ones_let_go(start: Start) -> None:
    (old, old_faults), (new, new_faults) = await start(), await start()
    go = asyncio.Event()
    old_faults.script(UNARY, [Fault(), Fault(until=go)])
    dns, clock, told = Dns(old.address), VirtualClock(), Told()
    async with Channel(TARGET, resolver=dns, clock=clock, policy=ONCE, on_event=told) as channel:
        stub = EchoStub(channel)
        await stub.Unary(text())
        in_flight = stub.Unary(text())
        await old_faults.arrived(UNARY, 2)
        dns.answer = [new.address]
        await clock.advance(30.0)
        for _ in range(3):
            await stub.Unary(text())
        go.set()
        assert (await in_flight).value == "hello"
    assert (old_faults.count(UNARY), new_faults.count(UNARY)) == (2, 3)
    assert told.events == [
        EndpointsChanged(target=TARGET, added=(old.address,)),
        EndpointsChanged(target=TARGET, added=(new.address,), removed=(old.address,)),
    ]
    assert str(told.events[1]) == f"{TARGET}: {new.address} added; {old.address} removed"


async def test_a_channel_that_nobody_uses_asks_nobody(start: Start) -> None:
    server, _ = await start()
    dns, clock = Dns(server.address), VirtualClock()
    async with Channel(TARGET, resolver=dns, clock=clock) as channel:
        await EchoStub(channel).Unary(text())
        await clock.advance(3600.0)
        idle = dns.asked
        assert idle <= 2
        await EchoStub(channel).Unary(text())
        await dns.was_asked(idle + 1)


async def test_the_first_call_after_a_rest_does_not_fail_by_what_was_known_before(start: Start) -> None:
    (old, _), (new, faults) = await start(), await start()
    dns, clock, told = Dns(old.address), VirtualClock(), Told()
    async with Channel(TARGET, resolver=dns, clock=clock, policy=ONCE, on_event=told) as channel:
        await EchoStub(channel).Unary(text())
        await clock.advance(3600.0)
        (known,) = channel._endpoints.all
        await old.stop(0)
        async with asyncio.timeout(10):
            await known.left(grpc.ChannelConnectivity.READY)
        dns.answer = [new.address]
        assert (await EchoStub(channel).Unary(text())).value == "hello"
    assert faults.count(UNARY) == 1


async def test_the_order_of_the_answer_means_nothing(start: Start) -> None:
    servers = [await start() for _ in range(2)]
    addresses = [server.address for server, _ in servers]
    dns, clock, told = Dns(*addresses), VirtualClock(), Told()
    async with Channel(TARGET, resolver=dns, clock=clock, on_event=told) as channel:
        for _ in range(2):
            await EchoStub(channel).Unary(text())
        known = channel._endpoints.all
        dns.answer = addresses[::-1]
        await clock.advance(31.0)
        assert dns.asked == 2
        assert channel._endpoints.all is known
    assert len(told.events) == 1


async def test_a_connection_that_ends_is_reason_to_look_at_once(start: Start) -> None:
    (first, _), (second, faults) = await start(), await start()
    dns, clock, told = Dns(first.address), VirtualClock(), Told()
    async with Channel(TARGET, resolver=dns, clock=clock, on_event=told) as channel:
        await EchoStub(channel).Unary(text())
        await clock.advance(2.0)  # the last look-up has to be LEAST old
        assert dns.asked == 1
        dns.answer = [second.address]
        await first.stop(0)
        await told.of(EndpointsChanged, 2)
        await EchoStub(channel).Unary(text())
    assert (dns.asked, faults.count(UNARY)) == (2, 1)


async def test_the_more_often_it_is_asked_in_vain_the_more_seldom_it_looks(dead_address: str) -> None:
    dns, clock = Dns(dead_address), VirtualClock()
    asked_at: list[float] = []
    async with Channel(TARGET, resolver=dns, clock=clock, policy=ONCE) as channel:
        began = clock.now()
        for _ in range(1000):
            # As connections fail again and again.
            channel._endpoints.look()
            channel._endpoints._wanted.set()  # type: ignore[attr-defined]
            await clock.advance(0.1)
            if dns.asked > len(asked_at):
                asked_at.append(clock.now() - began)
    gaps = [round(after - before) for before, after in itertools.pairwise(asked_at)]
    assert gaps == [1, 2, 4, 8, 16, 30, 30][: len(gaps)]
    assert len(gaps) >= 5


async def test_a_look_up_that_fails_keeps_what_was_known_and_says_so_once(start: Start) -> None:
    server, faults = await start()
    dns, clock, told = Dns(server.address), VirtualClock(), Told()
    async with Channel(TARGET, resolver=dns, clock=clock, on_event=told) as channel:
        await EchoStub(channel).Unary(text())
        dns.answer = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        for _ in range(3):
            await clock.advance(31.0)
            await EchoStub(channel).Unary(text())
        assert dns.asked == 4
    assert faults.count(UNARY) == 4
    failed = [event for event in told.events if isinstance(event, LookupFailed)]
    assert failed == [
        LookupFailed(
            target=TARGET,
            reason="looking up 'search.example' failed: Temporary failure in name resolution",
            kept=(server.address,),
        )
    ]
    assert server.address in str(failed[0])


async def test_an_answer_without_addresses_is_a_look_up_that_failed() -> None:
    async with Channel(TARGET, resolver=Dns()) as channel:
        with pytest.raises(NoEndpoint, match="no address of it"):
            await EchoStub(channel).Unary(text())


async def test_an_address_that_cannot_be_connected_costs_no_call(start: Start, dead_address: str) -> None:
    server, faults = await start()
    async with Channel(TARGET, resolver=Dns(dead_address, server.address), policy=ONCE) as channel:
        for _ in range(10):
            await EchoStub(channel).Unary(text())
    assert faults.count(UNARY) == 10


async def test_a_server_that_goes_costs_no_later_call(start: Start) -> None:
    (one, _), (other, faults) = await start(), await start()
    told = Told()
    async with Channel(TARGET, resolver=Dns(one.address, other.address), policy=ONCE, on_event=told) as channel:
        await EchoStub(channel).Unary(text())
        gone, _ = channel._endpoints.all
        async with asyncio.timeout(10):
            await gone.connected(5)
            await one.stop(0)
            while gone in channel._endpoints._ready:  # type: ignore[attr-defined]
                await gone.left(grpc.ChannelConnectivity.READY)
        before = faults.count(UNARY)
        for _ in range(10):
            await EchoStub(channel).Unary(text())
    assert faults.count(UNARY) == before + 10


async def test_where_nobody_can_be_connected_the_error_names_who_was_tried(dead_address: str) -> None:
    other = dead_address.replace("127.0.0.1", "127.0.0.2")
    async with Channel(TARGET, resolver=Dns(dead_address, other)) as channel:
        with pytest.raises(NoEndpoint) as failure:
            await EchoStub(channel).Unsafe(text())
    details = failure.value.details() or ""
    assert f"{dead_address} TRANSIENT_FAILURE" in details
    assert f"{other} TRANSIENT_FAILURE" in details
    assert "Connection refused" in details
    assert "nothing was sent" in details


async def test_a_real_name_is_looked_up_by_this_machine(start: Start) -> None:
    server, _ = await start()
    port = server.address.rpartition(":")[2]
    async with kit.channel(f"dns:///localhost:{port}", policy=ONCE) as channel:
        for _ in range(5):
            assert (await EchoStub(channel).Unary(text())).value == "hello"
