"""Being asked to stop: by a signal, or by the end of the process that started this one.

The first SIGTERM or SIGINT asks for a stop. The same signal a second time asks to hasten it, and gives signals back
their usual effect: a third one ends the process. A Ctrl-C followed by the SIGTERM of a supervisor is one request, not
two.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

#: Environment variable: the number of an inherited descriptor, the read end of a pipe whose other end the parent holds.
PARENT_FD = "KIT_PARENT_FD"
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """Whether a stop was asked for, and how urgently. Enter it in the event loop of the main thread."""

    def __init__(self, *, kill_after: float = 30.0) -> None:
        """`kill_after`: seconds after the parent's end when the process ends at once, even if its loop is stuck."""
        self.requested = asyncio.Event()
        self.hastened = asyncio.Event()
        self.parent_gone = False
        self.reason = ""
        self._kill_after = kill_after
        self._seen: set[int] = set()
        self._installed: list[signal.Signals] = []

    def ask(self, reason: str) -> None:
        """Asks for a stop; a second time changes nothing."""
        if not self.requested.is_set():
            self.reason = reason
            self.requested.set()

    def signalled(self, number: int) -> None:
        """What a signal does."""
        if number in self._seen:
            self.hastened.set()
            self._uninstall()
        self._seen.add(number)
        self.ask(signal.Signals(number).name)

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                loop.add_signal_handler(number, self.signalled, number)
                self._installed.append(number)

        def gone() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the process is ending anyway
                loop.call_soon_threadsafe(self._parent_is_gone)

        watch_parent(gone, kill_after=self._kill_after)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._uninstall()

    def _parent_is_gone(self) -> None:
        self.parent_gone = True
        self.ask("the parent process is gone")

    def _uninstall(self) -> None:
        loop = asyncio.get_running_loop()
        while self._installed:
            loop.remove_signal_handler(self._installed.pop())


def watch_parent(gone: Callable[[], None], *, kill_after: float = 30.0) -> threading.Thread | None:
    """Calls `gone`, from a thread of its own, when the process that set KIT_PARENT_FD has ended. None where nobody did.

    `kill_after` seconds later this process is ended without more ado. The variable is taken out of the environment: the
    descriptor is not inherited by the programs that are started from here.
    """
    text = os.environ.pop(PARENT_FD, "")
    if not text.isdigit():
        return None
    descriptor = int(text)
    try:
        os.set_inheritable(descriptor, False)
    except OSError:
        return None

    def watch() -> None:
        with contextlib.suppress(OSError):
            while os.read(descriptor, 1):
                pass
        gone()
        threading.Event().wait(kill_after)
        os._exit(1)

    thread = threading.Thread(target=watch, name="kit-parent-watch", daemon=True)
    thread.start()
    return thread
