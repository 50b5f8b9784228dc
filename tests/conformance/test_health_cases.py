"""grpc.health.v1 as its definition and gRPC's own servers have it, asked by stock clients.

Through all of a kit server's layers, and through the kit's interceptors on a stock server, with grpc's own stub.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

import kit
from kit.health import HealthService
from tests.integration.server.certificates import Ca

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


@dataclass
class Served:
    """A server's health, a stock stub for it, and where it is."""

    health: HealthService
    stub: Any
    address: str
    stop: Any


@asynccontextmanager
async def kit_server() -> AsyncIterator[Served]:
    server = kit.Server("health", register=False, grace=1000.0, health_listen="")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(server.address) as channel:
            yield Served(server.health, health_pb2_grpc.HealthStub(channel), server.address, server.stop)
    finally:
        await server.stop()


@asynccontextmanager
async def stock_server() -> AsyncIterator[Served]:
    server = grpc.aio.server(interceptors=kit.server_interceptors())
    health = HealthService()
    health.register([""])
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()

    async def stop() -> None:
        health.drain()
        health.close()
        await server.stop(1000.0)

    try:
        async with grpc.aio.insecure_channel(address) as channel:
            yield Served(health, health_pb2_grpc.HealthStub(channel), address, stop)
    finally:
        await stop()


