"""Uses that cannot work get a clear error. What needs another loop or process has one of its own."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import Any

import grpc
import grpc.aio
import pytest

import kit
from kit.client import Channel
from kit.errors import UsageError
from kit.testing import InProcess
from tests.datafiles import ROOT
from tests.integration.client.echo import DOWN, UNARY, Echo, EchoStub, add_echo, text

PROGRAM = """
import asyncio, os, kit
from kit.errors import UsageError

def say(call):
    try:
        call()
    except UsageError as error:
        print("UsageError:", error, flush=True)
    else:
        print("no error", flush=True)

async def opened():
    channel = kit.channel("127.0.0.1:1")
    return channel, channel.unary_unary("/a.B/C")
"""
FORK = """
async def main():
    channel, call = await opened()
    child = os.fork()
    if child == 0:
        say(lambda: call(b""))
        say(lambda: channel.unary_stream("/a.B/D")(b""))
        os._exit(0)
    os.waitpid(child, 0)
    await channel.close()

asyncio.run(main())
"""
FORK_OUTSIDE = """
loop = asyncio.new_event_loop()
channel, call = loop.run_until_complete(opened())

async def called():
    say(lambda: call(b""))

child = os.fork()
if child == 0:
    loop.run_until_complete(called())
    os._exit(0)
os.waitpid(child, 0)
loop.run_until_complete(channel.close())
loop.close()
"""
FORK_FRESH = """
child = os.fork()
if child == 0:
    async def main():
        channel, call = await opened()
        say(lambda: call(b"").cancel())
        await channel.close()
    asyncio.run(main())
    os._exit(0)
os.waitpid(child, 0)
"""


def ran(program: str) -> list[str]:
    """The lines that a program says on standard output."""
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos' / 'gen'}", "GRPC_VERBOSITY": "NONE"}
    command = [sys.executable, "-P", "-W", "ignore::DeprecationWarning", "-c", PROGRAM + program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.splitlines()


@pytest.mark.parametrize("program", [FORK, FORK_OUTSIDE], ids=["while the loop runs", "between two runs of a loop"])
def test_a_channel_from_before_a_fork_says_so_in_the_child(program: str) -> None:
    lines = ran(program)
    assert lines
    assert all("before the fork" in line and "the channel to 127.0.0.1:1" in line for line in lines)


def test_a_channel_that_the_child_opens_works() -> None:
    assert ran(FORK_FRESH) == ["no error"]


def test_a_second_event_loop_is_refused_where_the_channel_belongs_to_another() -> None:
    (line,) = ran("""
loop = asyncio.new_event_loop()
channel, call = loop.run_until_complete(opened())

async def main():
    say(lambda: call(b""))

asyncio.run(main())
loop.run_until_complete(channel.close())
loop.close()
""")
    assert "another event loop" in line


def test_a_call_without_a_running_loop_is_refused() -> None:
    (line,) = ran("""
loop = asyncio.new_event_loop()
channel, call = loop.run_until_complete(opened())
say(lambda: call(b""))
loop.run_until_complete(channel.close())
loop.close()
""")
    assert "no event loop runs" in line


def test_a_channel_is_opened_inside_the_loop_that_uses_it() -> None:
    with pytest.raises(UsageError, match=r"asyncio\.run"):
        kit.channel("127.0.0.1:1")


async def test_another_thread_with_a_loop_of_its_own_is_refused() -> None:
    async with kit.channel("127.0.0.1:1") as channel:
        call = channel.unary_unary("/a.B/C")

        async def use() -> None:
            call(b"")

        with pytest.raises(UsageError, match="another event loop"):
            await asyncio.to_thread(lambda: asyncio.run(use()))


async def test_channels_are_no_targets() -> None:
    target: Any = grpc.insecure_channel("127.0.0.1:1")
    with pytest.raises(UsageError, match="synchronous"):
        kit.channel(target)
    target.close()
    async with grpc.aio.insecure_channel("127.0.0.1:1") as target, kit.channel("127.0.0.1:1") as ours:
        for given in (target, ours):
            with pytest.raises(UsageError, match="client_interceptors"):
                kit.channel(given)  # type: ignore[arg-type]


async def test_a_synchronous_channel_with_our_interceptors_says_so_at_its_first_call() -> None:
    interceptors: Any = kit.client_interceptors()
    with grpc.insecure_channel("127.0.0.1:1") as plain:
        channel: Any = grpc.intercept_channel(plain, *interceptors)
        with pytest.raises(UsageError, match=r"grpc\.aio\.insecure_channel"):
            channel.unary_unary("/a.B/C")(b"")
        with pytest.raises(UsageError, match="asynchronous"):
            next(channel.unary_stream("/a.B/C")(b""))
        with pytest.raises(UsageError, match="asynchronous"):
            channel.stream_unary("/a.B/C")(iter(()))
        with pytest.raises(UsageError, match="asynchronous"):
            next(channel.stream_stream("/a.B/C")(iter(())))


class Clock:
    """A clock that a callback can move, as one that blocks would."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time

    def wall(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


async def test_a_done_callback_that_blocks_the_loop_is_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()

    def blocks(_call: object) -> None:
        clock.time += 0.5

    async with InProcess(Echo(), add_echo) as process, Channel(process.address, clock=clock) as channel:
        stub = EchoStub(channel)
        for call in (stub.Unary(text()), stub.Unary(text())):
            call.add_done_callback(blocks)
            await call
        stream = stub.Down(text("a b"))
        stream.add_done_callback(blocks)
        assert [message.value async for message in stream] == ["a", "b"]
        assert await stream.code() is grpc.StatusCode.OK
    told = [record.getMessage() for record in caplog.records if "blocked the event loop" in record.getMessage()]
    assert len(told) == 1
    assert "blocks" in told[0]
    assert "500 ms" in told[0]


async def test_calls_at_home_are_not_hindered() -> None:
    async with InProcess(Echo(), add_echo) as process:
        stub = EchoStub(process.channel)
        assert (await stub.Unary(text())).value == "hello"
        assert process.faults.count(UNARY) == 1
        assert [message.value async for message in stub.Down(text("a"))] == ["a"]
        assert process.faults.count(DOWN) == 1
