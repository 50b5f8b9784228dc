"""Where a server keeps its keys, and what it refuses at its start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import kit
from kit.errors import ConfigurationError, PolicyError
from kit.policy import IdempotencyKeyMode
from kit.server.idempotency import MemoryStore, SqlStore
from kit.server.idempotency._source import Deduplication, StoreSource
from tests.integration.server.idempotency.shop import ORDER, SERVICE, WATCH, Shop, add_shop, declared


def server(source: StoreSource = None, **options: object) -> kit.Server:
    arguments = {"policy": declared(), "register": False, "grace": 0.0, **options}
    return kit.Server("a/shop", idempotency=source, **arguments).add(Shop(), add_shop)  # type: ignore[arg-type]


async def test_on_loopback_keys_are_kept_in_a_file_that_is_named_after_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIT_DATA_DIR", str(tmp_path))
    async with server():
        assert (tmp_path / "idempotency" / "a%2Fshop.db").exists()
    assert (tmp_path / "idempotency").stat().st_mode & 0o777 == 0o700


async def test_a_server_that_others_reach_must_be_told_where(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="name a database that they share") as refusal:
        await server(listen="0.0.0.0:0").start()
    assert ORDER in str(refusal.value)
    monkeypatch.setenv("KIT_IDEMPOTENCY", f"sqlite:///{tmp_path / 'keys.db'}")
    async with server(listen="0.0.0.0:0"):
        assert (tmp_path / "keys.db").exists()


async def test_a_server_whose_methods_declare_no_keys_needs_no_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIT_DATA_DIR", str(tmp_path))
    async with server(policy=None, listen="0.0.0.0:0"):
        assert not (tmp_path / "idempotency").exists()


async def test_handlers_may_see_to_it_themselves() -> None:
    async with server(False, listen="0.0.0.0:0"):
        pass


@pytest.mark.parametrize("method", [WATCH, f"/{SERVICE}/*"])
async def test_a_stream_that_declares_keys_is_refused_at_the_start(method: str) -> None:
    key = kit.IdempotencyKeyPolicy(mode=IdempotencyKeyMode.OPTIONAL)
    with pytest.raises(PolicyError, match="set it to NONE for this stream") as refusal:
        await server(MemoryStore(), policy={method: kit.MethodPolicy(idempotency_key=key)}).start()
    assert (refusal.value.method, refusal.value.field) == (WATCH, "idempotency_key.mode")


async def test_a_stream_may_turn_off_what_its_service_declares() -> None:
    on, off = (
        kit.MethodPolicy(idempotency_key=kit.IdempotencyKeyPolicy(mode=mode))
        for mode in (IdempotencyKeyMode.REQUIRED, IdempotencyKeyMode.NONE)
    )
    async with server(MemoryStore(), policy={f"/{SERVICE}/*": on, WATCH: off}):
        pass


@pytest.mark.parametrize("source", ["mysql://host/name", 17, True])
def test_what_is_no_store_is_refused_where_it_is_given(source: object) -> None:
    with pytest.raises(ConfigurationError, match="idempotency"):
        server(source)  # type: ignore[arg-type]


async def test_the_memory_of_one_process_is_none_of_several(tmp_path: Path) -> None:
    methods = server()._methods()
    with pytest.raises(ConfigurationError, match="MemoryStore is of one process, and there are 2 workers"):
        Deduplication(MemoryStore()).check(methods, processes=2)
    Deduplication(SqlStore(f"sqlite:///{tmp_path / 'keys.db'}")).check(methods, processes=2)
    Deduplication(MemoryStore()).check(methods)


@pytest.mark.parametrize("missing", ["sqlalchemy", "aiosqlite"])
def test_without_its_packages_the_default_says_what_to_install(missing: str, tmp_path: Path) -> None:
    program = f"""
import asyncio, sys
sys.modules[{missing!r}] = None
from tests.integration.server.idempotency.shop import Shop, add_shop, declared
import kit
async def main():
    try:
        await kit.Server("shop", policy=declared(), register=False).add(Shop(), add_shop).start()
    except kit.errors.ConfigurationError as error:
        print(error)
asyncio.run(main())
"""
    environment = {"PYTHONPATH": ":".join(path for path in sys.path if path), "KIT_DATA_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert "pip install 'grpc-service-kit[idempotency]'" in done.stdout, done.stderr
