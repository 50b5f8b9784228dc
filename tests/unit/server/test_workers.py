"""How many processes serve, which of them this one is, and who may not have others."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import kit
from kit.errors import ConfigurationError
from kit.observe import metrics
from kit.recovery import ChildEvent, ChildState
from kit.server import _worker
from kit.server._reserved import reserved
from kit.server._run import _workers as asked
from kit.server._worker import VARIABLE, Worker, processes
from kit.server._worker_link import Link
from kit.server._workers import Workers
from kit.server.idempotency import MemoryStore
from tests.integration.server.idempotency.shop import Shop, add_shop, declared


def test_arguments_go_before_code_and_code_before_the_environment() -> None:
    env = {"KIT_WORKERS": "4"}
    assert asked(["--workers", "2"], 3, env) == 2
    assert asked([], 3, env) == 3
    assert asked(None, None, env) == 4
    assert asked(None, None, {}) == asked([], None, {"KIT_WORKERS": ""}) == 1


@pytest.mark.parametrize("wrong", ["0", "-1", "2.5", "many", "257", "²"])
def test_a_number_of_processes_that_makes_no_sense_is_refused_by_name(wrong: str) -> None:
    with pytest.raises(ConfigurationError, match="KIT_WORKERS"):
        asked(None, None, {"KIT_WORKERS": wrong})
    with pytest.raises(ConfigurationError, match="--workers"):
        asked([f"--workers={wrong}"], None, {})


def test_a_worker_knows_itself_and_what_it_starts_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_worker, "_count", 1)
    worker = Worker(number=1, count=3, port=50051, socket="/tmp/with/slashes")
    environ = {VARIABLE: worker.variable(), "PATH": "/bin"}
    assert processes() == 1
    assert Worker.taken(environ) == worker
    assert processes() == 3
    assert environ == {"PATH": "/bin"}
    assert Worker.taken(environ) is None


def test_nonsense_in_the_variable_of_a_worker_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="KIT_WORKER"):
        Worker.taken({VARIABLE: "one of many"})


def test_a_server_that_must_be_alone_says_why() -> None:
    server = kit.Server("cache", register=False, single_process="what it keeps is in its memory")
    with pytest.raises(ConfigurationError, match="cache cannot have 2 workers: what it keeps is in its memory"):
        Workers(server, 2)


def test_a_health_port_that_the_system_picks_is_nobody_elses() -> None:
    with pytest.raises(ConfigurationError, match="all of them know"):
        Workers(kit.Server("a", register=False, health_listen="127.0.0.1:0"), 2)


def test_keys_that_are_kept_in_memory_cannot_be_shared(tmp_path: Path) -> None:
    def shop(store: Any) -> kit.Server:
        return kit.Server("shop", register=False, policy=declared(), idempotency=store).add(Shop(), add_shop)

    with pytest.raises(ConfigurationError, match="2 workers"):
        Workers(shop(MemoryStore()), 2)
    Workers(shop(f"sqlite:///{tmp_path}/keys.db"), 2)


def test_a_rate_is_that_of_all_processes_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_worker, "_count", 4)
    server = kit.Server("shop", register=False, policy={"*": kit.MethodPolicy(rate=kit.RatePolicy(per_second=100.0))})
    server.add(Shop(), add_shop)
    limits = [server._admit._known(method).rate for method in server._methods()]
    assert [limit.per_second for limit in limits if limit is not None] == [25.0] * 3


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "localhost:0", "0.0.0.0:0", "[::1]:0"])
def test_a_reserved_port_is_shared_with_those_who_say_so_and_with_nobody_else(listen: str) -> None:
    if "::" in listen and not socket.has_ipv6:
        pytest.skip("IPv6 is not here")
    with reserved(listen) as port:
        family = socket.AF_INET6 if "::" in listen else socket.AF_INET
        host = {"localhost": "127.0.0.1"}.get(listen.rpartition(":")[0], listen.rpartition(":")[0].strip("[]"))
        with socket.socket(family) as other, pytest.raises(OSError, match="in use"):
            other.bind((host, port))
        with socket.socket(family) as worker:
            worker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            worker.bind((host, port))


def test_the_closed_connections_of_a_former_server_do_not_keep_its_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as former:
        host, port = former.getsockname()
        with socket.create_connection((host, port)) as client:
            accepted, _ = former.accept()
            # Who closes first keeps the address for a minute, in TIME_WAIT.
            accepted.close()
            assert client.recv(1) == b""
    with reserved(f"{host}:{port}") as held:
        assert held == port


def test_a_port_of_others_who_share_it_is_taken_all_the_same() -> None:
    with reserved("127.0.0.1:0") as port, pytest.raises(ConfigurationError, match="is the port taken"):
        reserved(f"127.0.0.1:{port}").__enter__()


async def test_workers_that_are_configured_wrongly_end_their_parent_with_2_and_those_that_crash_with_1() -> None:
    parent = Workers(kit.Server("a", register=False), 2)
    parent._happened(ChildEvent(child="a-0", state=ChildState.EXITED, exit_code=1))
    parent._happened(ChildEvent(child="a-0", state=ChildState.RESTARTING, restarts=4))
    assert not parent._stop.is_set()
    parent._happened(ChildEvent(child="a-0", state=ChildState.RESTARTING, restarts=5))
    assert (parent._stop.is_set(), parent._code) == (True, 1)
    parent = Workers(kit.Server("a", register=False), 2)
    parent._happened(ChildEvent(child="a-0", state=ChildState.EXITED, exit_code=2))
    assert (parent._stop.is_set(), parent._code) == (True, 2)


async def test_the_command_of_this_process_is_what_starts_a_worker() -> None:
    child = Workers(kit.Server("a", register=False), 2)._child(1, 50051, "/tmp/socket")
    assert list(child.argv) == [sys.executable, *sys.orig_argv[1:]]
    assert child.env is not None
    assert child.env[VARIABLE] == "1/2/50051//tmp/socket"


def counted(value: float) -> dict[str, Any]:
    """What a worker says of its metrics."""
    series = {"labels": {}, "value": value}
    return {"pid": 1, "families": [{"name": "a", "kind": "counter", "help": "", "unit": "", "series": [series]}]}


@asynccontextmanager
async def joined(parent: Workers, number: int, pid: int, value: float) -> AsyncIterator[Link]:
    """The worker's end of a worker that the parent knows of."""
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    running = asyncio.create_task(parent._joined(*await asyncio.open_unix_connection(sock=theirs)))
    link = Link(reader, writer, {"metrics": lambda: counted(value)}, lambda *_: None)
    link.tell("state", {"number": number, "pid": pid, "ready": True, "draining": False})
    reading = asyncio.create_task(link.run())
    async with asyncio.timeout(30):
        while parent._states.get(number, {}).get("pid") != pid:
            await parent._change()
        yield link
        link.close()
        await asyncio.gather(running, reading)


async def test_what_a_replaced_worker_has_counted_goes_on_being_counted() -> None:
    async def total() -> float:
        families = metrics.merge(await parent.snapshots())["families"]
        return next(float(family["series"][0]["value"]) for family in families if family["name"] == "a")

    parent = Workers(kit.Server("a", register=False), 2)
    async with joined(parent, 0, 11, 3.0) as first, joined(parent, 1, 12, 4.0):
        assert await total() == 7.0
        await first.leave("left", counted(3.0))
    async with joined(parent, 1, 13, 1.0):
        assert await total() == 4.0
