"""Servers are restarted one after the other while they are called: no call fails, and every `finally` runs.

`make faults` does it ten times.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

import grpc
import grpc.aio
import pytest

import kit
from kit.discovery import Registry
from tests.datafiles import ROOT
from tests.integration.client.echo import EchoStub, text
from tests.integration.server.rolling_service import MESSAGES

#: Servers at the same time.
SERVERS = 2
#: Stock channels know one address: they wait for the next process there.
_WAIT = (("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 200))


class Fleet:
    """The server processes."""

    def __init__(self, folder: Path, patience: Sequence[str]) -> None:
        self._folder = folder
        self._patience = patience
        self.registry = Registry(folder / "run" / "registry")
        self.addresses = [f"127.0.0.1:{port}" for port in _free_ports(SERVERS)]
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._started = 0

    async def start(self, address: str) -> None:
        """Returns when it is registered."""
        self._started += 1
        self._running[address] = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "tests.integration.server.rolling_service"),
            *(str(self._folder / f"{self._started}.txt"), address, *self._patience),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env={
                **os.environ,
                "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos' / 'gen'}",
                "KIT_DATA_DIR": str(self._folder),
            },
        )
        async with asyncio.timeout(60), aclosing(self.registry.watch("rolling")) as changes:
            async for instances in changes:
                if any(instance.address == address for instance in instances):
                    return

    async def stop(self, address: str) -> int:
        """SIGTERM; the exit code."""
        process = self._running.pop(address)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(60):
            return await process.wait()

    async def kill(self) -> None:
        for process in self._running.values():
            process.kill()
            await process.wait()

    def records(self) -> Counter[str]:
        """Lines that all processes together have written."""
        return Counter(line for path in self._folder.glob("*.txt") for line in path.read_text().splitlines())


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Load:
    """Callers that each wait for an answer before they call again."""

    def __init__(self) -> None:
        self.succeeded: Counter[str] = Counter()
        self.failed: list[str] = []
        self._over = False
        self._news = asyncio.Event()
        self._callers: list[asyncio.Task[None]] = []

    def call(self, kind: str, make: Callable[[], Awaitable[None]], callers: int) -> None:
        async def again() -> None:
            while not self._over:
                try:
                    await make()
                    self.succeeded[kind] += 1
                    self._news.set()
                except grpc.RpcError as error:
                    self.failed.append(f"{kind}: {error}")
                await asyncio.sleep(0.002)

        self._callers += [asyncio.create_task(again()) for _ in range(callers)]

    async def more(self, calls: int = 20) -> None:
        """Returns when callers of every kind have got some more answers."""
        until = {kind: count + calls for kind, count in self.succeeded.items()}
        async with asyncio.timeout(60):
            while any(self.succeeded[kind] < count for kind, count in until.items()):
                self._news.clear()
                await self._news.wait()

    async def end(self) -> None:
        self._over = True
        await asyncio.gather(*self._callers)


async def test_no_call_fails_and_every_finally_runs_while_servers_are_restarted_one_by_one(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    # In `make test` the machine may be busy with other things, and calls take their time to be handed over.
    often = request.config.getoption("--restarts") >= 10
    fleet, load = Fleet(tmp_path, () if often else ("0.5",)), Load()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(fleet.kill)
        await asyncio.gather(*(fleet.start(address) for address in fleet.addresses))
        # Without a policy nothing is tried again: what is lost is lost.
        bare = kit.MethodPolicy(retry=kit.RetryPolicy(max_attempts=1))
        watching = await stack.enter_async_context(
            kit.channel(fleet.addresses, policy=bare, health=kit.HealthCheck(watch=True, interval=1.0))
        )
        local = await stack.enter_async_context(
            kit.channel("local:///rolling", policy=bare, registry=Registry(tmp_path / "run" / "registry"))
        )
        plain = await stack.enter_async_context(kit.channel(fleet.addresses))
        stock = await stack.enter_async_context(grpc.aio.insecure_channel(fleet.addresses[0], options=_WAIT))
        with_kit = await stack.enter_async_context(
            grpc.aio.insecure_channel(
                fleet.addresses[1], options=_WAIT, interceptors=kit.client_interceptors(policy=bare)
            )
        )

        def unary(channel: grpc.aio.Channel, name: str, **options: bool) -> Callable[[], Awaitable[None]]:
            method = getattr(EchoStub(channel), name)

            async def call() -> None:
                assert (await method(text(name), timeout=30, **options)).value == name

            return call

        def stream(channel: grpc.aio.Channel) -> Callable[[], Awaitable[None]]:
            async def call() -> None:
                assert len([message async for message in EchoStub(channel).Down(text("m"), timeout=30)]) == MESSAGES

            return call

        for kind, channel in (("watching", watching), ("local", local)):
            load.call(kind, unary(channel, "Unsafe"), 3)
            load.call(f"{kind}, stream", stream(channel), 1)
        load.call("idempotent", unary(plain, "Unary"), 3)
        load.call("stock", unary(stock, "Unsafe", wait_for_ready=True), 2)
        load.call("stock with the kit", unary(with_kit, "Unsafe", wait_for_ready=True), 2)

        await watching.wait_for_healthy(30, all_endpoints=True)
        await load.more()
        for number in range(request.config.getoption("--restarts")):
            address = fleet.addresses[number % SERVERS]
            assert await fleet.stop(address) == 0
            await fleet.start(address)
            await watching.wait_for_healthy(30, all_endpoints=True)
            await load.more()
        await load.end()
        for address in fleet.addresses:
            assert await fleet.stop(address) == 0
    print(f"{load.succeeded.total()} calls:", dict(load.succeeded))
    assert load.failed == []
    records = fleet.records()
    assert records["begin"] == records["finally"] == load.succeeded.total()
