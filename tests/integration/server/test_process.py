"""A service as a process of its own: signals, the parent's end, exit codes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc_health.v1 import health_pb2, health_pb2_grpc

from kit.discovery import Registry
from tests.datafiles import ROOT
from tests.integration.server.echo import SERVICE, call, start_call


@dataclass
class Running:
    """The process and a stock channel to it."""

    process: asyncio.subprocess.Process
    channel: grpc.aio.Channel

    async def unready(self) -> None:
        """Returns when the service says that it takes no more calls."""
        watch: Any = health_pb2_grpc.HealthStub(self.channel).Watch(health_pb2.HealthCheckRequest(service="readiness"))
        while (await watch.read()).status != health_pb2.HealthCheckResponse.NOT_SERVING:
            pass
        watch.cancel()

    async def ended(self) -> tuple[int, str]:
        """Exit code and standard output."""
        out, _ = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, out.decode()


@asynccontextmanager
async def service(
    data: Path, *, parent_fd: int | None = None, module: str = "echo_service", **env: str
) -> AsyncIterator[Running]:
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos' / 'gen'}",
        "KIT_DATA_DIR": str(data),
        **env,
    }
    if parent_fd is not None:
        environment["KIT_PARENT_FD"] = str(parent_fd)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", f"tests.integration.server.{module}"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=environment,
        pass_fds=() if parent_fd is None else (parent_fd,),
    )
    try:
        async with asyncio.timeout(60):
            registry = Registry(data / "run" / "registry")
            async with aclosing(registry.watch("echo")) as changes:
                async for instances in changes:
                    if instances:
                        break
            async with grpc.aio.insecure_channel(instances[0].address) as channel:
                yield Running(process, channel)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def test_sigterm_lets_a_stream_in_flight_end_and_exits_with_0(tmp_path: Path) -> None:
    async with service(tmp_path, KIT_DRAIN_DELAY="0.2") as running:
        make: Any = running.channel.stream_stream
        stub = make(f"/{SERVICE}/ReadWrite", StringValue.SerializeToString, StringValue.FromString)
        stream = stub()
        await stream.write(StringValue(value="a"))
        assert (await stream.read()).value == "a"
        running.process.send_signal(signal.SIGTERM)
        await running.unready()
        await stream.write(StringValue(value="b"))
        assert (await stream.read()).value == "b"
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF
        assert await running.ended() == (0, "ended: ReadWrite\n")


async def test_the_same_signal_again_hastens_the_stop(tmp_path: Path) -> None:
    async with service(tmp_path, KIT_DRAIN_DELAY="1000") as running:
        started = start_call(running.channel, "UnaryWrite", "wait")
        assert (await started.read()).value == "wait"
        running.process.send_signal(signal.SIGINT)
        await running.unready()
        running.process.send_signal(signal.SIGINT)
        assert await running.ended() == (0, "ended: UnaryWrite\n")


async def test_a_handler_in_a_thread_that_never_ends_does_not_hold_up_the_end_of_the_process(tmp_path: Path) -> None:
    async with service(tmp_path, module="stuck_service") as running:
        stuck = start_call(running.channel, "UnaryStream", "x")
        assert await stuck.read() == StringValue(value="x")
        running.process.terminate()
        async with asyncio.timeout(30):
            assert (await running.ended())[0] == 0


async def test_a_service_whose_parent_is_gone_ends_soon(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    try:
        async with service(tmp_path, parent_fd=read_end, KIT_DRAIN_DELAY="1000") as running:
            started = start_call(running.channel, "UnaryWrite", "wait")
            assert (await started.read()).value == "wait"
            os.close(write_end)
            assert await running.ended() == (0, "ended: UnaryWrite\n")
    finally:
        os.close(read_end)


async def test_a_crashed_background_task_ends_the_process_with_1(tmp_path: Path) -> None:
    async with service(tmp_path) as running:
        assert await call(running.channel, "UnaryUnary", "crash") == ["crash"]
        code, _ = await running.ended()
        assert code == 1


async def test_a_process_that_cannot_listen_ends_with_2(tmp_path: Path) -> None:
    async with service(tmp_path) as running:
        (instance,) = Registry(tmp_path / "run" / "registry").lookup("echo")
        second = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "tests.integration.server.echo_service"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={
                **os.environ,
                "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos' / 'gen'}",
                "KIT_DATA_DIR": str(tmp_path),
                "KIT_LISTEN": instance.address,
            },
        )
        _, log = await second.communicate()
        assert second.returncode == 2
        assert b"is the port taken" in log
        running.process.terminate()
        assert (await running.ended())[0] == 0


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"KIT_WORKERS": "0"}, "KIT_WORKERS"), ({"KIT_DATA_DIR": "/dev/null/data"}, "KIT_DATA_DIR names another")],
)
async def test_a_wrong_environment_is_one_line_of_the_log_and_ends_with_2(
    tmp_path: Path, wrong: dict[str, str], said: str
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "tests.integration.server.echo_service"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos' / 'gen'}",
            "KIT_DATA_DIR": str(tmp_path),
            "KIT_LISTEN": "127.0.0.1:0",
            "KIT_LOG_FORMAT": "json",
            **wrong,
        },
    )
    _, log = await process.communicate()
    assert process.returncode == 2
    line = json.loads(log)
    assert line["event"] == "configured wrongly"
    assert said in line["error"]
