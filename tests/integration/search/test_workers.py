"""The search service as several processes behind one port: they share the catalogue, and whoever asks sees it whole."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc.aio
import psutil
import pytest

from kit.discovery import Registry
from kit.testing import InProcess
from loganalyzer.importer.v1 import importer_pb2_grpc
from loganalyzer.search.v1 import search_pb2, search_pb2_grpc
from loganalyzer.workspace.v1 import workspace_pb2_grpc
from tests.integration.search.conftest import PARENT, FakeImporter, FakeWorkspaces
from tests.integration.search.test_tails import Tail
from tests.unit.search.splits import Source, lines, write_split


@dataclass
class Processes:
    """Two workers; each of the stubs has a connection of its own, and every worker has some of them."""

    splits: Path
    importer: FakeImporter
    stubs: list[search_pb2_grpc.SearchServiceAsyncStub]

    async def publish(self, number: int, stub: search_pb2_grpc.SearchServiceAsyncStub, text: str) -> None:
        split = write_split(self.splits, [Source(lines(text), f"a{number}")], split_id=f"s{number}")
        await stub.PublishSplit(search_pb2.PublishSplitRequest(parent=PARENT, split=split))

    async def totals(self, query: str = "x") -> set[int]:
        request = search_pb2.SearchRequest(parent=PARENT, query=query)
        return {page.total_size for page in await asyncio.gather(*(stub.Search(request) for stub in self.stubs))}


@asynccontextmanager
async def service(folder: Path, workspaces: str, importer: str) -> AsyncIterator[tuple[str, list[int]]]:
    """The address of a search service with two workers, and their process ids."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "KIT_DATA_DIR": str(folder),
        "KIT_REGISTER": "1",
        "KIT_WORKERS": "2",
        "KIT_TARGET_WORKSPACE": workspaces,
        "KIT_TARGET_IMPORTER": importer,
        "KIT_TARGET_CACHE": "127.0.0.1:9",
        "KIT_SEARCH_CARE": "0",
    }
    command = [sys.executable, "-P", "-m", "services.search"]
    with (folder / "out").open("wb") as out:
        process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=out, stderr=out)
    try:
        registry = Registry(folder / "run" / "registry")
        async with asyncio.timeout(60):
            async for instances in registry.watch("search"):
                if instances and "," in instances[0].metadata.get("workers", ""):
                    break
        yield instances[0].address, [int(pid) for pid in instances[0].metadata["workers"].split(",")]
    finally:
        process.terminate()
        await process.wait()


@pytest.fixture
async def processes(tmp_path: Path) -> AsyncIterator[Processes]:
    importer = FakeImporter()  # type: ignore[abstract]  # only what is called
    async with AsyncExitStack() as stack:
        known = InProcess(FakeWorkspaces(), workspace_pb2_grpc.add_WorkspaceServiceServicer_to_server)  # type: ignore[abstract]  # as above
        feeding = InProcess(importer, importer_pb2_grpc.add_ImporterServiceServicer_to_server)
        beside, feed = await stack.enter_async_context(known), await stack.enter_async_context(feeding)
        address, pids = await stack.enter_async_context(service(tmp_path, beside.address, feed.address))
        stubs: list[search_pb2_grpc.SearchServiceAsyncStub] = []
        while len(stubs) < 8 or not all(_connections(pid, address) for pid in pids):
            # The kernel gives each new connection to one of the workers.
            options = [("grpc.use_local_subchannel_pool", 1)]
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(address, options=options))
            await channel.channel_ready()
            stubs.append(search_pb2_grpc.SearchServiceStub(channel))
            assert len(stubs) < 100
        yield Processes(tmp_path / "splits", importer, stubs)


def _connections(pid: int, address: str) -> int:
    port = int(address.rpartition(":")[2])
    found = psutil.Process(pid).net_connections("tcp")
    return sum(each.status == "ESTABLISHED" and each.laddr.port == port for each in found)


async def test_what_one_process_publishes_all_of_them_find_at_once(processes: Processes) -> None:
    assert await processes.totals() == {0}
    for number, stub in enumerate(processes.stubs, 1):
        await processes.publish(number, stub, f"x {number}")
        # Also answers that are kept in a process are of what is there now.
        assert await processes.totals() == {number}
    await processes.stubs[0].DeleteLogSource(search_pb2.DeleteLogSourceRequest(name=f"{PARENT}/logSources/a1"))
    assert await processes.totals() == {len(processes.stubs) - 1}
    await processes.stubs[-1].DeleteLogs(search_pb2.DeleteLogsRequest(parent=PARENT))
    assert await processes.totals() == {0}


async def test_tails_in_every_process_are_fed_and_see_what_any_of_them_publishes(processes: Processes) -> None:
    tails = []
    async with asyncio.timeout(30):
        for stub in processes.stubs:
            call = aiter(stub.TailLogs(search_pb2.TailLogsRequest(parent=PARENT, query="x")))
            await anext(call)
            tails.append(Tail(call))
        while len(processes.importer.listening) < 2:
            processes.importer.came.clear()
            await processes.importer.came.wait()
    assert len(processes.importer.listening) == 2
    await processes.importer.read(Source(lines("x read"), "a7"))
    for tail in tails:
        assert await tail.until(1) == ["x read"]
    await processes.publish(7, processes.stubs[0], "x read")
    await processes.publish(8, processes.stubs[1], "x published")
    for tail in tails:
        assert await tail.until(2) == ["x read", "x published"]


async def test_pages_go_on_in_whichever_process_answers(processes: Processes) -> None:
    split = write_split(processes.splits, [Source(lines(*[f"x {number}" for number in range(40)]))])
    await processes.stubs[0].PublishSplit(search_pb2.PublishSplitRequest(parent=PARENT, split=split))
    found: list[str] = []
    token = ""
    for stub in processes.stubs * 10:
        request = search_pb2.SearchRequest(parent=PARENT, query="x", page_size=3, page_token=token)
        page = await stub.Search(request)
        found += [hit.text for hit in page.hits]
        token = page.next_page_token
        if not token:
            break
    assert found == [f"x {number}" for number in reversed(range(40))]
