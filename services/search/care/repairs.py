"""Checks and repairs the splits of a workspace on demand, in a process of its own that ends afterwards.

`check` and `repair` are what the RPCs CheckLogs and RepairLogs call. They start `python -m services.search.care.work`,
which does the reading and building, and answers with one message on its standard output.
"""

from __future__ import annotations

import asyncio
import sys

from kit.errors import Internal
from loganalyzer.search.v1 import search_pb2
from services.search.care.process import child_environment
from services.search.config import Config

__all__ = ["check", "repair"]


async def check(config: Config, workspace: str) -> search_pb2.CheckLogsResponse:
    """Reads every split of a workspace whole and says what is damaged. When it is cancelled the work ends at once."""
    return search_pb2.CheckLogsResponse.FromString(await _ask(config, "check", workspace))


async def repair(config: Config, workspace: str) -> search_pb2.RepairLogsResponse:
    """Builds damaged splits, and those of an older version, again from their lines."""
    return search_pb2.RepairLogsResponse.FromString(await _ask(config, "repair", workspace))


async def _ask(config: Config, verb: str, workspace: str) -> bytes:
    # -P: a folder "services" where the service was started must not be taken for ours.
    command = [sys.executable, "-P", "-m", "services.search.care.work", verb]
    process = await asyncio.create_subprocess_exec(
        *command,
        str(config.database),
        str(config.splits),
        workspace,
        # Its end tells the process that nobody waits any more.
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=child_environment(),
    )
    assert process.stdout is not None
    try:
        answer = await process.stdout.read()
        code = await process.wait()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    finally:
        if process.stdin is not None:
            process.stdin.close()
    if code:
        raise Internal(f"the process that was to {verb} the logs ended with {code}; its log says why")
    return answer
