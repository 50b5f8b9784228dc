"""`kit new`: what it makes works as it is."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from kit.cli import main
from tests.datafiles import ROOT
from tests.integration.cli.program import ask

ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos' / 'gen'}",
    "PYTHONDONTWRITEBYTECODE": "1",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("new") / "anywhere"
    said = CliRunner().invoke(main, ["new", "book-shop", "--into", str(folder)])
    assert said.exit_code == 0, said.output
    return folder


def test_a_new_service_passes_its_own_tests_and_checks(made: Path) -> None:
    command = [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=made, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout
    checked = CliRunner().invoke(main, ["check", str(made / "protos")])
    assert checked.exit_code == 0, checked.output
    drift = CliRunner().invoke(main, ["gen", str(made / "protos"), "--out", str(made / "gen"), "--check"])
    assert drift.exit_code == 0, drift.output
    for name in ("service.py", "test_service.py"):
        compile((made / name).read_text(), name, "exec")
        assert "$" not in (made / name).read_text()


async def test_a_new_service_runs_and_is_called_by_its_name(made: Path, tmp_path: Path) -> None:
    data = {"KIT_DATA_DIR": str(tmp_path)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "service.py"),
        cwd=made,
        env={**ENVIRONMENT, **data, "KIT_LOG_FORMAT": "json"},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        async with asyncio.timeout(60):
            async for line in process.stderr:
                if json.loads(line)["event"] == "serving":
                    break
        said = await ask("call", "book-shop", "BookShopService/Greet", '{"who": "you"}', **data)
        assert said.code == 0, said.err
        assert json.loads(said.out) == {"greeting": "Hello, you!"}
    finally:
        process.terminate()
        await process.communicate()
    assert process.returncode == 0


@pytest.mark.parametrize("name", ["Book", "1st", "class", "grpc", "json", "service", "a_b", "", "a--b"])
def test_a_name_that_would_not_work_is_refused_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    said = CliRunner().invoke(main, ["new", name, "--into", str(tmp_path / "made")])
    assert said.exit_code != 0
    assert not (tmp_path / "made").exists()


def test_what_is_there_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    said = CliRunner().invoke(main, ["new", "shop", "--into", str(tmp_path)])
    assert said.exit_code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
