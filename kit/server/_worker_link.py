"""What a parent and its workers say to each other: frames of JSON over a Unix socket, either end may ask.

A frame is four bytes of length and a JSON object: {"ask": what, "id": n}, {"answer": anything, "id": n},
{"failed": text, "id": n} or {"tell": what, "data": anything}, which is not answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from kit.observe import get_logger

__all__ = ["GoneError", "Link"]

log = get_logger("kit.workers")

#: Bytes of a frame at most; a snapshot of all metrics has some hundred thousand.
MAX_FRAME = 64 << 20

Answer = Callable[[], Awaitable[Any] | Any]


class GoneError(ConnectionError):
    """The other end is not there any more, or does not answer as it should."""


class Link:
    """One end. `answers` are by what is asked; `told` is called with what the other end tells."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        answers: Mapping[str, Answer],
        told: Callable[[str, Any], object],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._answers = answers
        self._told = told
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._answering: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Reads until the other end is gone."""
        try:
            while True:
                size = int.from_bytes(await self._reader.readexactly(4), "big")
                if size > MAX_FRAME:
                    log.error("a frame is too large", bytes=size)
                    return
                self._take(json.loads(await self._reader.readexactly(size)))
        except (OSError, EOFError, ValueError):
            return
        finally:
            self.close()

    def close(self) -> None:
        """Ends it; whoever waits for an answer gets GoneError."""
        self._writer.close()
        for task in self._answering:
            task.cancel()
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(GoneError("the other end has gone"))

    async def leave(self, what: str, data: Any) -> None:
        """Tells a last thing and ends it."""
        self.tell(what, data)
        with contextlib.suppress(OSError):
            await self._writer.drain()
        self.close()

    def tell(self, what: str, data: Any = None) -> None:
        """Sends what needs no answer."""
        self._send({"tell": what, "data": data})

    async def ask(self, what: str, timeout: float) -> Any:
        """The answer of the other end. Raises GoneError where there is none within `timeout` seconds."""
        number = next(self._numbers)
        waiting = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            self._send({"ask": what, "id": number})
            async with asyncio.timeout(timeout):
                return await waiting
        except TimeoutError:
            raise GoneError(f"no answer to {what!r} within {timeout:g} s") from None
        finally:
            self._waiting.pop(number, None)

    def _send(self, frame: dict[str, Any]) -> None:
        if self._writer.is_closing():
            return
        data = json.dumps(frame).encode()
        self._writer.write(len(data).to_bytes(4, "big") + data)

    def _take(self, frame: dict[str, Any]) -> None:
        if "tell" in frame:
            self._told(frame["tell"], frame["data"])
        elif "ask" in frame:
            task = asyncio.create_task(self._answer(frame["ask"], frame["id"]))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)
        elif (waiting := self._waiting.get(frame["id"])) is not None and not waiting.done():
            if "failed" in frame:
                waiting.set_exception(GoneError(frame["failed"]))
            else:
                waiting.set_result(frame["answer"])

    async def _answer(self, what: str, number: int) -> None:
        try:
            answer = self._answers[what]()
            if isinstance(answer, Awaitable):
                answer = await answer
            self._send({"answer": answer, "id": number})
        except Exception as error:
            log.exception("a question could not be answered", asked=what)
            self._send({"failed": f"{what}: {type(error).__name__}: {error}", "id": number})
