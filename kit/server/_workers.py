"""Several processes that serve one port: the parent, which serves nothing itself.

The parent reserves the port with SO_REUSEPORT, and starts its own command again for each worker (exec, not fork: grpc's
threads and sockets do not survive a fork). The kernel gives each new connection to one of them. The parent keeps them
running, and what is one thing to the outside is made one here:

    registration    one entry, for as long as a worker serves
    health          a worker is ready when all are: a probe may land on any of them
    metrics         the parent asks all of them (`metrics`)
    SIGTERM         drains all at once; a second one hastens that
    SIGHUP          replaces one after the other, each by a process with the code and configuration of now

A worker that ends is started again, with growing pauses; one that does not answer is killed first.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.discovery import Registration, Registry
from kit.observe import get_logger, metrics
from kit.recovery import AliveRules, Child, ChildEvent, ChildState, RestartPolicy, StopRequest, Supervisor
from kit.server._drain import CLEANUP_TIMEOUT, HOLD, SETTLE, first_of
from kit.server._reserved import reserved
from kit.server._scrape import MetricsPort
from kit.server._worker import VARIABLE, Worker
from kit.server._worker_link import GoneError, Link

if TYPE_CHECKING:
    from kit.server.server import Server

__all__ = ["Workers"]

log = get_logger("kit.workers")

#: They are never given up while one of them serves. Times are seconds.
RESTARTS = RestartPolicy(base=0.5, cap=30.0, max_restarts=1_000_000, stable_after=30.0)
#: Ends in a row of a worker, while none serves, until the parent ends with 1.
GIVE_UP = 5
#: Seconds that a worker has for an answer about its metrics; that a replaced one has to become ready before the next
#: is replaced all the same.
ANSWER_TIMEOUT = 5.0
READY_TIMEOUT = 30.0
#: Seconds that workers have for their end when nobody waits for answers any more.
ORPHAN_GRACE = 1.0


class Workers:
    """The parent of `count` processes like `server`, which is not started itself."""

    def __init__(
        self, server: Server, count: int, *, argv: Sequence[str] = (), alive: AliveRules | None = None
    ) -> None:
        """`argv` starts a worker; empty: as this process was started. Raises ConfigurationError."""
        server._check_shareable(count)
        self._server = server
        self._count = count
        self._argv = argv or [sys.executable, *sys.orig_argv[1:]]
        self._alive = alive
        self._links: dict[int, Link] = {}
        self._states: dict[int, dict[str, Any]] = {}
        #: The last process of each worker, also when it has gone.
        self._pids: dict[int, int] = {}
        self._told: dict[Link, bool] = {}
        #: What workers that are gone have counted.
        self._left: metrics.Snapshot | None = None
        self._changed = asyncio.Event()
        self._registration: Registration | None = None
        self._supervisor: Supervisor | None = None
        self._reloading: asyncio.Task[None] | None = None
        self._code = 0
        self._ever = False
        self._stop = asyncio.Event()

    async def serve(self) -> int:
        """Runs until SIGTERM, SIGINT or the end of this process's own parent; returns the exit code.

        0 after a stop that was asked for, 1 when the workers end again and again, 2 where they are configured wrongly.
        """
        options = self._server._options
        grace = options.drain_delay + SETTLE + HOLD + options.grace + 2 * CLEANUP_TIMEOUT
        with (
            reserved(options.listen) as port,
            tempfile.TemporaryDirectory(prefix="kit-workers-") as folder,
            StopRequest(kill_after=grace) as stop,
        ):
            scraped = self._metrics_port()
            if scraped is not None:
                await scraped.open()
            path = str(Path(folder) / "socket")
            door = await asyncio.start_unix_server(self._joined, path)
            self._supervisor = Supervisor(
                [self._child(number, port, path) for number in range(self._count)],
                policy=RESTARTS,
                alive=self._alive,
                on_event=self._happened,
                grace=grace,
                together=True,
            )
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGHUP, self.reload)
            running = asyncio.ensure_future(self._supervisor.run(self._stop))
            minding = asyncio.ensure_future(self._mind(options.advertised(port)))
            try:
                await first_of(running, minding, stop.requested)
                log.info("stopping", reason=stop.reason or "no worker is left", workers=len(self._states))
                if minding.done():
                    self._code = 1
                    log.error("the workers could not be minded", exc_info=minding.exception())
                minding.cancel()
                await self._end(stop, running)
            finally:
                loop.remove_signal_handler(signal.SIGHUP)
                minding.cancel()
                self._withdraw()
                door.close()
                if scraped is not None:
                    await scraped.close()
                for link in tuple(self._links.values()):
                    link.close()
        log.info("stopped")
        return self._code

    async def _end(self, stop: StopRequest, running: asyncio.Future[None]) -> None:
        self._withdraw()
        if self._reloading is not None:
            self._reloading.cancel()
        self._stop.set()
        if stop.parent_gone:
            await asyncio.wait({running}, timeout=ORPHAN_GRACE)
        else:
            await first_of(running, stop.hastened)
        if not running.done():
            log.info("hastening the stop")
            assert self._supervisor is not None
            self._supervisor.terminate()
        await running

    def _metrics_port(self) -> MetricsPort | None:
        """Where what all have counted is read."""

        async def text() -> bytes:
            return metrics.render(await self.snapshots())

        listen = self._server._metered.address
        return MetricsPort(listen, text) if listen else None

    # What can be asked

    async def snapshots(self) -> list[metrics.Snapshot]:
        """What every worker, and the parent itself, has counted; one that does not answer is left out.

        What replaced workers had counted is in it, unless they were killed: a counter does not run backwards.
        """
        return [metrics.snapshot(), *([] if self._left is None else [self._left]), *await self._ask("metrics")]

    async def health(self) -> list[Any]:
        """The health of every worker, as `kit.health.merge_snapshots` takes it."""
        return await self._ask("health")

    async def _ask(self, what: str) -> list[Any]:
        asked = [link.ask(what, ANSWER_TIMEOUT) for link in tuple(self._links.values())]
        found = await asyncio.gather(*asked, return_exceptions=True)
        for answer in found:
            if isinstance(answer, BaseException):
                log.warning("a worker does not answer", asked=what, error=str(answer))
        return [answer for answer in found if not isinstance(answer, BaseException)]

    def reload(self) -> None:
        """Replaces one worker after the other; asked again while that is under way, it changes nothing."""
        if self._reloading is None or self._reloading.done():
            self._reloading = asyncio.ensure_future(self._reload())

    async def _reload(self) -> None:
        log.info("replacing the workers", count=self._count)
        assert self._supervisor is not None
        for number in range(self._count):
            if not await self._supervisor.restart(self._name(number)):
                log.error("a worker that was replaced does not start; the others are left as they are", worker=number)
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(READY_TIMEOUT):
                    while not self._states.get(number, {}).get("ready"):
                        await self._change()
        log.info("the workers are replaced")

    # Inside

    def _name(self, number: int) -> str:
        return f"{self._server.name}-{number}"

    def _child(self, number: int, port: int, path: str) -> Child:
        worker = Worker(number=number, count=self._count, port=port, socket=path)
        name = self._name(number)

        def joined() -> bool:
            assert self._supervisor is not None
            state = self._states.get(number)
            return state is not None and state["pid"] == self._supervisor.pids.get(name)

        async def alive() -> bool:
            link = self._links.get(number)
            if link is None:
                raise GoneError("it is not connected")
            # The supervisor's own time is up sooner.
            return bool(await link.ask("alive", 3600.0))

        return Child(name, self._argv, {**os.environ, VARIABLE: worker.variable()}, joined, alive=alive)

    async def _joined(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A worker has connected; returns when it has gone."""
        number = -1

        def told(what: str, data: Any) -> None:
            nonlocal number
            if what == "left":
                self._left = metrics.merge([data] if self._left is None else [self._left, data], gauges=False)
            elif what == "state":
                number = data["number"]
                self._ever = True
                self._links[number], self._states[number] = link, data
                former = self._pids.get(number)
                self._pids[number] = data["pid"]
                if former is not None and former != data["pid"]:
                    self._tell_restart(number, former, data["pid"])
                self._now_changed()

        link = Link(reader, writer, {}, told)
        await link.run()
        self._told.pop(link, None)
        if self._links.get(number) is link:
            del self._links[number], self._states[number]
            self._now_changed()

    def _tell_restart(self, number: int, old_pid: int, new_pid: int) -> None:
        """Has every worker's event bus told: whoever watches, watches one of them."""
        for link in self._links.values():
            link.tell("restarted", {"worker": number, "old_pid": old_pid, "new_pid": new_pid})

    def _now_changed(self) -> None:
        for number, link in self._links.items():
            others = [state for other, state in self._states.items() if other != number and not state["draining"]]
            ready = all(state["ready"] for state in others)
            if self._told.get(link, True) != ready:
                self._told[link] = ready
                link.tell("others", ready)
        self._changed.set()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    async def _mind(self, address: str) -> None:
        """Keeps the registration at what is true."""
        while True:
            pids = {number: state["pid"] for number, state in sorted(self._states.items())}
            if self._server._options.register:
                self._register(address, ",".join(str(pid) for pid in pids.values()))
            await self._change()

    def _register(self, address: str, pids: str) -> None:
        if not pids:
            self._withdraw()
            return
        metadata = {"services": ",".join(self._server.services), "workers": pids}
        if self._registration is None:
            registry = self._server._registry
            registry = Registry() if registry is None else registry
            self._registration = registry.register(
                self._server.name, address, metadata=metadata, weight=self._server._weight
            )
            log.info("serving", address=address, services=self._server.services, workers=self._count)
        elif self._registration.instance.metadata != metadata:
            self._registration.update(metadata=metadata)

    def _withdraw(self) -> None:
        if self._registration is not None:
            self._registration.close()
            self._registration = None

    def _happened(self, event: ChildEvent) -> None:
        if self._stop.is_set() or self._states:
            return
        if event.state is ChildState.EXITED and event.exit_code == 2 and not self._ever:
            # As the one process without workers would have ended: its log says what is wrong.
            self._code = 2
            self._stop.set()
        elif event.state is ChildState.RESTARTING and event.restarts >= GIVE_UP:
            log.error("the workers end again and again", worker=event.child, restarts=event.restarts)
            self._code = 1
            self._stop.set()
