"""`kit health`, against servers of this process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import grpc.aio
from grpc_health.v1 import health_pb2_grpc

from kit.health import Finding, Health, HealthLayer, HealthService
from tests.datafiles import ROOT
from tests.integration.cli.program import kit
from tests.integration.health.conftest import Enter, Switch, server

ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos' / 'gen'}", "PYTHONUNBUFFERED": "1"}


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


async def test_names_and_components_are_shown_and_the_exit_status_says_whether_all_serve(enter: Enter) -> None:
    async def disk() -> Finding:
        return Finding(Health.DEGRADED, "90 MiB are free")

    database = Switch()
    made = server(admin=True).depends_on("database", database, every=0.01)
    made.depends_on("disk", disk, layer=HealthLayer.MACHINE, required=False)
    await enter(made)
    await made.components.check_now()
    said = await kit("health", made.address)
    assert said.code == 0, said
    names, _, components = said.out.partition("\n\n")
    assert [cells(line) for line in names.splitlines()[1:]] == [
        ['""', "SERVING"],
        ["liveness", "SERVING"],
        ["readiness", "SERVING"],
        ["startup", "SERVING"],
    ]
    rows = {row[0]: row[1:] for row in map(cells, components.splitlines())}
    assert rows["COMPONENT"] == ["STATUS", "LATENCY", "MESSAGE"]
    assert rows["disk"][0] == "DEGRADED"
    assert rows["disk"][2] == "90 MiB are free (not required)"
    assert rows["database"][0] == "HEALTHY"
    assert rows["database"][1].endswith(" ms")
    assert rows["event loop"][:2] == ["HEALTHY", "-"]

    database.well = False
    await made.components.check_now("database")
    said = await kit("health", made.address, "--json")
    assert said.code == 1
    document = json.loads(said.out)
    assert document["statuses"] == {
        "": "NOT_SERVING",
        "liveness": "SERVING",
        "readiness": "NOT_SERVING",
        "startup": "SERVING",
    }
    assert [one["status"] for one in document["components"] if one["component"] == "database"] == ["UNHEALTHY"]
    assert (await kit("health", made.address, "liveness", "startup")).code == 0


async def test_a_server_that_tells_of_no_components_and_lists_no_names_is_shown_all_the_same() -> None:
    bare = grpc.aio.server()
    health = HealthService()
    health.register(["", *(f"s{number}" for number in range(100))])
    health_pb2_grpc.add_HealthServicer_to_server(health, bare)
    address = f"127.0.0.1:{bare.add_insecure_port('127.0.0.1:0')}"
    await bare.start()
    said = await kit("health", address)
    assert (said.code, [cells(line) for line in said.out.splitlines()]) == (0, [["NAME", "STATUS"], ['""', "SERVING"]])
    await bare.stop(None)
    assert (await kit("health", address)).code == 2


@asynccontextmanager
async def watching(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "kit.cli", "health", "--watch", *arguments),
        stdout=asyncio.subprocess.PIPE,
        env=ENVIRONMENT,
        # Where the tests themselves run in the background, a child would inherit that SIGINT is ignored.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_watch_prints_every_change_with_its_time_until_it_is_interrupted(enter: Enter) -> None:
    made = server()
    await enter(made)
    async with asyncio.timeout(60), watching(made.address, "readiness") as process:
        out = process.stdout
        assert out is not None
        lines = [cells((await out.readline()).decode().strip()) for _ in range(2)]
        assert lines == [["NAME", "STATUS"], ["readiness", "SERVING"]]
        for said in ("NOT_SERVING", "SERVING"):
            made.health.set("readiness", said == "SERVING")
            time, name, status = cells((await out.readline()).decode().strip())
            assert (len(time), name, status) == (8, "readiness", said)
        await made.stop()
        assert [cells((await out.readline()).decode().strip())[2] for _ in range(2)] == ["NOT_SERVING", "UNREACHABLE"]
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 130
