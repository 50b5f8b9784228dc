"""A worker process of the importer: `python -m services.importer.worker`.

It takes tasks from standard input and answers on standard output (messages.py). When standard input ends, the importer
is gone, and the process ends at once whatever it is doing: what it had not finished is removed when it is built again.
"""

from __future__ import annotations

import os
import queue
import signal
import threading
import traceback
from typing import BinaryIO

from services.importer.messages import Message, TaskSpec, encode, read_message
from services.importer.task import Task, TaskCancelled
from services.search.index import SplitWriter


class PipePort:
    """The pipes to the importer. A thread reads them, so that an end or a cancellation is seen during work."""

    def __init__(self, incoming: BinaryIO, outgoing: BinaryIO) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self.cancelled = False
        threading.Thread(target=self._read, name="pipe", daemon=True).start()

    def _read(self) -> None:
        while (message := read_message(self._incoming)) is not None:
            if message["op"] in ("cancel", "task"):
                self.cancelled = message["op"] == "cancel"
            self._messages.put(message)
        os._exit(0)

    def send(self, message: Message) -> None:
        """Sends to the importer; ends the process when it is gone."""
        try:
            self._outgoing.write(encode(message))
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
            port.send({"op": "failed", "message": f"{type(error).__name__}: {error}"})


def main() -> None:
    """Runs the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the importer, which drains
    outgoing = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what anything prints must not get between the messages
    work(PipePort(os.fdopen(os.dup(0), "rb"), outgoing))


if __name__ == "__main__":
    main()
