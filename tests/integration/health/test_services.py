"""What the log analyzer's services need: what is theirs, and not each other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import grpc.aio
import pytest

import kit
from kit.health import Health
from services.cache import app as cache
from services.cache.config import Config as CacheConfig
from services.importer import app as importer
from services.importer.config import Config as ImporterConfig
from services.importer.roots import Roots
from services.search import app as search
from services.search.config import Config as SearchConfig
from services.workspace import app as workspace
from services.workspace.config import Config as WorkspaceConfig
from tests.integration.health.conftest import until

#: Nobody listens there.
NOBODY = "127.0.0.1:1"


def a_cache(folder: Path) -> kit.Server:
    return cache.build(CacheConfig())


def a_workspace(folder: Path) -> kit.Server:
    config = WorkspaceConfig(database=folder / "workspaces.db", importer_target=NOBODY, search_target=NOBODY)
    return workspace.build(config)


def a_search(folder: Path) -> kit.Server:
    return search.build(
        SearchConfig(
            database=folder / "search" / "catalog.db",
            splits=folder / "splits",
            workspace_target=NOBODY,
            cache_target=NOBODY,
        )
    )


def an_importer(folder: Path) -> kit.Server:
    (folder / "splits").mkdir()
    return importer.build(
        ImporterConfig(
            folder=folder / "importer",
            splits=folder / "splits",
            roots=Roots.parse(str(folder)),
            workers=1,
            search_target=NOBODY,
            workspace_target=NOBODY,
        )
    )


@pytest.mark.parametrize(
    ("make", "required", "others"),
    [
        (a_cache, set(), set()),
        (a_workspace, {"database", "disk"}, {"importer", "search"}),
        (a_search, {"database", "disk"}, {"workspace", "cache"}),
        (an_importer, {"database", "disk"}, {"search", "workspace"}),
    ],
)
async def test_a_service_is_ready_without_its_neighbours_and_says_that_they_are_missing(
    make: Callable[[Path], kit.Server],
    required: set[str],
    others: set[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KIT_REGISTER", "0")
    monkeypatch.setenv("KIT_LISTEN", "127.0.0.1:0")
    monkeypatch.setenv("KIT_DATA_DIR", str(tmp_path))
    server = make(tmp_path)
    async with server, grpc.aio.insecure_channel(server.address) as channel:
        await until(channel, "readiness", "SERVING")
        known = {one.component: one for one in server.health_components() if one.component != "event loop"}
        assert {name for name, one in known.items() if one.required} == required
        assert {name for name, one in known.items() if not one.required} == others
        await server.components.check_now()
        assert all(server.components.result(name).status is not Health.HEALTHY for name in others)
        assert all(server.components.result(name).status is not Health.UNHEALTHY for name in required)
        assert server.health.serving("readiness")


async def test_a_service_whose_database_fails_is_not_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from services.workspace.store import Store

    monkeypatch.setenv("KIT_REGISTER", "0")
    monkeypatch.setenv("KIT_LISTEN", "127.0.0.1:0")
    server = a_workspace(tmp_path)
    async with server, grpc.aio.insecure_channel(server.address) as channel:
        await until(channel, "readiness", "SERVING")

        def broken(self: Store) -> None:
            raise OSError("disk I/O error")

        # The check is the store's own method; what it reads through is broken here.
        monkeypatch.setattr(Store, "reading", broken)
        for _ in range(3):
            await server.components.check_now("database")
        await until(channel, "readiness", "NOT_SERVING")
        await until(channel, "liveness", "SERVING")
        monkeypatch.undo()
        await server.components.check_now("database")
        await until(channel, "readiness", "SERVING")
