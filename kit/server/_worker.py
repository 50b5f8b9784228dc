"""The side of a worker: one of several processes that serve one port. `_workers` is the parent's side."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kit.errors import ConfigurationError
from kit.health import READINESS
from kit.observe import get_logger, metrics
from kit.server._worker_link import Link

if TYPE_CHECKING:
    from kit.server.server import Server

__all__ = ["OTHERS", "VARIABLE", "Worker", "processes"]

log = get_logger("kit.workers")

#: Environment variable of a worker: "number/count/port/socket".
VARIABLE = "KIT_WORKER"
#: What is in the way of a worker's readiness where another one is not ready.
OTHERS = "another worker"
#: Seconds between two looks at whether this worker is ready, and between two tries to reach the parent.
LOOK = 0.1
AGAIN = 1.0

_count = 1


def processes() -> int:
    """How many processes serve together, this one among them: what is limited per process has its share of it."""
    return _count


@dataclass(frozen=True, kw_only=True, slots=True)
class Worker:
    """Which worker this process is."""

    #: 0 is the first.
    number: int
    count: int
    #: What they all listen on.
    port: int
    #: Where the parent is spoken to.
    socket: str

    def variable(self) -> str:
        """The value of the environment variable."""
        return f"{self.number}/{self.count}/{self.port}/{self.socket}"

    @classmethod
    def taken(cls, environ: MutableMapping[str, str]) -> Worker | None:
        """What the environment says, which is taken out of it: programs that are started from here are no workers."""
        global _count  # noqa: PLW0603 - of the process, as its environment is
        text = environ.pop(VARIABLE, "")
        if not text:
            return None
        try:
            number, count, port, path = text.split("/", 3)
            worker = cls(number=int(number), count=int(count), port=int(port), socket=path)
        except ValueError:
            raise ConfigurationError(f"{VARIABLE} is set by the parent of workers, and not to {text!r}") from None
        _count = worker.count
        return worker

    def join(self, server: Server) -> None:
        """Makes `server` one of those that share the port."""
        # A terminal that is closed tells it to all processes; it is the parent that acts.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        server._share_port(self.port)

        async def follow() -> None:
            await self._follow(server)

        server.task("workers", follow)

    async def _follow(self, server: Server) -> None:
        """Tells the parent how this worker is, and does what the parent asks, until it is cancelled."""

        def told(what: str, data: Any) -> None:
            if what == "others":
                (server.health.release if data else server.health.hold)(OTHERS)
            elif what == "restarted":
                from kit.server._ops import tell_restart

                tell_restart(server.name, **data)

        answers: Mapping[str, Any] = {
            "alive": lambda: True,
            "metrics": metrics.snapshot,
            "health": server.health_snapshot,
        }
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(self.socket)
            except OSError as error:
                log.warning("the parent of the workers is not reached", error=str(error))
                await asyncio.sleep(AGAIN)
                continue
            link = Link(reader, writer, answers, told)
            running = asyncio.ensure_future(link.run())
            try:
                last: object = None
                while not running.done():
                    state = {"number": self.number, "pid": os.getpid(), **_state(server)}
                    if state != last:
                        last = state
                        link.tell("state", state)
                    await asyncio.wait({running}, timeout=LOOK)
            finally:
                # What it has counted must not be lost with it.
                await link.leave("left", metrics.snapshot())
                running.cancel()


def _state(server: Server) -> dict[str, bool]:
    """How this worker is by itself."""
    in_the_way = set(server.health.in_the_way)
    ready = not in_the_way - {OTHERS} if OTHERS in in_the_way else server.health.serving(READINESS)
    return {"ready": ready, "draining": "drain" in in_the_way}
