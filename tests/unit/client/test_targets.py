"""What may be opened."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import kit
from kit.client.endpoints import static_addresses
from kit.discovery import Registry
from kit.errors import ConfigurationError, PolicyError
from kitapi.v1 import policy_pb2
from tests.unit.policy.declared import Rpc, declare


@pytest.mark.parametrize(
    ("target", "addresses"),
    [
        ("h:1", ["h:1"]),
        ("h:1, h:2,h:1", ["h:1", "h:2"]),
        (["h:1", "[::1]:2"], ["h:1", "[::1]:2"]),
        ("dns:///search.example:50051", ["dns:///search.example:50051"]),
        ("unix:/run/search.sock", ["unix:/run/search.sock"]),
        (("127.0.0.1:80",), ["127.0.0.1:80"]),
    ],
)
def test_a_target_is_one_address_a_list_or_a_name_that_grpc_resolves(target: str, addresses: list[str]) -> None:
    assert static_addresses(target) == addresses


@pytest.mark.parametrize("target", ["", "host", "host:", "host:0", "host:65536", "host:x", "a:1,,b:2", "http//a:1", []])
def test_what_is_no_address_is_refused_with_what_to_write(target: str | list[str]) -> None:
    with pytest.raises(ConfigurationError, match="address"):
        static_addresses(target)


@pytest.mark.parametrize("target", ["local:///", "local:search", "local://search"])
async def test_a_local_target_needs_a_name(target: str) -> None:
    with pytest.raises(ConfigurationError, match="local:///name"):
        kit.channel(target)


async def test_a_name_that_no_service_can_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="not a service name"):
        kit.channel("local:///No Such", registry=Registry(tmp_path))


async def test_a_wrong_policy_is_refused_when_the_channel_or_the_stub_is_made() -> None:
    with pytest.raises(PolicyError):
        kit.channel("h:1", policy={"nothing": kit.MethodPolicy(timeout=1.0)})
    path = declare(Rpc(name="Do", policy=policy_pb2.MethodPolicy(cache=policy_pb2.CachePolicy())))
    async with kit.channel("h:1") as channel:
        with pytest.raises(PolicyError, match="cache"):
            channel.unary_unary(f"{path}/Do")


async def test_making_the_same_stub_again_builds_nothing_new() -> None:
    async with kit.channel("h:1") as channel:
        for _ in range(3):
            channel.unary_unary("/a.B/C", str.encode, bytes.decode)
        assert len(channel._methods) == 1


async def test_opening_a_channel_connects_to_nobody() -> None:
    opened: list[object] = []
    server = await asyncio.start_server(lambda *connection: opened.append(connection), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with kit.channel(f"127.0.0.1:{port}") as channel:
        assert channel.target == f"127.0.0.1:{port}"
        channel.unary_unary("/a.B/C")
    server.close()
    await server.wait_closed()
    assert opened == []
