"""A worker that is replaced is told of by the others."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from kitapi.v1 import events_pb2, ops_pb2, ops_pb2_grpc
from tests.integration.cli.program import ask
from tests.integration.server.test_workers import connections_to, running, two, workers_of


async def test_a_worker_that_is_replaced_is_told_of_by_the_others(tmp_path: Path) -> None:
    async with running(tmp_path, "--workers", "2") as parent, AsyncExitStack() as stack:
        instance = await parent.registered(two)
        pids = workers_of(instance)
        victim, left = sorted(pids)
        channels = await connections_to(stack, instance.address, pids)
        ops: Any = ops_pb2_grpc.OpsServiceStub(channels[left])
        process = await ops.GetProcess(ops_pb2.GetProcessRequest())
        assert (process.pid, process.workers, process.name) == (left, 2, "pids")
        said = await ask("breakers", instance.address)
        assert said.code == 0
        assert any(f"answered by process {pid}, one of 2 workers" in said.err for pid in pids)
        watch = ops.WatchEvents(ops_pb2.WatchEventsRequest(types=["WorkerRestarted"]))
        os.kill(victim, signal.SIGKILL)
        async with asyncio.timeout(60):
            event = await watch.read()
        restarted = events_pb2.WorkerRestarted()
        assert event.payload.Unpack(restarted)
        assert (restarted.name, restarted.old_pid) == ("pids", victim)
        assert restarted.new_pid not in (0, victim, left)
        assert event.subject == f"servers/pids/workers/{restarted.worker}"
        watch.cancel()
