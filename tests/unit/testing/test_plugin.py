"""The fixtures of the pytest plugin, used by a test suite of its own in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.datafiles import ROOT

SUITE = """
import asyncio
import grpc
import kit
from grpc_health.v1 import health_pb2, health_pb2_grpc
from kit.testing import Fault, Faults, InProcess, VirtualClock

CHECK = "/grpc.health.v1.Health/Check"
SAFE = kit.MethodPolicy(
    retry=kit.RetryPolicy(max_attempts=3, initial_backoff=3600.0, max_backoff=7200.0),
    idempotency_level=kit.IdempotencyLevel.NO_SIDE_EFFECTS,
)
started = []


class Health(health_pb2_grpc.HealthServicer):
    async def Check(self, request, context):
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)


async def test_calls_are_tried_again_in_virtual_time(in_process, faults):
    clock = VirtualClock(autojump=True)
    add = health_pb2_grpc.add_HealthServicer_to_server
    process = await in_process(Health(), add, policy={CHECK: SAFE}, clock=clock)
    started.append(process)
    assert process.faults is faults
    faults.script(CHECK, [Fault(code=grpc.StatusCode.UNAVAILABLE)] * 2)
    answer = await health_pb2_grpc.HealthStub(process.channel).Check(health_pb2.HealthCheckRequest())
    assert answer.status == 1
    assert faults.count(CHECK) == 3
    assert len(clock.sleeps) == 2


async def test_the_server_is_stopped_after_its_test(faults):
    assert faults.seen == []
    assert started[0].channel.get_state() is grpc.ChannelConnectivity.SHUTDOWN


async def test_time_stands_still_until_it_is_moved(virtual_clock):
    task = asyncio.ensure_future(virtual_clock.sleep(60))
    await virtual_clock.advance(59)
    assert not task.done()
    await virtual_clock.advance(1)
    assert task.done()
"""
INI = """
[pytest]
asyncio_mode = {mode}
asyncio_default_fixture_loop_scope = session
asyncio_default_test_loop_scope = session
"""


@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_a_suite_that_uses_the_fixtures_passes(tmp_path: Path, mode: str) -> None:
    mark = "import pytest\npytestmark = pytest.mark.asyncio\n" if mode == "strict" else ""
    (tmp_path / "test_suite.py").write_text(mark + SUITE)
    (tmp_path / "pytest.ini").write_text(INI.format(mode=mode))
    done = pytest_in(tmp_path, "-p", "pytest_asyncio.plugin")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


def test_the_fixtures_are_listed_with_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text(INI.format(mode="auto"))
    done = pytest_in(tmp_path, "-p", "pytest_asyncio.plugin", "--fixtures")
    for name in ("virtual_clock", "faults", "in_process"):
        assert f"{name} -- " in done.stdout


def pytest_in(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs pytest there with the plugin named, so that it need not be installed."""
    environment = os.environ | {
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos' / 'gen'}",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "kit.testing.plugin", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
