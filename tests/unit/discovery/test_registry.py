"""The local registry inside one process."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import aclosing
from pathlib import Path

import pytest

from kit.discovery import Instance, Registry, data_dir
from kit.errors import ConfigurationError, UsageTypeError, UsageValueError


def test_a_registered_instance_is_found_until_it_is_closed(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    assert registry.lookup("search") == []
    with registry.register("search", "127.0.0.1:5", metadata={"zone": "a"}) as registration:
        assert registry.lookup("search") == [registration.instance]
        assert Registry(tmp_path).lookup("search") == [registration.instance]
        assert registry.services() == ["search"]
    assert registry.lookup("search") == []
    assert registry.services() == []


def test_the_file_of_an_entry_has_the_fixed_format(tmp_path: Path) -> None:
    with Registry(tmp_path).register("search", "127.0.0.1:5", metadata={"zone": "a"}) as registration:
        (path,) = (tmp_path / "search").iterdir()
        assert path.name == f"{registration.instance.instance_id}.json"
        assert json.loads(path.read_bytes()) == {
            "version": 1,
            "name": "search",
            "instance_id": registration.instance.instance_id,
            "address": "127.0.0.1:5",
            "pid": os.getpid(),
            "start_time": registration.instance.start_time,
            "metadata": {"zone": "a"},
        }
        assert registration.instance.start_time.endswith("Z")


def test_instances_come_oldest_first_and_each_has_an_id_of_its_own(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    made = [registry.register("search", f"127.0.0.1:{port}") for port in range(1, 6)]
    found = registry.lookup("search")
    assert {instance.address for instance in found} == {f"127.0.0.1:{port}" for port in range(1, 6)}
    assert found == sorted(found, key=lambda instance: (instance.start_time, instance.instance_id))
    for registration in made:
        registration.close()


def test_an_update_replaces_the_entry_in_place(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    with registry.register("search", "127.0.0.1:5", metadata={"a": "1"}) as registration:
        registry.lookup("search")
        registration.update(address="127.0.0.1:6")
        registration.update(metadata={"a": "2"})
        (found,) = registry.lookup("search")
        assert (found.address, found.metadata) == ("127.0.0.1:6", {"a": "2"})
        assert len(list((tmp_path / "search").iterdir())) == 1
    registration.close()
    with pytest.raises(ConfigurationError):
        registration.update(address="127.0.0.1:7")


def test_an_entry_whose_lock_nobody_holds_is_dead_and_removed(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    with registry.register("search", "127.0.0.1:5") as registration:
        (path,) = (tmp_path / "search").iterdir()
        orphan = path.with_name("1-dead.json")
        orphan.write_bytes(path.read_bytes())
        assert registry.lookup("search") == [registration.instance]
        assert not orphan.exists()


def test_a_file_that_is_damaged_or_of_another_version_is_skipped(tmp_path: Path) -> None:
    folder = tmp_path / "search"
    folder.mkdir()
    (folder / "a.json").write_text("{")
    (folder / "b.json").write_text('{"version": 2}')
    (folder / "c.json").write_text('{"version": 1, "name": 5}')
    (folder / "d.txt").write_text("x")
    assert Registry(tmp_path).lookup("search") == []


def test_what_a_killed_writer_left_is_removed_once_it_is_old(tmp_path: Path) -> None:
    folder = tmp_path / "search"
    folder.mkdir()
    old, young = folder / ".1-a.json.1.tmp", folder / ".2-a.json.2.tmp"
    for path in (old, young):
        path.write_text("{")
    os.utime(old, (1, 1))
    assert Registry(tmp_path).lookup("search") == []
    assert [path.name for path in folder.iterdir()] == [young.name]


@pytest.mark.parametrize("name", ["", "../x", "A", "a/b", ".hidden", "a" * 64])
def test_a_name_that_could_leave_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError):
        Registry(tmp_path).lookup(name)


async def test_watch_yields_at_once_and_after_every_change(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    async with asyncio.timeout(10), aclosing(registry.watch("search", interval=0)) as changes:
        assert await anext(changes) == []
        registration = registry.register("search", "127.0.0.1:5")
        assert await anext(changes) == [registration.instance]
        registration.update(address="127.0.0.1:6")
        assert await anext(changes) == [registration.instance]
        registration.close()
        assert await anext(changes) == []


def test_the_data_folder_is_made_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIT_DATA_DIR", str(tmp_path / "a" / "b"))
    assert data_dir() == tmp_path / "a" / "b"
    assert data_dir().is_dir()
    assert data_dir().stat().st_mode & 0o777 == 0o700


def test_a_relative_or_unset_data_folder_becomes_an_absolute_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KIT_DATA_DIR", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_dir().is_absolute()
    assert data_dir().name == "grpc-service-kit"


def test_a_weight_is_kept_in_the_entry_and_may_be_changed(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    with registry.register("search", "127.0.0.1:5", weight=2.5) as registration:
        assert [instance.weight for instance in registry.lookup("search")] == [2.5]
        registration.update(address="127.0.0.1:6")
        assert [(found.address, found.weight) for found in Registry(tmp_path).lookup("search")] == [
            ("127.0.0.1:6", 2.5)
        ]
        registration.update(weight=1.0)
        assert [instance.weight for instance in Registry(tmp_path).lookup("search")] == [1.0]


def test_an_entry_without_a_weight_weighs_one_and_one_with_a_bad_weight_is_damaged(tmp_path: Path) -> None:
    with Registry(tmp_path).register("search", "127.0.0.1:5") as registration:
        entry = registration.instance
    raw = json.loads(entry.to_json())
    assert "weight" not in raw
    assert Instance.from_json(json.dumps(raw).encode()) == entry
    for bad in (0, -1, "heavy", None, float("inf"), float("nan")):
        assert Instance.from_json(json.dumps(raw | {"weight": bad}).encode()) is None


@pytest.mark.parametrize("weight", [0.0, -1.0, float("inf"), float("nan")])
def test_a_weight_that_cannot_be_is_refused(tmp_path: Path, weight: float) -> None:
    registry = Registry(tmp_path)
    with pytest.raises(ConfigurationError, match="weight"):
        registry.register("search", "127.0.0.1:5", weight=weight)
    with registry.register("search", "127.0.0.1:5") as registration, pytest.raises(ConfigurationError, match="weight"):
        registration.update(weight=weight)


def test_its_folder_may_be_a_text(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "yet"
    with Registry(str(folder)).register("search", "127.0.0.1:1"):
        assert [found.address for found in Registry(folder).lookup("search")] == ["127.0.0.1:1"]
        assert Registry(str(folder)).services() == ["search"]


def test_what_is_no_folder_is_refused_at_once() -> None:
    with pytest.raises(UsageTypeError, match="the folder of a registry is 5; give a path"):
        Registry(5)  # type: ignore[arg-type]
    with pytest.raises(UsageTypeError, match="the folder of a registry is b'folder'"):
        Registry(b"folder")  # type: ignore[arg-type]
    with pytest.raises(UsageValueError, match="an empty text"):
        Registry("")
