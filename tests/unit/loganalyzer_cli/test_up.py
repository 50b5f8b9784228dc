"""What `up` prints and refuses, without starting anything."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from kit.discovery import Instance
from services.cli import leftovers, lock, up
from services.cli.plan import EVERYTHING, Plan
from tests.unit.loganalyzer_cli.conftest import Run


def test_a_port_that_is_taken_is_named_with_the_way_out(run: Run, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = run("up", "--port", port, "--data-dir", str(tmp_path / "d"))
    assert result.exit_code == 2
    assert f"port {port} of 127.0.0.1 is taken" in result.stderr
    assert "--port" in result.stderr


def test_a_second_up_on_the_same_data_is_refused(run: Run, tmp_path: Path) -> None:
    with lock.held(tmp_path / "up.lock", {"url": "http://127.0.0.1:1"}):
        result = run("up", "--port", "0", "--data-dir", str(tmp_path))
    assert result.exit_code == 2
    assert "running on" in result.stderr


def test_a_data_folder_that_cannot_be_made_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = run("up", "--data-dir", str(tmp_path / "file" / "data"))
    assert result.exit_code == 2
    assert "cannot be made" in result.stderr


def test_a_data_folder_whose_lock_cannot_be_written_is_refused(run: Run, tmp_path: Path) -> None:
    # As on a read-only file system, which not every run of this test could make.
    (tmp_path / "up.lock").mkdir()
    result = run("up", "--port", "0", "--data-dir", str(tmp_path))
    assert result.exit_code == 2
    assert result.stderr.startswith(f"loganalyzer: {tmp_path} cannot be written to: ")
    assert result.stderr.count("\n") == 1


def test_what_fails_while_the_lock_is_held_is_not_blamed_on_it(tmp_path: Path) -> None:
    with pytest.raises(TimeoutError), lock.held(tmp_path / "up.lock", {}):
        raise TimeoutError


def test_a_sample_that_is_not_there_is_wrong_usage(run: Run, tmp_path: Path) -> None:
    assert run("up", "--sample", str(tmp_path / "none")).exit_code == 2


def test_what_runs_from_before_is_waited_for_and_then_named(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(up, "LEFTOVER_TIMEOUT", 0.0)
    command = [sys.executable, "-c", "print(flush=True); input()", "services.search"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as old:
        # Before it says something it may still look like a copy of this process.
        assert old.stdout is not None
        old.stdout.readline()
        leftovers.note(tmp_path / "run" / "children.json", {"search": old.pid, "cache": os.getpid()})
        result = run("up", "--port", "0", "--data-dir", str(tmp_path))
        assert leftovers.alive(tmp_path / "run" / "children.json") == {"search": old.pid}
        old.communicate(b"\n")
    assert result.exit_code == 2
    assert f"search (process {old.pid}) of {tmp_path} still runs from before" in result.stderr
    assert leftovers.alive(tmp_path / "run" / "children.json") == {}


def test_a_note_that_is_missing_or_damaged_names_nobody(tmp_path: Path) -> None:
    assert leftovers.alive(tmp_path / "none.json") == {}
    (tmp_path / "bad.json").write_text("{")
    assert leftovers.alive(tmp_path / "bad.json") == {}


def test_the_overview_says_what_is_where_and_what_to_type() -> None:
    instances = {
        name: Instance(
            name=name, instance_id="i", address=f"127.0.0.1:{number}", pid=number, start_time="", metadata={}
        )
        for number, name in enumerate(EVERYTHING, start=100)
    }
    plan = Plan(data_dir=Path("/data"), port=8080)
    text = "\n".join(up.overview(plan, instances, "loganalyzer", " --gateway http://127.0.0.1:8080"))
    for part in (
        "importer   127.0.0.1:103  103",
        "http://127.0.0.1:8080/",
        "/data/logs",
        "loganalyzer search --gateway http://127.0.0.1:8080 error",
        "curl 'http://127.0.0.1:8080/v1/workspaces/default/logs:search?query=error'",
        "Ctrl-C",
    ):
        assert part in text
