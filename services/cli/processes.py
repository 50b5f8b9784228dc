"""The child processes of `loganalyzer up`, kept alive by the kit's supervisor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from services.cli.plan import Plan


class Processes:
    """PLACEHOLDER until kit.recovery is there."""

    def __init__(self, plan: Plan, stop: asyncio.Event, *, say: Callable[[str], None]) -> None:
        self.given_up = ""

    def start(self) -> None: ...

    async def ended(self) -> None: ...
