"""The worker processes: started, given tasks, replaced when they die."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Sequence

from kit.observe import get_logger
from services.importer.messages import HEADER_BYTES, Message, TaskSpec, decode, encode

_log = get_logger("importer.pool")

#: Takes what a worker says during a task. A "split" is acknowledged to the worker when it returns.
OnMessage = Callable[[Message], Awaitable[None]]

# How long a worker may take to stop its task before it is killed.
_CANCEL_SECONDS = 1.0


class WorkerDied(Exception):  # noqa: N818 - what happened, by name
    """The process ended during a task."""

    def __init__(self, code: int | None) -> None:
        super().__init__(f"the worker process ended with {_ending(code)}")
        self.ending = _ending(code)


class TaskFailed(Exception):  # noqa: N818 - what happened, by name
    """The task cannot be done here: no disk space, say."""


class WorkerPool:
    """`count` processes, each with one task at a time; a caller waits for a free one."""

    def __init__(self, count: int, *, command: Sequence[str] | None = None) -> None:
        self._count = count
        self._command = list(command) if command is not None else _command()
        self._workers: list[_Worker] = []
        self._free: asyncio.Queue[_Worker] = asyncio.Queue()

    @property
    def pids(self) -> list[int]:
        """Of the processes that are alive."""
        return [worker.pid for worker in self._workers if worker.alive]

    async def start(self) -> None:
        """Starts the processes; they get ready by themselves."""
        for _ in range(self._count):
            worker = _Worker(self._command)
            await worker.start()
            self._workers.append(worker)
            self._free.put_nowait(worker)

    async def run(self, spec: TaskSpec, on_message: OnMessage) -> dict[int, int]:
        """Does a task; returns the files that were whole without lines, by number of the file on disk.

        Raises WorkerDied or TaskFailed. When it is cancelled the worker stops within a second, by force if it must.
        """
        worker = await self._free.get()
        try:
            if not worker.alive:
                await worker.start()
            return await worker.run(spec, on_message)
        finally:
            self._free.put_nowait(worker)

    async def stop(self) -> None:
        """Ends the processes. Their unfinished splits are removed when they are built again."""
        await asyncio.gather(*(worker.kill() for worker in self._workers))


class _Worker:
    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._process: asyncio.subprocess.Process | None = None
        self._incoming: asyncio.StreamReader | None = None
        self._outgoing: asyncio.StreamWriter | None = None

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        self._incoming, self._outgoing = self._process.stdout, self._process.stdin

    async def run(self, spec: TaskSpec, on_message: OnMessage) -> dict[int, int]:
        try:
            return await self._converse(spec, on_message)
        except (TaskFailed, WorkerDied):
            raise
        except BaseException:  # cancelled, or the caller failed: the worker must not go on
            await self._cancel()
            raise

    async def _converse(self, spec: TaskSpec, on_message: OnMessage) -> dict[int, int]:
        await self._send(spec.to_message())
        while True:
            message = await self._receive()
            match message["op"]:
                case "done":
                    return {int(number): count for number, count in message["files"].items()}
                case "failed":
                    raise TaskFailed(message["message"])
                case "cancelled":
                    raise TaskFailed("the worker stopped without being asked to")
                case "split":
                    await on_message(message)
                    await self._send({"op": "ack"})
                case "ready":
                    pass
                case _:
                    await on_message(message)

    async def kill(self) -> None:
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            process.kill()
        if self._outgoing is not None:
            self._outgoing.close()
        await process.wait()

    async def _cancel(self) -> None:
        try:
            async with asyncio.timeout(_CANCEL_SECONDS):
                await self._send({"op": "cancel"})
                while (await self._receive())["op"] not in ("cancelled", "done", "failed"):
                    pass
        except (TimeoutError, WorkerDied, asyncio.CancelledError):
            await self.kill()

    async def _send(self, message: Message) -> None:
        assert self._outgoing is not None
        try:
            self._outgoing.write(encode(message))
            await self._outgoing.drain()
        except OSError:
            raise await self._died() from None

    async def _receive(self) -> Message:
        assert self._incoming is not None
        try:
            header = await self._incoming.readexactly(HEADER_BYTES)
            return decode(await self._incoming.readexactly(int.from_bytes(header, "big")))
        except (asyncio.IncompleteReadError, OSError):
            raise await self._died() from None

    async def _died(self) -> WorkerDied:
        await self.kill()
        assert self._process is not None
        died = WorkerDied(self._process.returncode)
        _log.warning("worker_died", pid=self._process.pid, ending=died.ending)
        return died


def _command() -> list[str]:
    # -P: a folder "services" where the importer was started must not be taken for ours.
    return [sys.executable, "-P", "-m", "services.importer.worker"]


def _ending(code: int | None) -> str:
    return f"signal {-code}" if code is not None and code < 0 else f"exit status {code}"
