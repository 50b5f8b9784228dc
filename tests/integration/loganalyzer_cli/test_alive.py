"""How `loganalyzer up` notices that a service hangs, with a real one."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import aclosing
from pathlib import Path

from kit.discovery import Registry
from services.cli import ready
from tests.datafiles import ROOT


async def test_a_service_that_is_stopped_is_not_alive_and_one_that_goes_on_is(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "services.cache"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos' / 'gen'}",
            "KIT_DATA_DIR": str(tmp_path),
        },
    )
    try:
        registry = Registry(tmp_path / "run" / "registry")
        assert not await ready.alive(registry, "cache")
        async with asyncio.timeout(60), aclosing(registry.watch("cache")) as changes:
            async for instances in changes:
                if instances:
                    break
        assert await ready.alive(registry, "cache", 30.0)
        process.send_signal(signal.SIGSTOP)
        assert not await ready.alive(registry, "cache", 0.5)
        process.send_signal(signal.SIGCONT)
        assert await ready.alive(registry, "cache", 30.0)
    finally:
        process.kill()
        await process.wait()
