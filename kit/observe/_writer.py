"""Log lines written by a thread of their own, so that a slow disk or a full pipe never holds up the event loop.

A line is put onto a queue; the thread wakes at once for the first and takes what has come together in the next few
milliseconds in one go. At most `LIMIT` lines wait (`KEPT_LIMIT` for those that are to be kept); further ones are
dropped, counted, and told of by a line of their own as soon as there is room.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import stat
import threading
import time
import weakref
from collections import deque
from datetime import UTC, datetime

from kit.errors import ConfigurationError

__all__ = ["LineHandler", "LineWriter"]

#: Lines that may wait, and how many of those that are to be kept.
LIMIT = 10_000
KEPT_LIMIT = 100_000
#: Seconds for which lines are gathered after a write.
GATHER = 0.01
#: Seconds between looks whether the file at the path is still the open one.
LOOK_INTERVAL = 1.0
#: Seconds that the end of a process waits for the last lines.
FLUSH_TIMEOUT = 2.0
#: Bytes of one write: up to so many are not mixed with those of other processes in a pipe.
_PIPE_BYTES = 4096
_FILE_BYTES = 1 << 18
#: Seconds after which a descriptor that takes nothing is given up on for the lines of this write.
_STUCK = 30.0

_writers: weakref.WeakSet[LineWriter] = weakref.WeakSet()


class LineWriter:
    """Writes lines to a descriptor, or to a file that it opens and, once another one has its name, opens again."""

    def __init__(self, target: int | str) -> None:
        """`target` is a descriptor, which stays the caller's, or a path. Raises ConfigurationError."""
        self._path = target if isinstance(target, str) else ""
        self._fd = target if isinstance(target, int) else _open(self._path)
        is_file = stat.S_ISREG(os.fstat(self._fd).st_mode)
        self._batch = _FILE_BYTES if is_file else _PIPE_BYTES
        self._looked = time.monotonic()
        self._reopen = False
        self._closed = False
        #: Lines that were not written since the last line that said so.
        self.dropped = 0
        self._reset()
        _writers.add(self)

    def _reset(self) -> None:
        self._lines: deque[bytes] = deque()
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def put(self, line: bytes, *, keep: bool = False) -> None:
        """Takes a line, its newline included. It never waits."""
        lines = self._lines
        if len(lines) >= (KEPT_LIMIT if keep else LIMIT):
            self.dropped += 1
            return
        lines.append(line)
        if not self._wake.is_set():
            self._idle.clear()
            self._wake.set()
            if self._thread is None:
                self._start()

    def flush(self, timeout: float = FLUSH_TIMEOUT) -> bool:
        """Waits at most `timeout` seconds until every line is written; returns whether they are."""
        self._hurry.set()
        return self._idle.wait(timeout)

    def reopen(self) -> None:
        """Opens the file by its name again before the next line."""
        self._reopen = True

    def close(self) -> None:
        """Writes what is left and ends the thread."""
        if self._closed:
            return
        self._closed = True
        self.flush()
        self._wake.set()
        thread = self._thread
        if thread is not None:
            thread.join(FLUSH_TIMEOUT)
        if self._path and (thread is None or not thread.is_alive()):
            os.close(self._fd)

    # The thread

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="kit-log", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            self._drain()
            if not self._lines and not self._wake.is_set():
                self._idle.set()
                if self._closed:
                    return
                if self._lines:
                    self._idle.clear()
            self._hurry.wait(GATHER)
            self._hurry.clear()

    def _drain(self) -> None:
        if self._path:
            self._follow()
        if count := self.dropped:
            with contextlib.suppress(OSError):
                self._write(_dropped_line(count))
                self.dropped -= count
        while self._lines:
            batch = [self._lines.popleft()]
            size = len(batch[0])
            while self._lines and size + len(self._lines[0]) <= self._batch:
                batch.append(self._lines.popleft())
                size += len(batch[-1])
            try:
                self._write(b"".join(batch))
            except OSError:
                self.dropped += len(batch)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._fd, view) :]
            except BlockingIOError:
                # Somebody has made the descriptor a non-blocking one.
                waiting = select.poll()
                waiting.register(self._fd, select.POLLOUT)
                if not waiting.poll(_STUCK * 1000):
                    raise

    def _follow(self) -> None:
        """Opens the path again where what it names is no longer the open file."""
        now = time.monotonic()
        if not self._reopen and now - self._looked < LOOK_INTERVAL:
            return
        self._looked, self._reopen = now, False
        with contextlib.suppress(OSError):
            if os.path.samestat(os.stat(self._path), os.fstat(self._fd)):
                return
        with contextlib.suppress(ConfigurationError):
            opened = _open(self._path)
            self._fd, old = opened, self._fd
            os.close(old)


class LineHandler(logging.Handler):
    """Hands the standard library's records, formatted, to a writer."""

    def __init__(self, writer: LineWriter, *, keep: bool = False) -> None:
        super().__init__()
        self.writer = writer
        self.keep = keep

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.writer.put(self.format(record).encode("utf-8", "backslashreplace") + b"\n", keep=self.keep)
        except Exception:  # noqa: BLE001 - as the standard library's handlers do
            self.handleError(record)

    def flush(self) -> None:
        self.writer.flush()

    def close(self) -> None:
        self.writer.close()
        super().close()


def _open(path: str) -> int:
    try:
        # Who is not in the group has no business in a log.
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise ConfigurationError(f"the log cannot be written to {path}: {error.strerror}") from error


def _dropped_line(count: int) -> bytes:
    line = {
        "event": "log lines were dropped: they came faster than they could be written",
        "level": "warning",
        "logger": "kit.observe",
        "count": count,
        "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
    }
    return json.dumps(line).encode() + b"\n"


def _after_fork() -> None:
    """A child has no threads; what waited is written by its parent."""
    for writer in list(_writers):
        writer._reset()


os.register_at_fork(after_in_child=_after_fork)
