"""7z, rar, lz4 and Z: unpacked by libarchive in a process of its own (unpacker.py), and given like any archive."""

from __future__ import annotations

import fcntl
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.importer.reading.codec import too_much_memory
from services.importer.reading.limits import Meter
from services.importer.reading.problems import Problem, ReadProblem, Reason
from services.importer.reading.streams import Buffered

_PROGRAM = Path(__file__).with_name("unpacker.py")
# What the process needs beside the window: Python, the libraries, buffers.
_BASE_BYTES = 112 << 20
_PIPE_BYTES = 1 << 20
_PIECE = 64 << 10
_CHECK_MILLISECONDS = 250
_NO_LIBRARY = (
    "7z, rar, lz4 and Z archives are read by the system's libarchive, which is not installed. "
    "On Debian and Ubuntu: apt-get install libarchive13 (libarchive13t64 from Debian 13 and Ubuntu 24.04 on)."
)
_UNREADABLE = {
    "encrypted": "This member is encrypted. Decrypt the archive first; passwords are not supported.",
    "copy": "This member is kept as a reference to another one with the same content, which is read.",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in an archive. Its stream is valid until the next entry is asked for."""

    name: str
    modified: float | None
    stream: Buffered


def entries(archive: Buffered, kind: str, meter: Meter, name: str) -> Generator[Entry | Problem, None, None]:
    """Every file of the archive of the kind "7z", "rar", "lz4" or "compress"; the last two have one, without a name.

    A damage of the archive as a whole ends it with ReadProblem.
    """
    unpacker = _Unpacker(archive, kind, meter)
    try:
        while (member := unpacker.next_member()) is not None:
            label, modified, state = member["name"], member["modified"], member["kind"]
            if state in _UNREADABLE:
                yield Problem(f"{name}!/{label}", Reason.UNSUPPORTED, _UNREADABLE[state])
            elif state == "file":
                stream = Buffered(unpacker)
                yield Entry(label, None if modified is None else float(modified), stream)
                unpacker.drain()
    finally:
        unpacker.close()


class Single:
    """The one text in an lz4 or Z file, as a stream; to be closed."""

    def __init__(self, archive: Buffered, kind: str, meter: Meter) -> None:
        self._unpacker = _Unpacker(archive, kind, meter)
        self._begun = False

    def read(self, size: int) -> bytes:
        """Unpacked bytes."""
        if not self._begun:
            self._begun = True
            self._unpacker.next_member()
        return self._unpacker.read(size)

    def close(self) -> None:
        """Ends the process."""
        self._unpacker.close()


class _Unpacker:
    """The process, as a stream of the current member's content."""

    def __init__(self, archive: Buffered, kind: str, meter: Meter) -> None:
        self._archive = archive
        self._meter = meter
        self._out = bytearray()
        self._kept: tuple[bytes, bytes] | None = None
        self._problem: ReadProblem | None = None
        self._input_problem: ReadProblem | None = None
        self._pending = b""
        self._feed: int | None = None
        self._disk: int | None = None
        with ExitStack() as given:
            fd = self._source(kind, given)
            self._process = self._start(kind, fd)
        assert self._process.stdout is not None
        self._stdout = self._process.stdout.fileno()
        _widen(self._stdout)

    def next_member(self) -> dict[str, Any] | None:
        """Goes to the next member, whatever is left of this one; None at the end."""
        while True:
            letter, payload = self._frame()
            if letter == b"E":
                member: dict[str, Any] = json.loads(payload)
                return member
            if letter == b"Z":
                self._kept = letter, payload
                return None

    def read(self, _size: int) -> bytes:
        """Content of the member, as much as comes at once."""
        letter, payload = self._frame()
        if letter == b"P":
            raise _problem(payload, self._meter)
        if letter != b"D":
            self._kept = letter, payload
            return b""
        return payload[8:]

    def drain(self) -> None:
        """Goes to the end of the member."""
        try:
            while self.read(1):
                pass
        except ReadProblem as problem:
            if problem is self._problem:
                raise

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._end_input()

    def _source(self, kind: str, given: ExitStack) -> int:
        """A descriptor for the process to read; those in `given` are closed when it has them."""
        archive = self._archive
        if archive.file is not None and archive.position == 0:
            self._disk = self._meter.disk_bytes
            return archive.file.fd
        if kind == "7z":  # its directory is at its end
            most = self._meter.limits.nested_bytes
            held = given.enter_context(open(os.memfd_create("nested"), "w+b", buffering=0))  # noqa: SIM115
            while data := archive.read(_PIECE):
                if held.tell() + len(data) > most:
                    raise ReadProblem(
                        Reason.LIMIT,
                        f"A 7z inside another archive must be held in memory, and may have {most} bytes there. "
                        "Unpack the outer archive first.",
                    )
                held.write(data)
            return held.fileno()
        reading, self._feed = os.pipe2(os.O_CLOEXEC)
        given.callback(os.close, reading)
        os.set_blocking(self._feed, False)
        _widen(self._feed)
        return reading

    def _start(self, kind: str, fd: int) -> subprocess.Popen[bytes]:
        memory = self._meter.limits.window_bytes + _BASE_BYTES
        try:
            return subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-P", "-s", str(_PROGRAM), kind, str(fd), str(memory), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pass_fds=[fd],
                env={**os.environ, "LC_ALL": "C.UTF-8", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        except OSError as error:
            self._end_input()
            raise ReadProblem(Reason.IO, f"The process that unpacks it could not be started: {error}.") from None

    def _frame(self) -> tuple[bytes, bytes]:
        """The next frame; raises ReadProblem for what is wrong with the archive as a whole."""
        if self._problem is not None:
            raise self._problem
        if self._kept is not None:
            kept, self._kept = self._kept, None
            return kept
        try:
            head = self._take(5)
            payload = self._take(int.from_bytes(head[1:], "big"))
            letter = head[:1]
            if letter == b"F":
                raise self._input_problem or _problem(payload, self._meter)
            if letter == b"Z" and self._input_problem is not None:
                raise self._input_problem
            if letter == b"D":
                if self._disk is not None:
                    taken = int.from_bytes(payload[:8], "big")
                    self._meter.disk(max(taken - self._disk, 0))
                    self._disk = max(taken, self._disk)
                self._meter.unpacked(len(payload) - 8)
        except ReadProblem as problem:
            self._problem = problem
            raise
        return letter, payload

    def _take(self, size: int) -> bytes:
        while len(self._out) < size:
            self._wait()
        data = bytes(self._out[:size])
        del self._out[:size]
        return data

    def _wait(self) -> None:
        """Waits until the process has written something, and feeds it meanwhile."""
        poll = select.poll()
        poll.register(self._stdout, select.POLLIN)
        given_up = time.monotonic() + self._meter.limits.stall_seconds
        while True:
            if self._feed is not None:
                poll.register(self._feed, select.POLLOUT)
            ready = dict(poll.poll(_CHECK_MILLISECONDS))
            self._meter.check()
            if self._stdout in ready:
                data = os.read(self._stdout, _PIPE_BYTES)
                if not data:
                    raise self._died()
                self._out += data
                return
            if self._feed in ready:
                poll.unregister(self._feed)
                self._give()
            elif time.monotonic() > given_up:
                raise ReadProblem(
                    Reason.LIMIT,
                    f"Unpacking it gave nothing for {self._meter.limits.stall_seconds:g} seconds and was given up.",
                )

    def _give(self) -> None:
        """Writes some input into the pipe."""
        assert self._feed is not None
        try:
            self._pending = self._pending or self._archive.read(_PIECE)
            if not self._pending:
                self._end_input()
                return
            self._pending = self._pending[os.write(self._feed, self._pending) :]
        except ReadProblem as problem:
            self._input_problem = problem
            self._end_input()
        except BlockingIOError:
            pass
        except BrokenPipeError:
            self._end_input()

    def _end_input(self) -> None:
        if self._feed is not None:
            feed, self._feed = self._feed, None
            os.close(feed)

    def _died(self) -> ReadProblem:
        self._process.wait()
        code = self._process.returncode
        ending = f"signal {-code}" if code < 0 else f"exit status {code}"
        return ReadProblem(Reason.DAMAGED, f"The archive made libarchive fail ({ending}), so it is damaged.")


def _problem(payload: bytes, meter: Meter) -> ReadProblem:
    """What libarchive says, in our words."""
    said: dict[str, Any] = json.loads(payload)
    if said.get("missing"):
        return ReadProblem(Reason.UNSUPPORTED, _NO_LIBRARY)
    if said["memory"]:
        return too_much_memory(meter.limits.window_bytes)
    text = "".join(char if char.isprintable() else "?" for char in said["message"])[:200]
    words = text.lower()
    if "encrypt" in words or "crypto" in words:
        return ReadProblem(
            Reason.UNSUPPORTED, "It is encrypted. Decrypt the archive first; passwords are not supported."
        )
    if "support" in words or "unavailable" in words:
        return ReadProblem(Reason.UNSUPPORTED, f"It has a form that is not supported (libarchive: {text}).")
    return ReadProblem(Reason.DAMAGED, f"The archive is damaged or cut off (libarchive: {text or 'no reason given'}).")


def _widen(fd: int) -> None:
    """Makes a pipe larger, where the system lets it."""
    with suppress(OSError, AttributeError):
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
