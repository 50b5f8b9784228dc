"""What may be looked up, and what this machine answers."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

import kit
from kit.client._dns import DnsName, dns_name, resolve
from kit.errors import ConfigurationError


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("dns:///search.example:50051", DnsName("search.example", 50051, "search.example:50051")),
        ("dns:search:1", DnsName("search", 1, "search:1")),
        ("dns:/search:1", DnsName("search", 1, "search:1")),
        ("dns:///search", DnsName("search", 443, "search")),
        ("dns:///[::1]:80", DnsName("::1", 80, "[::1]:80")),
        ("search:1", None),
        ("ipv4:1.2.3.4:1", None),
    ],
)
def test_a_dns_target_is_a_host_and_a_port(target: str, name: DnsName | None) -> None:
    assert dns_name(target) == name


@pytest.mark.parametrize("target", ["dns:///", "dns:", "dns:///h:0", "dns:///h:65536", "dns:///::1", "dns:///h:https"])
async def test_what_cannot_be_looked_up_is_refused_when_the_channel_is_opened(target: str) -> None:
    with pytest.raises(ConfigurationError, match="dns:///host:port"):
        kit.channel(target)


@pytest.mark.parametrize("target", ["dns://8.8.8.8/search:1", ["h:1", "dns://8.8.8.8/search:1"]])
async def test_a_dns_server_in_the_target_is_refused_with_the_reason_and_what_to_write(target: str | list[str]) -> None:
    with pytest.raises(ConfigurationError, match=r"names a DNS server, 8\.8\.8\.8.*write \"dns:///search:1\""):
        kit.channel(target)


async def test_addresses_are_unique_and_those_of_ipv6_are_bracketed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer(host: str, port: int, **_: Any) -> list[Any]:
        assert (host, port) == ("search", 5)
        stream = socket.SOCK_STREAM
        return [
            (socket.AF_INET6, stream, 6, "", ("::1", 5, 0, 0)),
            (socket.AF_INET, stream, 6, "", ("127.0.0.1", 5)),
            (socket.AF_INET, stream, 6, "", ("127.0.0.1", 5)),
        ]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", answer)
    assert await resolve("search", 5) == ["[::1]:5", "127.0.0.1:5"]


async def test_this_machine_knows_itself() -> None:
    assert await resolve("127.0.0.1", 5) == ["127.0.0.1:5"]


async def test_a_name_behind_a_proxy_is_left_to_grpc_which_gives_it_to_the_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    async with kit.channel("dns:///search.example:1") as channel:
        assert [endpoint.address for endpoint in channel._endpoints.all] == ["dns:///search.example:1"]
    monkeypatch.setenv("no_proxy", ".example")
    async with kit.channel("dns:///search.example:1") as channel:
        assert channel._endpoints.all == []
