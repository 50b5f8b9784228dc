"""Servers as processes that kill themselves at a named step.

This process imports what they need and makes nothing; for each line of JSON on its standard input it forks one, or
waits for the end of one, and answers with a line.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

import kit
from kit.server.idempotency import CallKey, Claim, SqlStore, Ticket
from tests.integration.server.idempotency.orders import in_database, in_file
from tests.integration.server.idempotency.shop import Context, Shop, add_shop, declared

#: Seconds that a process may take to die of what it is told to die of.
PATIENCE = 20.0


class Fate:
    """The step at which the process dies; each is reached once."""

    def __init__(self, step: str) -> None:
        self.step = step
        self.serving = False
        self._commits = 0

    def reached(self, step: str) -> None:
        if step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)

    def commit(self, _connection: sa.Connection) -> None:
        """Right before a transaction is committed."""
        if self.serving:
            self._commits += 1
            self.reached(f"commit {self._commits}")
        else:
            self.reached("commit at the start")


class MortalStore(SqlStore):
    """Dies before or after what it is asked to do."""

    def __init__(self, url: str, fate: Fate, *, lease: float) -> None:
        super().__init__(url, lease=lease, timeout=20.0)
        self._fate = fate

    async def claim(self, key: CallKey, fingerprint: bytes, owner: str, *, ttl: float) -> Claim:
        self._fate.reached("before claim")
        claim = await super().claim(key, fingerprint, owner, ttl=ttl)
        self._fate.reached("after claim")
        return claim

    async def look(self, key: CallKey, fingerprint: bytes, owner: str) -> Claim:
        self._fate.reached("before look")
        claim = await super().look(key, fingerprint, owner)
        self._fate.reached("after look")
        return claim

    async def renew(self, tickets: Sequence[Ticket]) -> frozenset[Ticket]:
        self._fate.reached("before renew")
        good = await super().renew(tickets)
        self._fate.reached("after renew")
        return good

    async def complete(self, ticket: Ticket, answer: bytes, *, ttl: float) -> bool:
        self._fate.reached("before complete")
        good = await super().complete(ticket, answer, ttl=ttl)
        self._fate.reached("after complete")
        return good

    async def release(self, ticket: Ticket) -> bool:
        self._fate.reached("before release")
        good = await super().release(ticket)
        self._fate.reached("after release")
        return good

    @asynccontextmanager
    async def transaction(
        self, ticket: Ticket | None, answer: Callable[[], bytes], *, ttl: float
    ) -> AsyncIterator[Any]:
        self._fate.reached("before transaction")
        async with super().transaction(ticket, answer, ttl=ttl) as connection:
            self._fate.reached("in transaction")
            yield connection
            self._fate.reached("effect written")
        self._fate.reached("after transaction")


async def serve(command: dict[str, Any], ready: int) -> None:
    """Serves until it is killed; writes its address to `ready`."""
    fate, file = Fate(command["step"]), command["file"]
    event.listen(sa.Engine, "commit", fate.commit)

    async def act(text: str, _context: Context) -> object:
        fate.reached("in handler")
        if "release" in fate.step:
            raise kit.errors.Unavailable("not now")
        if "renew" in fate.step or text == "stand still":
            await asyncio.Event().wait()
        answer = in_file(Path(file), text) if file else await in_database(text)
        fate.reached("effect done")
        return answer

    store = MortalStore(command["url"], fate, lease=command["lease"])
    shop = Shop(act)
    server = kit.Server("shop", register=False, policy=declared(), idempotency=store).add(shop, add_shop)
    async with server:
        fate.serving = True
        os.write(ready, server.address.encode())
        os.close(ready)
        await asyncio.Event().wait()


def fork(command: dict[str, Any]) -> dict[str, Any]:
    """The pid, and the address where it got as far as that."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reading)
        asyncio.run(serve(command, writing))
        os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as address:
        return {"pid": pid, "address": address.read()}


def status_of(pid: int) -> int | None:
    """Waits for its end; None where it goes on living."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    return None


def main() -> None:
    for line in sys.stdin:
        command = json.loads(line)
        answer = fork(command) if "url" in command else {"status": status_of(command["wait"])}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
