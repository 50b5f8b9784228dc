"""The registry's liveness with real processes: an entry lives exactly as long as its owner."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kit.discovery import Registry
from tests.datafiles import ROOT

OWNER = """
import subprocess, sys
from pathlib import Path
from kit.discovery import Registry
registration = Registry(Path(sys.argv[1])).register("search", "127.0.0.1:1", metadata={"a": "b"})
child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
print("registered", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("end", ["killed", "finished"])
def test_an_entry_goes_with_its_owner_even_if_a_child_of_the_owner_lives_on(tmp_path: Path, end: str) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos' / 'gen'}"}
    registry = Registry(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-P", "-c", OWNER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    ) as owner:
        assert owner.stdin is not None
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"registered\n"
        (instance,) = registry.lookup("search")
        assert (instance.pid, instance.address, instance.metadata) == (owner.pid, "127.0.0.1:1", {"a": "b"})
        if end == "killed":
            owner.kill()
        owner.stdin.close()
        owner.wait(timeout=20)
    assert registry.lookup("search") == []
    assert list((tmp_path / "search").iterdir()) == []
