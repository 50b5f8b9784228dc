"""A worker process of the importer: `python -m services.importer.worker`.

It takes tasks from standard input and answers on standard output (messages.py). When standard input ends, the importer
is gone, and the process ends at once whatever it is doing: what it had not finished is removed when it is built again.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import queue
import select
import signal
import struct
import termios
import threading
import traceback
from typing import BinaryIO

from services.importer.messages import Message, TaskSpec, encode, read_message
from services.importer.room import is_full
from services.importer.task import Task, TaskCancelled
from services.search.index import SplitWriter

#: What the pipe to the importer should hold: Linux gives as much to whoever asks.
_PIPE_BYTES = 1 << 20

# Of glibc's mallopt, and the size from which a block is large.
_M_MMAP_THRESHOLD, _LARGE_BYTES = -3, 256 << 10


class PipePort:
    """The pipes to the importer. A thread reads them, so that an end or a cancellation is seen during work."""

    def __init__(self, incoming: BinaryIO, outgoing: BinaryIO) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._room = _room(outgoing.fileno())
        self.cancelled = False
        self.flush_asked = False
        self.tailed = False
        threading.Thread(target=self._read, name="pipe", daemon=True).start()

    def _read(self) -> None:
        while (message := read_message(self._incoming)) is not None:
            match message["op"]:
                case "flush":
                    self.flush_asked = True
                case "tail":
                    self.tailed = bool(message["on"])
                case "task":
                    self.cancelled = self.flush_asked = self.tailed = False
                    self._messages.put(message)
                case op:
                    self.cancelled = self.cancelled or op == "cancel"
                    self._messages.put(message)
        os._exit(0)

    def send(self, message: Message) -> None:
        """Sends to the importer; ends the process when it is gone."""
        self._write(encode(message))

    def offer(self, message: Message) -> bool:
        """See `task.Port`."""
        data, descriptor = encode(message), self._outgoing.fileno()
        if not select.select([], [descriptor], [], 0)[1] or len(data) > self._room - _unread(descriptor):
            return False
        self._write(data)
        return True

    def _write(self, data: bytes) -> None:
        try:
            self._outgoing.write(data)
            self._outgoing.flush()
        except OSError:
            os._exit(0)

    def wait_for_ack(self) -> None:
        """See `task.Port`."""
        if self._messages.get()["op"] == "cancel":
            raise TaskCancelled

    def next_task(self) -> TaskSpec:
        """Waits for a task. What is left of the one before is dropped."""
        while (message := self._messages.get())["op"] != "task":
            pass
        return TaskSpec.from_message(message)


def _room(descriptor: int) -> int:
    """Makes the pipe large, where that can be done; bytes that it holds."""
    try:
        return fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    except (AttributeError, OSError):
        return 64 << 10


def _unread(descriptor: int) -> int:
    """Bytes in the pipe that the other side has not read."""
    try:
        return int(struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)))[0])
    except OSError:
        return 0


def sentence(error: Exception, folder: str) -> str:
    """What went wrong, for people. `folder` is where splits are written."""
    if is_full(error):
        return f"There is no room for the index in {folder}: {error}. Make room, then import again."
    return f"{type(error).__name__}: {error}"


def give_back_memory() -> None:
    """Has the C library return what is large to the system as soon as it is freed.

    It otherwise learns to keep blocks of the size that the engine uses, a third of the process in the end. Only glibc
    has this switch; others keep less by themselves.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)


def work(port: PipePort) -> None:
    """Does tasks until the importer is gone."""
    port.send({"op": "ready"})
    while True:
        spec = port.next_task()
        try:
            Task(spec, port, SplitWriter).run()
        except TaskCancelled:
            port.send({"op": "cancelled"})
        except Exception as error:  # noqa: BLE001 - whatever it is, the importer must hear of it
            traceback.print_exc()
            port.send({"op": "failed", "message": sentence(error, spec.splits)})


def main() -> None:
    """Runs the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the importer, which drains
    give_back_memory()
    outgoing = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what anything prints must not get between the messages
    work(PipePort(os.fdopen(os.dup(0), "rb"), outgoing))


if __name__ == "__main__":
    main()
