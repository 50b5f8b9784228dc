"""The examples of the client side are programs that run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import kit

PROJECT = Path(kit.__file__).parent.parent


def test_the_five_lines_on_a_stock_channel() -> None:
    environment = os.environ | {"PYTHONPATH": f"{PROJECT}:{PROJECT / 'protos' / 'gen'}"}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(PROJECT / "examples" / "stock_channel.py")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "answer: SERVING" in done.stdout
    assert "attempt 1 UNAVAILABLE" in done.stdout
    assert "attempt 3 OK" in done.stdout
