"""`kit health` and `kit ports` look at what runs."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from kit.cli import main
from kit.discovery import Registry
from kit.server import Server
from tests.datafiles import ROOT


async def kit(*arguments: str, data: Path) -> tuple[int, str]:
    """Exit status and everything that was printed, from a process of its own: grpc.aio knows one event loop."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-c", "from kit.cli import main; main()", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos' / 'gen'}", "KIT_DATA_DIR": str(data)},
    )
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


async def test_health_by_address_and_by_name(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "run" / "registry")
    async with Server("greeter", registry=registry, grace=0, admin=False) as server:
        code, said = await kit("health", server.address, data=tmp_path)
        assert code == 0, said
        assert [line.split() for line in said.splitlines()][1:] == [
            ['""', "SERVING"],
            ["liveness", "SERVING"],
            ["readiness", "SERVING"],
            ["startup", "SERVING"],
        ]
        assert (await kit("health", "greeter", "liveness", data=tmp_path))[0] == 0
        assert (await kit("health", "greeter", "nobody", data=tmp_path))[0] == 1
        server.health.set("readiness", False)
        code, said = await kit("health", "greeter", data=tmp_path)
        assert code == 1
        assert "NOT_SERVING" in said
        address = server.address
    assert (await kit("health", "greeter", data=tmp_path))[0] == 1
    assert (await kit("health", address, data=tmp_path))[0] == 2


def test_ports_lists_the_local_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIT_DATA_DIR", str(tmp_path))
    with Registry().register("search", "127.0.0.1:5") as registration:
        plain = CliRunner().invoke(main, ["ports"])
        assert plain.output.splitlines()[1].split()[:3] == ["search", "127.0.0.1:5", str(os.getpid())]
        objects = CliRunner().invoke(main, ["ports", "--json"])
        assert json.loads(objects.output)["instance_id"] == registration.instance.instance_id
    assert CliRunner().invoke(main, ["ports"]).output.splitlines() == ["SERVICE  ADDRESS  PID  SINCE  INSTANCE"]


def test_ports_names_the_processes_of_a_server_with_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIT_DATA_DIR", str(tmp_path))
    with Registry().register("search", "127.0.0.1:5", metadata={"workers": "11,12"}):
        plain = CliRunner().invoke(main, ["ports"])
    assert f" {os.getpid()} (workers 11 12) " in plain.output


def test_every_command_has_help() -> None:
    listed = CliRunner().invoke(main, ["--help"])
    assert listed.exit_code == 0
    for command in (
        *(
            "breakers",
            "calls",
            "check",
            "endpoints",
            "events",
            "explain",
            "gen",
            "health",
            "limits",
            "policies",
            "ports",
        ),
        "simulate",
    ):
        assert command in listed.output
        assert CliRunner().invoke(main, [command, "--help"]).exit_code == 0


def test_an_unknown_command_is_a_mistake() -> None:
    assert CliRunner().invoke(main, ["frobnicate"]).exit_code == 2
