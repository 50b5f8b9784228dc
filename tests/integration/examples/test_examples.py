"""The examples are programs that run, and the guide (`test_guide`) shows what they are."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.datafiles import ROOT

EXAMPLES = ROOT / "examples"
#: What takes arguments is run where the arguments come from.
PROGRAMS = sorted(
    path.name
    for path in EXAMPLES.glob("*.py")
    if not path.name.startswith("test_") and "sys.argv" not in path.read_text("utf-8")
)
ENVIRONMENT = os.environ | {
    "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos' / 'gen'}",
    "PYTHONDONTWRITEBYTECODE": "1",
}


def run(*arguments: object, cwd: Path = ROOT) -> str:
    """Runs Python with the warnings as errors; gives what it printed."""
    command = [sys.executable, "-W", "error", *map(str, arguments)]
    done = subprocess.run(command, env=ENVIRONMENT, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_example_runs_from_any_folder(name: str, tmp_path: Path) -> None:
    assert run(EXAMPLES / name, cwd=tmp_path)


def test_the_simulation_tells_the_policies_apart() -> None:
    said = run(EXAMPLES / "simulate_policy.py")
    success = [float(share) for share in re.findall(r"([\d.]+)%", said)]
    assert len(success) == 3
    assert success == sorted(success)
    assert success[0] < 92 < 99 < success[-1]


def test_the_example_plan_is_one_that_the_command_takes() -> None:
    said = run("-P", "-m", "kit.cli", "simulate", "--preset", "production", "--plan", EXAMPLES / "fault_plan.toml")
    assert "success" in said


def test_the_example_tests_pass(tmp_path: Path) -> None:
    (tmp_path / "test_with_the_kit.py").write_text((EXAMPLES / "test_with_the_kit.py").read_text("utf-8"))
    ini = "[pytest]\nasyncio_default_fixture_loop_scope = session\nasyncio_default_test_loop_scope = session\n"
    (tmp_path / "pytest.ini").write_text(ini)
    environment = ENVIRONMENT | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "pytest_asyncio.plugin"]
    command += ["-p", "kit.testing.plugin"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout
