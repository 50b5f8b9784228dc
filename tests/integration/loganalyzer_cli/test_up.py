"""`loganalyzer up` as a process with all five services. The whole product is tested in tests/e2e."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from kit.discovery import Registry
from services.cli import leftovers
from services.cli.plan import EVERYTHING, code_roots, python_path

#: Seconds; a start takes about two.
PATIENCE = 60


class Up:
    """A running `up` whose output is read line by line."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "services.cli", "up", "--port", "0", "--data-dir", str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"PYTHONPATH": python_path("", code_roots(), frozenset())},
            start_new_session=True,
        )

    def until(self, wanted: Callable[[str], bool]) -> str:
        """Reads on to the first line that is wanted; pytest's own output shows what came instead."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            print(line, end="")
            if wanted(line):
                return line
        raise AssertionError("`up` ended before it said what was waited for")

    def pid_of(self, name: str) -> int:
        return Registry(self.folder / "run" / "registry").lookup(name)[0].pid


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Up]]:
    started: list[Up] = []

    def begin() -> Up:
        one = Up(tmp_path / "data")
        started.append(one)
        return one

    yield begin
    for one in started:
        one.process.kill()
        one.process.communicate(timeout=PATIENCE)


def cli(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "services.cli", *arguments, "--data-dir", str(folder)],
        env=os.environ | {"PYTHONPATH": python_path("", code_roots(), frozenset())},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def runs(pid: int) -> bool:
    """Whether the process does anything still; who adopts an orphan may be slow to bury it."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_everything_starts_is_started_again_when_it_dies_and_stops_without_a_trace(
    start: Callable[[], Up], tmp_path: Path
) -> None:
    one = start()
    one.until(lambda line: line.startswith("stop "))
    tree = psutil.Process(one.process.pid).children(recursive=True)
    assert len(tree) >= len(EVERYTHING)
    assert cli(one.folder, "workspaces").stdout.splitlines()[1].startswith("workspaces/default ")
    (tmp_path / "app.log").write_text("one error\n")
    assert cli(one.folder, "import", str(tmp_path / "app.log")).returncode == 0
    assert cli(one.folder, "search", "error").stdout == f"{tmp_path / 'app.log'}:1:one error\n"
    second = cli(one.folder, "up", "--port", "0")
    assert (second.returncode, f"as process {one.process.pid}," in second.stderr) == (2, True)
    os.kill(one.pid_of("cache"), signal.SIGKILL)
    one.until(lambda line: line.startswith("cache ended (SIGKILL)"))
    one.until(lambda line: line.startswith("cache was started again"))
    tree = psutil.Process(one.process.pid).children(recursive=True)
    one.process.send_signal(signal.SIGINT)
    one.until(lambda line: line == "stopped\n")
    assert one.process.wait(timeout=PATIENCE) == 0
    assert psutil.wait_procs(tree, timeout=PATIENCE)[1] == []
    assert cli(one.folder, "search", "error").returncode == 2


def test_after_up_was_killed_the_next_one_waits_for_its_children_and_goes_on(start: Callable[[], Up]) -> None:
    one = start()
    one.until(lambda line: line.startswith("stop "))
    old = leftovers.alive(one.folder / "run" / "children.json")
    assert sorted(old) == sorted(EVERYTHING)
    one.process.kill()
    two = start()
    two.until(lambda line: line.startswith("starting"))
    assert not [pid for pid in old.values() if runs(pid)]
    two.until(lambda line: line.startswith("stop "))
    two.process.send_signal(signal.SIGTERM)
    assert two.process.wait(timeout=PATIENCE) == 0
