"""The checks that are ready to be used, of this machine."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from kit.errors import ConfigurationError
from kit.health import DiskSpace, Finding, GrpcHealth, Health, HealthLayer, OpenFiles, TcpPort

Usage = namedtuple("Usage", "total used free")  # noqa: PYI024 - as shutil has it
MIB = 1 << 20


@pytest.mark.parametrize(
    ("free", "status"),
    [
        (15 * MIB, Health.UNHEALTHY),
        (16 * MIB, Health.DEGRADED),
        (255 * MIB, Health.DEGRADED),
        (256 * MIB, Health.HEALTHY),
    ],
)
async def test_room_on_a_disk_is_judged_by_what_is_free(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: int, status: Health
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1000 * MIB, 0, free))
    found = await DiskSpace(tmp_path)()
    assert found.status is status
    assert found.details == {"free_bytes": str(free), "total_bytes": str(1000 * MIB)}
    assert found.message.startswith(f"{free // MIB} MiB are free at {tmp_path}")


async def test_a_folder_that_is_not_there_yet_stands_for_the_one_above_it(tmp_path: Path) -> None:
    found = await DiskSpace(tmp_path / "not" / "yet", low=1, minimum=1)()
    assert found.details["total_bytes"] == str(shutil.disk_usage(tmp_path).total)


async def test_a_disk_that_hangs_holds_up_neither_the_loop_nor_the_check_that_is_cancelled(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    entered, let_go = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def hang(_: object) -> Usage:
        loop.call_soon_threadsafe(entered.set)
        assert let_go.wait(30)
        return Usage(1, 1, 0)

    monkeypatch.setattr(shutil, "disk_usage", hang)
    asking = asyncio.ensure_future(DiskSpace(tmp_path)())
    async with asyncio.timeout(10):
        await entered.wait()
    (thread,) = (one for one in threading.enumerate() if one.name == "health check")
    assert thread.daemon
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    let_go.set()
    thread.join(10)
    # What comes too late is dropped.
    await asyncio.sleep(0)


async def test_what_the_system_raises_is_raised_by_the_check(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(_: object) -> Usage:
        raise OSError("broken")

    monkeypatch.setattr(shutil, "disk_usage", broken)
    with pytest.raises(OSError, match="broken"):
        await DiskSpace(tmp_path)()


async def test_open_files_are_counted_as_a_share_of_what_may_be_open(monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    check = OpenFiles()
    found = await check()
    descriptor = os.open(os.devnull, os.O_RDONLY)
    try:
        assert int((await check()).details["open"]) == int(found.details["open"]) + 1
    finally:
        os.close(descriptor)
    count = int((await check()).details["open"])
    seen = []
    for limit in (count * 2, int(count / 0.9), count, resource.RLIM_INFINITY):
        monkeypatch.setattr(resource, "getrlimit", lambda _, limit=limit: (limit, limit))
        seen.append((await check()).status)
    assert seen == [Health.HEALTHY, Health.DEGRADED, Health.UNHEALTHY, Health.HEALTHY]


async def test_a_port_is_open_while_somebody_listens_there() -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        check = TcpPort(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
        await check()
    with pytest.raises(OSError, match=r"refused|failed"):
        await check()


def test_each_check_knows_what_it_is_about() -> None:
    assert (DiskSpace("/data").layer, DiskSpace("/data").endpoint) == (HealthLayer.MACHINE, "/data")
    assert OpenFiles().layer is HealthLayer.MACHINE
    assert (TcpPort("db:5432").layer, TcpPort("db:5432").endpoint) == (HealthLayer.PORTS, "db:5432")
    assert (GrpcHealth("h:1").layer, GrpcHealth("h:1").endpoint) == (HealthLayer.SERVICES, "h:1")
    assert GrpcHealth(lambda: None).endpoint == ""  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize(
    "make",
    [
        lambda: DiskSpace("/", low=1, minimum=2),
        lambda: DiskSpace("/", minimum=-1),
        lambda: OpenFiles(low=0.0),
        lambda: OpenFiles(low=0.9, maximum=0.5),
        lambda: TcpPort("5432"),
        lambda: TcpPort("db:"),
        lambda: TcpPort("db:70000"),
    ],
)
def test_what_makes_no_sense_is_refused(make: Any) -> None:
    with pytest.raises(ConfigurationError):
        make()


def test_a_system_that_lists_no_open_files_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "isdir", lambda _: False)
    with pytest.raises(ConfigurationError, match="cannot be counted"):
        OpenFiles()


def test_a_finding_is_healthy_unless_it_says_otherwise() -> None:
    assert Finding() == Finding(Health.HEALTHY, "", {})
