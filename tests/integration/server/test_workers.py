"""Several processes that serve one port, with real processes."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from kit.discovery import Instance, Registry
from tests.datafiles import ROOT
from tests.integration.client.caring import free_address
from tests.integration.server.echo import call

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


class Running:
    """The parent's process."""

    def __init__(self, process: asyncio.subprocess.Process, registry: Registry) -> None:
        self.process = process
        self.registry = registry

    async def registered(self, holds: Callable[[set[int]], bool]) -> Instance:
        """The one entry, once it names workers for which it holds."""
        async with asyncio.timeout(60), aclosing(self.registry.watch("pids", interval=0.02)) as changes:
            async for instances in changes:
                if instances and holds(workers_of(instances[0])):
                    assert len(instances) == 1
                    return instances[0]
        raise AssertionError("the registry is watched for ever")

    async def ended(self) -> int:
        async with asyncio.timeout(60):
            return await self.process.wait()


def workers_of(instance: Instance) -> set[int]:
    return {int(pid) for pid in instance.metadata["workers"].split(",")}


def two(pids: set[int]) -> bool:
    return len(pids) == 2


@asynccontextmanager
async def running(folder: Path, *arguments: str, **env: str) -> AsyncIterator[Running]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "tests.integration.server.worker_service", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos' / 'gen'}",
            "KIT_DATA_DIR": str(folder),
            **env,
        },
    )
    assert process.stderr is not None
    log: list[bytes] = []
    reading = asyncio.create_task(_read(process.stderr, log))
    try:
        yield Running(process, Registry(folder / "run" / "registry"))
    finally:
        if process.returncode is None:
            process.kill()  # the workers see it
            await process.wait()
        await reading
        print(b"".join(log).decode())


async def _read(stream: asyncio.StreamReader, log: list[bytes]) -> None:
    while line := await stream.readline():
        log.append(line)


def connection(address: str) -> grpc.aio.Channel:
    """One of its own: the kernel chooses who gets it."""
    return grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])


async def connections_to(stack: AsyncExitStack, address: str, pids: set[int]) -> dict[int, grpc.aio.Channel]:
    """A connection to each of the workers."""
    found: dict[int, grpc.aio.Channel] = {}
    async with asyncio.timeout(60):
        while found.keys() != pids:
            channel = connection(address)
            (answer,) = await call(channel, "UnaryUnary", wait_for_ready=True)
            if int(answer) in found:
                await channel.close()
            else:
                found[int(answer)] = await stack.enter_async_context(channel)
    return found


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


async def counted(address: str) -> int:
    """Calls of the method that the metrics of all processes tell of."""
    host, _, port = address.rpartition(":")
    async with asyncio.timeout(30):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /metrics HTTP/1.1\r\n\r\n")
        text = (await reader.read()).decode()
        writer.close()
    counts = re.findall(
        r'^rpc_server_call_duration_seconds_count\{.*"test\.Echo/UnaryUnary".*\} (\d+)', text, re.MULTILINE
    )
    return sum(int(count) for count in counts)


async def test_two_processes_serve_one_port_under_one_name_and_end_with_their_parent(tmp_path: Path) -> None:
    scraped = free_address()
    async with running(tmp_path, "--workers", "2", METRICS=scraped) as parent, AsyncExitStack() as stack:
        instance = await parent.registered(two)
        pids = workers_of(instance)
        assert instance.pid == parent.process.pid
        assert parent.process.pid not in pids
        channels = await connections_to(stack, instance.address, pids)
        before = await counted(scraped)
        for channel in channels.values():
            await call(channel, "UnaryUnary")
        assert await counted(scraped) == before + 2 >= 4
        parent.process.send_signal(signal.SIGTERM)
        assert await parent.ended() == 0
        assert all(gone(pid) for pid in pids)
        assert parent.registry.lookup("pids") == []


async def test_a_worker_that_dies_or_hangs_is_replaced_and_the_other_serves(tmp_path: Path) -> None:
    async with running(tmp_path, KIT_WORKERS="2", IMPATIENT="1") as parent:
        instance = await parent.registered(two)
        for number in (signal.SIGKILL, signal.SIGSTOP):
            before = workers_of(await parent.registered(two))
            victim = min(before)
            os.kill(victim, number)
            instance = await parent.registered(lambda pids, victim=victim: two(pids) and victim not in pids)  # type: ignore[misc]
            assert workers_of(instance) & before == before - {victim}
            assert gone(victim)


async def test_a_hangup_replaces_the_workers_one_by_one_and_no_call_fails(tmp_path: Path) -> None:
    async with running(tmp_path, "--workers=2") as parent, AsyncExitStack() as stack:
        instance = await parent.registered(two)
        old = workers_of(instance)
        over, answered = asyncio.Event(), set()

        async def caller(channel: grpc.aio.Channel) -> None:
            while not over.is_set():
                answered.update(await call(channel, "UnaryUnary", wait_for_ready=True))

        channels = await connections_to(stack, instance.address, old)
        callers = [asyncio.create_task(caller(channel)) for channel in channels.values()]
        parent.process.send_signal(signal.SIGHUP)
        await parent.registered(lambda pids: two(pids) and not pids & old)
        over.set()
        await asyncio.gather(*callers)
        assert {str(pid) for pid in old} <= answered
        assert len(answered) > 2
        parent.process.send_signal(signal.SIGTERM)
        assert await parent.ended() == 0


async def test_a_probe_of_any_worker_tells_the_readiness_of_all(tmp_path: Path) -> None:
    async with running(tmp_path, "--workers", "2") as parent, AsyncExitStack() as stack:
        instance = await parent.registered(two)
        first, second = (await connections_to(stack, instance.address, workers_of(instance))).values()
        watches: list[Any] = [
            health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service="readiness"))
            for channel in (first, second)
        ]
        async with asyncio.timeout(30):
            for watch in watches:
                while (await watch.read()).status != SERVING:
                    pass
            await call(first, "UnaryUnary", "unready")
            for watch in watches:
                assert (await watch.read()).status == NOT_SERVING
                watch.cancel()
            for channel in (first, second):
                live = health_pb2.HealthCheckRequest(service="liveness")
                assert (await health_pb2_grpc.HealthStub(channel).Check(live)).status == SERVING


@pytest.mark.parametrize(
    ("arguments", "env", "said"),
    [
        ((), {"KIT_WORKERS": "many"}, "KIT_WORKERS"),
        (("--workers", "0"), {}, "--workers"),
        (("--workers", "2"), {"KIT_LISTEN": "nowhere.invalid:1"}, "cannot be listened on"),
        (("--workers", "2"), {"KIT_HEALTH_LISTEN": "127.0.0.1:0"}, "a port that all of them know"),
    ],
)
async def test_what_is_configured_wrongly_ends_the_parent_with_2(
    tmp_path: Path, arguments: tuple[str, ...], env: dict[str, str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(tmp_path, *arguments, **env) as parent:
        assert await parent.ended() == 2
    assert said in capsys.readouterr().out
