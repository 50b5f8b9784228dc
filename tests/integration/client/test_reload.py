"""A TOML file of policy is followed while it is in use: real files and calls, virtual time between the looks."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

import kit
from kit.client.channel import Channel
from kit.client.events import ChannelEvent, PolicyReloaded
from kit.errors import BreakerOpen, CallFailed, PolicyError, TooManyCalls
from kit.policy.followed import INTERVAL
from kit.testing import Fault, Faults, InProcess, VirtualClock
from tests.integration.client.echo import BOTH, PATH, UNARY, UNSAFE, Echo, EchoStub, add_echo, text

#: "Come again at once": no time need pass between attempts.
UNAVAILABLE = Fault(code=grpc.StatusCode.UNAVAILABLE, pushback=0)
ONCE = f'["{PATH}/*"]\nretry.max_attempts = 1\n'


@dataclass
class Followed:
    """A client whose policy stands in a file."""

    file: Path
    clock: VirtualClock
    faults: Faults
    events: list[ChannelEvent] = field(default_factory=list)
    stub: Any = None
    channel: Any = None

    async def write(self, content: str) -> None:
        """Puts another file in the place of the file, and lets the time pass in which it is taken."""
        new = self.file.with_suffix(".new")
        new.write_text(content, "utf-8")
        new.replace(self.file)
        await self.pass_time()

    async def pass_time(self) -> None:
        await self.clock.advance(2 * INTERVAL)

    def told(self) -> PolicyReloaded:
        """The last event."""
        event = self.events[-1]
        assert isinstance(event, PolicyReloaded)
        return event

    async def makes(self, attempts: int) -> None:
        """Sees that a failing call makes so many attempts."""
        before = self.faults.count(UNARY)
        self.faults.script(UNARY, [UNAVAILABLE] * attempts)
        with pytest.raises(CallFailed):
            await self.stub.Unary(text())
        assert self.faults.count(UNARY) - before == attempts


Follow = Callable[..., Awaitable[Followed]]


@pytest.fixture(params=["kit.channel", "stock"])
async def follow(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Follow]:
    """Starts a server and connects to it in both ways."""
    async with AsyncExitStack() as stack:

        async def start(content: str, *, given: bool = True) -> Followed:
            file = tmp_path / "policy.toml"
            file.write_text(content, "utf-8")
            process = await stack.enter_async_context(InProcess(Echo(), add_echo))
            it = Followed(file, VirtualClock(), process.faults)
            policy = it.file if given else None
            told = it.events.append
            if request.param == "kit.channel":
                it.channel = Channel(process.address, policy=policy, clock=it.clock, on_event=told)
            else:
                interceptors = kit.client_interceptors(policy=policy, clock=it.clock, on_event=told)
                it.channel = grpc.aio.insecure_channel(process.address, interceptors=interceptors)
            await stack.enter_async_context(it.channel)
            it.stub = EchoStub(it.channel)
            await it.stub.Unary(text())
            return it

        yield start


async def test_what_changed_holds_from_the_next_call_on_for_stubs_that_are_there(follow: Follow) -> None:
    it = await follow(ONCE)
    await it.makes(1)
    await it.write(f'["{PATH}/*"]\nretry.max_attempts = 3\n')
    assert (it.told().source, it.told().accepted, it.told().reason) == (str(it.file), True, "")
    assert UNARY in it.told().methods
    assert f"policy {it.file} is in force; changed are {', '.join(it.told().methods)}" in str(it.told())
    await it.makes(3)
    await it.write(ONCE)
    await it.makes(1)
    assert len(it.events) == 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("retry = [", "not a TOML file"),
        ('["*"]\ntimeot = 1', "did you mean timeout"),
        ('["*"]\ncache = { max_entries = 1 }', "no layer enforces this"),
        (f'["{UNARY}"]\nretry.max_attempts = 2\n["{UNSAFE}"]\nretry.max_attempts = 2', "not declared safe"),
        (f'["{PATH}/*"]\nretry.max_attempts = 4\nbreaker.failure_threshold = 2', "sooner than one call's"),
        (f'["{BOTH}"]\nretry.max_attempts = 1\nhedging.max_attempts = 2', "not hedged"),
    ],
)
async def test_a_bad_file_is_refused_as_a_whole_and_the_old_one_stays(
    follow: Follow, content: str, reason: str
) -> None:
    it = await follow(ONCE)
    await it.write(content)
    assert not it.told().accepted
    assert reason in it.told().reason
    assert it.told().methods == ()
    assert "stays in force" in str(it.told())
    await it.makes(1)
    # For methods that are called for the first time as well.
    await it.stub.Unsafe(text())
    await it.pass_time()
    assert len(it.events) == 1
    await it.write(f'["{UNARY}"]\nretry.max_attempts = 2\n')
    assert it.told().accepted
    await it.makes(2)


async def test_a_file_that_disappears_is_refused_and_taken_again_when_it_is_back(follow: Follow) -> None:
    it = await follow(ONCE)
    it.file.unlink()
    await it.pass_time()
    assert "No such file" in it.told().reason
    await it.makes(1)
    await it.write(f'["{UNARY}"]\nretry.max_attempts = 2\n')
    assert it.told().accepted
    await it.makes(2)


async def test_a_file_that_is_being_written_is_not_read(follow: Follow) -> None:
    it = await follow(ONCE)
    whole = f'["{UNARY}"]\nretry.max_attempts = 2\n'
    for end in range(4, len(whole), 4):
        it.file.write_text(whole[:end], "utf-8")
        await it.clock.advance(INTERVAL)
    it.file.write_text(whole, "utf-8")
    await it.pass_time()
    assert [event.accepted for event in it.events if isinstance(event, PolicyReloaded)] == [True]
    await it.makes(2)


async def test_the_file_of_the_environment_is_followed_too(follow: Follow, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("KIT_POLICY", str(tmp_path / "policy.toml"))
    it = await follow(ONCE, given=False)
    await it.makes(1)
    await it.write(f'["{UNARY}"]\nretry.max_attempts = 2\n')
    assert (it.told().accepted, it.told().source) == (True, str(it.file))
    await it.makes(2)
    await it.write("nonsense")
    assert not it.told().accepted
    await it.stub.Unsafe(text())


async def test_a_breaker_whose_rules_did_not_change_stays_as_it_was(follow: Follow) -> None:
    breaker = "breaker = { failure_threshold = 3, open_for = 10000 }\n"
    it = await follow(ONCE + breaker)
    for _ in range(3):
        await it.makes(1)
    with pytest.raises(BreakerOpen):
        await it.stub.Unary(text())
    await it.write(ONCE + breaker + "timeout = 7\n")
    assert UNARY in it.told().methods
    with pytest.raises(BreakerOpen):
        await it.stub.Unary(text())
    await it.write(ONCE + 'breaker.kind = "off"\n')
    await it.stub.Unary(text())
    if isinstance(it.channel, Channel):
        assert it.channel.breakers == []


async def test_a_limit_that_comes_holds_for_a_stub_that_sent_at_once_before(follow: Follow) -> None:
    it = await follow(ONCE)
    await it.write(ONCE + "concurrency.max_concurrent = 1\n")
    stream = it.stub.Down(text("a ..."))
    await stream.read()
    with pytest.raises(TooManyCalls):
        await it.stub.Unary(text())
    stream.cancel()
    await it.write(ONCE)
    assert (await it.stub.Unary(text("x"))).value == "x"


async def test_a_call_in_flight_ends_as_it_began(follow: Follow) -> None:
    it = await follow(f'["{PATH}/*"]\nretry.max_attempts = 2\n')
    hold = asyncio.Event()
    it.faults.script(UNARY, [Fault(until=hold, code=grpc.StatusCode.UNAVAILABLE, pushback=0)])
    call = asyncio.ensure_future(it.stub.Unary(text("x")))
    while it.faults.count(UNARY) < 2:  # noqa: ASYNC110 - the server's own count is what is waited for
        await asyncio.sleep(0)
    await it.write(ONCE)
    hold.set()
    assert (await call).value == "x"


async def test_a_file_that_is_bad_from_the_start_is_an_error(tmp_path: Path, monkeypatch: Any) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(f'["{UNSAFE}"]\nretry.max_attempts = 2\n', "utf-8")
    with pytest.raises(PolicyError, match="not declared safe"):
        kit.channel("h:1", policy=file)
    with pytest.raises(PolicyError, match="not declared safe"):
        kit.client_interceptors(policy=file)
    monkeypatch.setenv("KIT_POLICY", str(tmp_path / "none.toml"))
    with pytest.raises(PolicyError, match="No such file"):
        kit.channel("h:1")


def following(before: set[asyncio.Task[Any]]) -> asyncio.Task[Any]:
    """The task that looks at the files and was not there before."""
    (found,) = (task for task in asyncio.all_tasks() - before if "_following" in repr(task.get_coro()))
    return found


async def test_a_channel_that_is_closed_follows_nothing(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(ONCE, "utf-8")
    async with InProcess(Echo(), add_echo) as process:
        before = asyncio.all_tasks()
        async with kit.channel(process.address, policy=file, warm_up=False) as channel:
            await EchoStub(channel).Unary(text())
            task = following(before)
        assert task.done()


@pytest.mark.parametrize("stock", [True, False])
async def test_whatever_is_dropped_follows_nothing(tmp_path: Path, stock: bool) -> None:
    file, clock = tmp_path / "policy.toml", VirtualClock()
    file.write_text(ONCE, "utf-8")
    async with InProcess(Echo(), add_echo) as process:
        before = asyncio.all_tasks()
        channel: Any
        if stock:
            interceptors = kit.client_interceptors(policy=file, clock=clock)
            channel = grpc.aio.insecure_channel(process.address, interceptors=interceptors)
            del interceptors
        else:
            channel = Channel(process.address, policy=file, clock=clock)
        await EchoStub(channel).Unary(text())
        task = following(before)
        if stock:
            await channel.close()
        del channel
        gc.collect()
        await clock.advance(INTERVAL)
        assert task.done()


async def test_without_a_file_nothing_is_followed() -> None:
    async with InProcess(Echo(), add_echo) as process:
        before = asyncio.all_tasks()
        async with kit.channel(process.address, policy=kit.MethodPolicy(timeout=5.0), warm_up=False) as channel:
            await EchoStub(channel).Unary(text())
            assert not any("_following" in repr(task.get_coro()) for task in asyncio.all_tasks() - before)