@pytest.fixture(params=[kit_server, stock_server], ids=["kit server", "stock server"])
async def served(request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    async with asyncio.timeout(60), request.param() as one:
        one.health.set("pkg.Service", True)
        yield one


def ask(name: str) -> Any:
    return health_pb2.HealthCheckRequest(service=name)


async def test_check_of_the_empty_name_is_the_servers_own_health(served: Served) -> None:
    assert (await served.stub.Check(ask(""))).status == SERVING
    assert (await served.stub.Check(health_pb2.HealthCheckRequest())).status == SERVING


async def test_check_says_what_the_service_is_now(served: Served) -> None:
    assert (await served.stub.Check(ask("pkg.Service"))).status == SERVING
    served.health.set("pkg.Service", False)
    assert (await served.stub.Check(ask("pkg.Service"))).status == NOT_SERVING
    assert (await served.stub.Check(ask(""))).status == SERVING


async def test_check_of_a_service_that_is_not_known_fails_with_not_found(served: Served) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await served.stub.Check(ask("pkg.Nobody"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert "pkg.Nobody" in (caught.value.details() or "")


async def test_watch_sends_the_status_at_once_and_then_each_change(served: Served) -> None:
    watch = served.stub.Watch(ask("pkg.Service"))
    seen = [(await watch.read()).status]
    for said in (False, True, False):
        served.health.set("pkg.Service", said)
        seen.append((await watch.read()).status)
    assert seen == [SERVING, NOT_SERVING, SERVING, NOT_SERVING]
    watch.cancel()


async def test_watch_of_a_service_that_is_not_known_says_so_without_failing_and_tells_when_it_is(
    served: Served,
) -> None:
    watch = served.stub.Watch(ask("pkg.Later"))
    assert (await watch.read()).status == SERVICE_UNKNOWN
    served.health.set("pkg.Later", False)
    assert (await watch.read()).status == NOT_SERVING
    served.health.set("pkg.Later", True)
    assert (await watch.read()).status == SERVING
    watch.cancel()


async def test_watch_leaves_out_what_was_only_in_between(served: Served) -> None:
    watch = served.stub.Watch(ask("pkg.Service"))
    assert (await watch.read()).status == SERVING
    for number in range(1001):
        served.health.set("pkg.Service", bool(number % 2))
    seen = [(await watch.read()).status]
    served.health.set("pkg.Service", True)
    seen.append((await watch.read()).status)
    assert seen == [NOT_SERVING, SERVING]
    watch.cancel()


async def test_many_watches_are_all_told_and_one_that_is_cancelled_disturbs_none(served: Served) -> None:
    watches = [served.stub.Watch(ask("pkg.Service")) for _ in range(50)]
    for watch in watches:
        await watch.read()
    for watch in watches[::2]:
        watch.cancel()
    served.health.set("pkg.Service", False)
    assert [(await watch.read()).status for watch in watches[1::2]] == [NOT_SERVING] * 25
    for watch in watches:
        watch.cancel()


async def left(watch: Any) -> list[Any]:
    """What a stream still says before it ends."""
    answers = []
    while (answer := await watch.read()) is not grpc.aio.EOF:
        answers.append(answer)
    return answers


async def test_watch_streams_end_well_with_a_last_word_and_hold_up_no_stop(served: Served) -> None:
    watches = [served.stub.Watch(ask(name)) for name in ("", "pkg.Service", "pkg.Nobody")]
    for watch in watches:
        await watch.read()
    await served.stop()
    rest = [[answer.status for answer in await left(watch)] for watch in watches]
    assert rest == [[NOT_SERVING], [NOT_SERVING], []]
    assert [await watch.code() for watch in watches] == [grpc.StatusCode.OK] * 3


async def test_list_gives_each_service_with_its_status(served: Served) -> None:
    served.health.set("pkg.Down", False)
    listed = (await served.stub.List(health_pb2.HealthListRequest())).statuses
    assert {"": SERVING, "pkg.Service": SERVING, "pkg.Down": NOT_SERVING}.items() <= {
        name: answer.status for name, answer in listed.items()
    }.items()


async def test_list_of_more_than_a_hundred_services_fails_with_resource_exhausted(served: Served) -> None:
    for number in range(101 - len(served.health.names())):
        served.health.set(f"pkg.S{number}", True)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await served.stub.List(health_pb2.HealthListRequest())
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_request_that_is_none_is_refused_and_the_next_one_is_answered(served: Served) -> None:
    async with grpc.aio.insecure_channel(served.address) as channel:
        raw: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await raw(b"\xff\xff")
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (await served.stub.Check(ask(""))).status == SERVING


def probe(address: str, service: str, credentials: grpc.ChannelCredentials | None = None) -> int:
    """As `grpc_health_probe`: a synchronous client, one Check, an exit status (0 SERVING, 3 failed, 4 not SERVING)."""
    channel = grpc.insecure_channel(address) if credentials is None else grpc.secure_channel(address, credentials)
    with channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(ask(service), timeout=10, wait_for_ready=True)
        except grpc.RpcError:
            return 3
        return 0 if answer.status == SERVING else 4


async def test_a_stock_probe_is_told_by_its_exit_status(served: Served) -> None:
    served.health.set("pkg.Down", False)
    assert [await asyncio.to_thread(probe, served.address, name) for name in ("", "pkg.Down", "pkg.Nobody")] == [
        0,
        4,
        3,
    ]


async def test_a_client_with_grpcs_own_health_checking_leaves_a_server_that_does_not_serve(served: Served) -> None:
    config = '{"healthCheckConfig": {"serviceName": "pkg.Service"}, "loadBalancingConfig": [{"round_robin": {}}]}'
    options = [("grpc.service_config", config), ("grpc.enable_retries", 0)]
    async with grpc.aio.insecure_channel(served.address, options=options) as channel:
        await channel.channel_ready()
        served.health.set("pkg.Service", False)
        while channel.get_state() is grpc.ChannelConnectivity.READY:
            await channel.wait_for_state_change(grpc.ChannelConnectivity.READY)
        served.health.set("pkg.Service", True)
        await channel.channel_ready()


async def test_probes_are_answered_while_a_handler_waits_for_ever(served: Served) -> None:
    # A deadlocked neighbour is no reason for liveness to fail: what hangs is one call.
    hanging = [served.stub.Watch(ask("pkg.Nobody")) for _ in range(100)]
    for one in hanging:
        await one.read()
    assert await asyncio.to_thread(probe, served.address, "") == 0
    for one in hanging:
        one.cancel()


async def test_threads_of_other_clients_may_ask_at_once(served: Served) -> None:
    results: list[int] = []
    threads = [threading.Thread(target=lambda: results.append(probe(served.address, ""))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join, 30)
    assert results == [0] * 8


async def test_a_stock_probe_asks_over_tls_without_a_token_and_over_the_port_for_probes_without_a_certificate(
    tmp_path: Path,
) -> None:
    ca = Ca(tmp_path / "ca")
    pair, client = ca.issue("server", "localhost", "127.0.0.1"), ca.issue("client", "probe.example")
    plain = kit.ServerTls(certificate_chain=pair.chain, private_key=pair.key)
    mutual = kit.ServerTls(certificate_chain=pair.chain, private_key=pair.key, client_ca=ca.root)
    root = ca.root.read_bytes()
    trusting = grpc.ssl_channel_credentials(root)
    known = grpc.ssl_channel_credentials(root, *client.read())
    options: Any = {"register": False, "grace": 0.0, "listen": "127.0.0.1:0"}
    keys = kit.auth.ApiKeys({kit.auth.digest_of("key"): kit.auth.Principal("somebody")})
    async with kit.Server("tls", tls=plain, authenticators=[keys], health_listen="", **options) as server:
        assert await asyncio.to_thread(probe, server.address, "readiness", trusting) == 0
        server.health.set("readiness", False)
        assert await asyncio.to_thread(probe, server.address, "readiness", trusting) == 4
    async with kit.Server("mtls", tls=mutual, health_listen="127.0.0.1:0", **options) as server:
        assert await asyncio.to_thread(probe, server.address, "readiness", known) == 0
        for_probes = f"127.0.0.1:{server.health_port}"
        assert await asyncio.to_thread(probe, for_probes, "readiness") == 0
        async with grpc.aio.insecure_channel(for_probes) as channel:
            other: Any = channel.unary_unary("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await other(b"")
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
