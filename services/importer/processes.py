"""One worker process, and the conversation with it."""

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
_CANCEL_SECONDS = 0.8


class WorkerDied(Exception):  # noqa: N818 - what happened, by name
    """The process ended during a task."""

    def __init__(self, code: int | None) -> None:
        super().__init__(f"the worker process ended with {_ending(code)}")
        self.ending = _ending(code)


class TaskFailed(Exception):  # noqa: N818 - what happened, by name
    """The task cannot be done here: no disk space, say."""


class Yielded(Exception):  # noqa: N818 - what happened, by name
    """The worker was given to somebody else, behind a split: the task is to be run again."""


class Worker:
    """A process that does one task at a time. It is started when it is needed."""

    def __init__(self, command: Sequence[str] | None = None) -> None:
        # -P: a folder "services" where the importer was started must not be taken for ours.
        self._command = list(command or (sys.executable, "-P", "-m", "services.importer.worker"))
        self._process: asyncio.subprocess.Process | None = None
        self._incoming: asyncio.StreamReader | None = None
        self._outgoing: asyncio.StreamWriter | None = None
        #: Workspace of its task; "" between tasks.
        self.workspace = ""

    @property
    def alive(self) -> bool:
        """Whether there is a process."""
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int:
        """Of the process; there has to be one."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Starts the process; it gets ready by itself."""
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        self._incoming, self._outgoing = self._process.stdout, self._process.stdin

    async def run(
        self, spec: TaskSpec, on_message: OnMessage, *, tail: bool, give_way: Callable[[], bool]
    ) -> dict[int, int]:
        """Does a task; see WorkerPool.run. `give_way` is asked behind each split; `tail`: lines are wanted."""
        if not self.alive:
            await self.start()
        self.workspace = spec.workspace
        try:
            await self._send(spec.to_message())
            if tail:
                await self.tail(on=True)
            return await self._converse(on_message, give_way)
        except (TaskFailed, WorkerDied, Yielded):
            raise
        except BaseException:  # cancelled, or the caller failed: the worker must not go on
            await self._cancel()
            raise
        finally:
            self.workspace = ""

    async def tail(self, *, on: bool) -> None:
        """Tells it to send the lines that it reads, or no more."""
        await self._send({"op": "tail", "on": on})

    async def kill(self) -> None:
        """Ends the process, and waits for its end."""
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            process.kill()
        if self._outgoing is not None:
            self._outgoing.close()
        await process.wait()

    async def _converse(self, on_message: OnMessage, give_way: Callable[[], bool]) -> dict[int, int]:
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
                    # Not behind its last split: that would be work for nothing.
                    if message["cursor"] is not None and give_way():
                        await self._cancel()
                        raise Yielded
                    await self._send({"op": "ack"})
                case "ready":
                    pass
                case _:
                    await on_message(message)

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


def _ending(code: int | None) -> str:
    return f"signal {-code}" if code is not None and code < 0 else f"exit status {code}"
