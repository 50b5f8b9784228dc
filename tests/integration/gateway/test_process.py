"""`python -m gateway` as a process: how it starts, is found, and stops."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import grpc.aio
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from gateway.server import listen
from kit.discovery import Registry
from kit.errors import ConfigurationError
from kitapi.v1 import ops_pb2, ops_pb2_grpc
from tests.datafiles import ROOT
from tests.integration.gateway.door import Upstream, lines
from tests.unit.gateway import shelf


@contextlib.asynccontextmanager
async def _running(
    folder: Path, env: Mapping[str, str], pass_fds: tuple[int, ...] = ()
) -> AsyncIterator[tuple[asyncio.subprocess.Process, Upstream]]:
    upstream = Upstream()
    await upstream.start()
    (folder / "shelf.binpb").write_bytes(shelf.descriptor_set())
    (folder / "gateway.toml").write_text(
        f'[[services]]\nname = "shelf"\ntarget = "{upstream.address}"\ndescriptor_set = "shelf.binpb"\n'
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "gateway", str(folder / "gateway.toml")),
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos' / 'gen'}",
            "KIT_DATA_DIR": str(folder / "data"),
            "KIT_GATEWAY_PORT": "0",
            **env,
        },
        stderr=asyncio.subprocess.PIPE,
        pass_fds=pass_fds,
    )
    try:
        yield process, upstream
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await upstream.stop()


async def _url(process: asyncio.subprocess.Process) -> str:
    """The address that it says in its log."""
    assert process.stderr is not None
    async with asyncio.timeout(30):
        async for line in process.stderr:
            entry: dict[str, Any] = json.loads(line)
            if entry.get("event") == "serving" and "url" in entry:
                return str(entry["url"])
    raise AssertionError("it never said where it serves")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_streams_with_a_record_and_the_process_with_zero(
    tmp_path: Path, number: signal.Signals
) -> None:
    async def hang(request: Any, context: Any) -> AsyncIterator[Any]:
        yield shelf.message("Found")
        await asyncio.Event().wait()

    async with _running(tmp_path, {}) as (process, upstream):
        upstream.handlers["Tail"] = hang
        url = await _url(process)
        registry = Registry(tmp_path / "data" / "run" / "registry")
        assert [f"http://{one.address}/" for one in registry.lookup("gateway")] == [url]
        async with (
            asyncio.timeout(30),
            httpx.AsyncClient(base_url=url, trust_env=False) as client,
            client.stream("GET", "/v1/books:tail") as answer,
        ):
            arriving = lines(answer)
            assert "book" not in json.loads(await anext(arriving))
            process.send_signal(number)
            last = json.loads(await anext(arriving))
            assert last["error"]["reason"] == "GATEWAY_STOPPING"
            assert await process.wait() == 0
        assert registry.lookup("gateway") == []


async def test_a_request_in_flight_is_answered_before_the_end(tmp_path: Path) -> None:
    began, release = asyncio.Event(), asyncio.Event()

    async def slow(request: Any, context: Any) -> Any:
        began.set()
        await release.wait()
        return shelf.message("Book", title="late")

    async with _running(tmp_path, {}) as (process, upstream):
        upstream.handlers["GetBook"] = slow
        url = await _url(process)
        async with asyncio.timeout(30), httpx.AsyncClient(base_url=url, trust_env=False) as client:
            asking = asyncio.create_task(client.get("/v1/books/b"))
            await began.wait()
            process.send_signal(signal.SIGTERM)
            assert process.stderr is not None
            async for line in process.stderr:
                if b'"stopping"' in line:
                    break
            release.set()
            assert (await asking).json()["title"] == "late"
            assert await process.wait() == 0


async def test_it_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    read, write = os.pipe()
    async with _running(tmp_path, {"KIT_PARENT_FD": str(read)}, pass_fds=(read,)) as (process, _):
        os.close(read)
        await _url(process)
        os.close(write)
        async with asyncio.timeout(30):
            assert await process.wait() == 0


async def test_a_port_that_is_taken_is_said_and_the_process_ends_with_two(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        async with _running(tmp_path, {"KIT_GATEWAY_PORT": port}) as (process, _):
            async with asyncio.timeout(30):
                _, errors = await process.communicate()
            assert process.returncode == 2
            assert f"cannot listen on port {port}" in errors.decode()
            assert "KIT_GATEWAY_PORT" in errors.decode()


async def test_a_service_that_cannot_be_imported_is_named(tmp_path: Path) -> None:
    async with _running(tmp_path, {}) as (process, _):
        process.kill()
        await process.wait()
    (tmp_path / "gateway.toml").write_text('[[services]]\nname = "a"\nmodules = ["no.such_pb2"]\n')
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "gateway", str(tmp_path / "gateway.toml")),
        env={"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos' / 'gen'}", "KIT_DATA_DIR": str(tmp_path)},
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await process.communicate()
    assert process.returncode == 2
    assert "services[0].modules[0]: no.such_pb2 cannot be imported" in errors.decode()


def test_connections_do_not_wait_to_fill_a_packet() -> None:
    """Otherwise an answer waits 40 ms for the acknowledgement of its headers."""
    with listen("127.0.0.1", 0) as sock, socket.create_connection(sock.getsockname()) as client:
        accepted, _ = sock.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert client.fileno() > 0


def test_an_address_that_is_not_this_machines_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"cannot listen on port 0 of 192\.0\.2\.1"):
        listen("192.0.2.1", 0)


async def test_it_tells_of_itself_over_grpc_as_every_process_does(tmp_path: Path) -> None:
    async with _running(tmp_path, {}) as (process, upstream):
        await _url(process)
        [instance] = Registry(tmp_path / "data" / "run" / "registry").lookup("gateway")
        async with grpc.aio.insecure_channel(instance.metadata["grpc"]) as channel:
            ops = ops_pb2_grpc.OpsServiceStub(channel)
            told = await ops.GetProcess(ops_pb2.GetProcessRequest())
            assert (told.name, told.pid) == ("gateway", process.pid)
            endpoints = (await ops.ListEndpoints(ops_pb2.ListEndpointsRequest())).endpoints
            assert [one.address for one in endpoints] == [upstream.address]
            health = health_pb2_grpc.HealthStub(channel)
            answer = await health.Check(health_pb2.HealthCheckRequest(service="liveness"))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
