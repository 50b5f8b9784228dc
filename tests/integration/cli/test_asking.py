"""The commands that ask a running process: what they print, and how they end."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import grpc
import pytest
from click.testing import CliRunner

from kit import events
from kit.cli import main
from kit.events import MemoryBus
from kit.server import Server, ServerTls
from kit.server.auth import ApiKeys, Principal, digest_of
from kitapi.v1 import events_pb2
from tests.integration.cli.program import ask, kit
from tests.integration.ops.shop import BUSY, TAKE, shop
from tests.integration.server.certificates import Ca

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


async def test_what_a_process_is_asked_is_a_table_for_people_and_json_for_programs() -> None:
    async with shop() as it:
        it.faults.script(TAKE, [BUSY] * 3)
        assert await it.buy() is UNAVAILABLE
        address, store = it.server.address, it.store.address
        names = ("breakers", "endpoints", "limits", "calls", "policies")
        said = dict(zip(names, await asyncio.gather(*(ask(name, address) for name in names)), strict=True))
        assert {name: (one.code, one.err) for name, one in said.items()} == dict.fromkeys(names, (0, ""))
        breaker = next(line for line in said["breakers"].out.splitlines() if store in line).split()
        assert breaker[:3] == [store, store, "OPEN"]
        assert said["breakers"].out.splitlines()[0].split()[:3] == ["TARGET", "ENDPOINT", "STATE"]
        assert any(line.split()[:3] == [store, store, "READY"] for line in said["endpoints"].out.splitlines())
        assert any(store in line and " 7 " in line for line in said["limits"].out.splitlines())
        call = said["calls"].out.splitlines()[1]
        assert TAKE[1:] in call
        assert call.endswith("busy")
        assert any(line.startswith("served") and "timeout=9s" in line for line in said["policies"].out.splitlines())
        listed = await ask("breakers", "--json", address)
        assert listed.code == 0, listed.err
        objects = [json.loads(line) for line in listed.out.splitlines()]
        (mine,) = [one for one in objects if one["target"] == store]
        assert (mine["state"], mine["failures"], mine["methods"]) == ("OPEN", "3", [TAKE[1:]])


async def test_events_up_to_now_and_as_they_come() -> None:
    async with shop() as it:
        with events.use(MemoryBus()):
            events.publish(events_pb2.CacheHit(key="k", service="s"), subject="caches/k")
            events.publish(events_pb2.CacheMiss(key="k", service="s"), subject="caches/k")
            past = await ask("events", "--no-follow", it.server.address)
            assert past.code == 0, past.err
            assert [line.split()[0] for line in past.out.splitlines()] == ["1", "2"]
            assert "CacheHit  caches/k  key=k, service=s" in past.out
            chosen = await ask("events", "--no-follow", "--json", "--type", "CacheMiss", it.server.address)
            (event,) = [json.loads(line) for line in chosen.out.splitlines()]
            assert event["payload"] == {"@type": "type.googleapis.com/kitapi.v1.CacheMiss", "key": "k", "service": "s"}
            following = asyncio.ensure_future(ask("events", "--after", "1", it.server.address))
            async with asyncio.timeout(60):
                while it.server.in_flight == 0:
                    await asyncio.wait([following], timeout=0.05)
                await it.server.stop(5)
                said = await following
            assert said.code == 0, said.err
            assert "DrainBegun  servers/shop" in said.out
            assert "the server is stopping" in said.err


async def test_a_breaker_is_set_by_who_may() -> None:
    keys = ApiKeys({digest_of("secret"): Principal("operator", frozenset({"ops.write"}))})
    async with shop(authenticators=[keys]) as it:
        key = ("-H", "x-api-key: secret")
        assert await it.buy(metadata=(("x-api-key", "secret"),)) is grpc.StatusCode.OK
        arguments = ("breakers", it.server.address, "--open", it.store.address, "--hold", "--reason", "night")
        nobody, opened = await asyncio.gather(ask(*arguments), ask(*arguments, *key))
        assert nobody.code == 1
        assert "UNAUTHENTICATED" in nobody.err
        assert opened.code == 0, opened.err
        assert opened.out.splitlines()[1].endswith("night (operator)")
        closed = await ask("breakers", it.server.address, "--close", it.store.address, *key)
        assert "CLOSED" in closed.out


async def test_a_server_with_tls_is_asked_with_its_authority(tmp_path: Path) -> None:
    ca = Ca(tmp_path / "ca")
    pair, client = ca.issue("server", "127.0.0.1"), ca.issue("client", "operator.example")
    tls = ServerTls(
        certificate_chain=pair.chain,
        private_key=pair.key,
        client_ca=ca.root,
        allowed_names=["operator.example"],
    )
    server = Server("guarded", tls=tls, register=False, grace=0.0)
    async with server:
        shown = ("--cert", str(client.chain), "--key", str(client.key))
        known, plain = await asyncio.gather(
            ask("limits", server.address, "--ca", str(ca.root), *shown), kit("limits", server.address)
        )
    assert known.code == 0, known.err
    assert known.out.startswith("TARGET")
    assert plain.code == 2
    assert "TLS" in plain.err


async def test_who_cannot_be_asked_is_named_with_what_to_do(tmp_path: Path) -> None:
    async with shop(admin=False) as it:
        address = it.server.address
        silent, unknown = await asyncio.gather(
            ask("breakers", address), ask("calls", "nobody", KIT_DATA_DIR=str(tmp_path))
        )
        assert silent.code == 1
        assert "does not tell of itself" in silent.err
        assert unknown.code == 1
        assert "no nobody is in the local registry" in unknown.err
    gone, followed = await asyncio.gather(kit("limits", address), kit("events", address))
    assert (gone.code, followed.code) == (2, 2)
    assert gone.err.startswith(f"{address}: UNAVAILABLE")
    assert "Traceback" not in gone.err + followed.err


async def test_ports_of_another_process_s_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIT_DATA_DIR", str(tmp_path))
    async with shop(register=True) as it:
        there, by_name = await asyncio.gather(ask("ports", it.server.address), ask("ports", "--json", "shop"))
        assert there.code == 0, there.err
        assert there.out.splitlines()[1].split()[:4] == ["shop", it.server.address, str(os.getpid()), "yes"]
        assert json.loads(by_name.out)["healthy"] is True


async def test_free_ports_are_found(tmp_path: Path) -> None:
    said = await kit("ports", "--free", "3", KIT_DATA_DIR=str(tmp_path))
    assert len({int(line) for line in said.out.splitlines()}) == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ("breakers", "x:1", "--open", "a", "--close", "b"),
        ("breakers", "x:1", "--hold"),
        ("calls", "x:1", "-H", "what"),
        ("calls", "x:1", "--cert", __file__),
        ("calls", "x:1", "-n", "0"),
    ],
)
def test_a_mistake_is_said_before_anybody_is_asked(arguments: tuple[str, ...]) -> None:
    said = CliRunner().invoke(main, arguments)
    assert said.exit_code == 2
    assert "Usage:" in said.output
