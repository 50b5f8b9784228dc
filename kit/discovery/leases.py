"""Ports that processes of this machine hold: one locked file for each.

`<root>/<port>.json` is locked by its holder for as long as it lives, as entries of the registry are, so of all
processes that want a port one gets it, and a port whose holder ended, however it ended, is free. The lock says who may
bind; that nobody else has bound is tested once the lock is held.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

__all__ = ["LeasedPort", "PortLease", "leased", "take"]


@dataclass(frozen=True, kw_only=True, slots=True)
class LeasedPort:
    """What the file of a port says. `since` is seconds since 1970."""

    service: str
    port: int
    pid: int
    since: float


class PortLease:
    """A port that this process holds, until `release` or its end. Bind it with `grpc.so_reuseport=0`."""

    def __init__(self, path: Path, descriptor: int, held: LeasedPort, released: Callable[[PortLease], object]) -> None:
        self._path = path
        self._descriptor: int | None = descriptor
        self._held = held
        self._released = released

    @property
    def service(self) -> str:
        """For whom."""
        return self._held.service

    @property
    def port(self) -> int:
        """The number."""
        return self._held.port

    def release(self) -> None:
        """Gives it back. May be called again."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        # While the lock is held: whoever has opened the file by then notices that it is gone.
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        os.close(descriptor)
        self._released(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.release()


def take(root: Path, port: int) -> tuple[Path, int] | None:
    """The locked file of a port and its descriptor; None where another process, or this one, holds it."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = root / f"{port}.json"
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return path, descriptor
        # Its holder has given it back in between, and the name is another file's, or nobody's.
        os.close(descriptor)


def write(descriptor: int, held: LeasedPort) -> None:
    """Says in the file who holds it; for people, as the lock is what counts."""
    entry = {"service": held.service, "port": held.port, "pid": held.pid, "since": held.since}
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(entry, sort_keys=True).encode() + b"\n", 0)


def give_back(path: Path, descriptor: int) -> None:
    """Undoes `take`."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    os.close(descriptor)


def leased(root: Path) -> list[LeasedPort]:
    """What is held on this machine now, by port. Files whose holder is gone are removed."""
    paths = [path for path in root.glob("*.json") if path.stem.isascii() and path.stem.isdigit()]
    found = [one for path in paths if (one := _look(root, path)) is not None]
    return sorted(found, key=lambda one: one.port)


def holder(root: Path, port: int) -> str:
    """Who holds a port, in words."""
    for one in leased(root):
        if one.port == port:
            return f"{one.service or 'a service'} (process {one.pid})"
    return "a program that is not of the kit"


def _look(root: Path, path: Path) -> LeasedPort | None:
    port = int(path.stem)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        # A shared lock: two who look at the same time do not take each other for the holder.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _parse(os.pread(descriptor, 4096, 0), port)
    finally:
        os.close(descriptor)
    taken = take(root, port)
    if taken is not None:
        give_back(*taken)
    return None


def _parse(raw: bytes, port: int) -> LeasedPort:
    try:
        entry: Any = json.loads(raw)
        return LeasedPort(service=str(entry["service"]), port=port, pid=int(entry["pid"]), since=float(entry["since"]))
    except (ValueError, KeyError, TypeError):
        # Its holder is about to write it.
        return LeasedPort(service="", port=port, pid=0, since=0.0)
