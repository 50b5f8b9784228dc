"""The command `kit`, in a process of its own: grpc.aio knows one event loop a process."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import NamedTuple

from tests.datafiles import ROOT


class Said(NamedTuple):
    """What came of it."""

    code: int
    out: str
    err: str


async def kit(*arguments: str, **environment: str) -> Said:
    """Runs it to its end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "kit.cli", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos' / 'gen'}", **environment},
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return Said(process.returncode, out.decode(), err.decode())


async def ask(*arguments: str, **environment: str) -> Said:
    """The same for a command that asks a server, with time for a machine that is busy."""
    return await kit(*arguments, "--timeout", "60", **environment)
