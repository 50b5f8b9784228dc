"""What a killed `up` leaves behind for a moment: children that see its end and stop.

They withdraw from the registry before they have ended, so their process ids are written down while they run. The next
`up` waits for them: two importers must never work on the same data.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from services.cli.plan import command


def note(path: Path, pids: Mapping[str, int]) -> None:
    """Writes down who runs, in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(json.dumps(dict(pids)))
    new.replace(path)


def alive(path: Path) -> dict[str, int]:
    """Those of the last note that still run: process ids by name."""
    try:
        noted = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return {name: pid for name, pid in noted.items() if _runs(pid, command(name)[-1])}


def _runs(pid: int, module: str) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        # It has just ended; or there is no /proc, and then the number has to do.
        return not Path("/proc/self").exists()
    # The number may belong to another program by now.
    return module.encode() in arguments
