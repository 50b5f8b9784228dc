"""One entry of the local registry: its JSON and the lock that says whether its owner lives."""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

VERSION = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Instance:
    """A running instance of a service. `start_time` is RFC 3339 in UTC; `address` is what a channel dials."""

    name: str
    instance_id: str
    address: str
    pid: int
    start_time: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    #: Its share of the calls next to the others', where balancing is weighted; more than 0. Left out of the file at 1.
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.weight < math.inf:
            raise ValueError(f"the weight of an instance must be more than 0, not {self.weight}")

    def to_json(self) -> bytes:
        """The content of the entry's file."""
        entry: dict[str, Any] = {
            "version": VERSION,
            "name": self.name,
            "instance_id": self.instance_id,
            "address": self.address,
            "pid": self.pid,
            "start_time": self.start_time,
            "metadata": dict(self.metadata),
        }
        if self.weight != 1.0:
            entry["weight"] = self.weight
        return json.dumps(entry, indent=1, sort_keys=True).encode() + b"\n"

    @classmethod
    def from_json(cls, raw: bytes) -> Instance | None:
        """The same read back; None for a file of another version or one that is damaged."""
        try:
            entry: Any = json.loads(raw)
            if entry["version"] != VERSION:
                return None
            return cls(
                name=str(entry["name"]),
                instance_id=str(entry["instance_id"]),
                address=str(entry["address"]),
                pid=int(entry["pid"]),
                start_time=str(entry["start_time"]),
                metadata={str(key): str(value) for key, value in entry["metadata"].items()},
                weight=float(entry.get("weight", 1.0)),
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            return None


def write_locked(path: Path, content: bytes) -> int:
    """Puts `content` at `path` in one step and returns the descriptor that holds its lock.

    The lock is taken before the file gets its name, so nobody ever finds an entry of a living owner unlocked. The
    descriptor is not inherited by programs that the owner starts.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.write(descriptor, content)
        temporary.rename(path)
    except BaseException:
        os.close(descriptor)
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    return descriptor


@contextlib.contextmanager
def probe(path: Path) -> Iterator[tuple[int, bool]]:
    """Opens the file at `path`; yields its descriptor and whether its owner lives. FileNotFoundError if it is gone.

    The lock tried is a shared one: two who look at the same time do not take each other for the owner. Where the owner
    is dead the lock is held until the end of the block.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            yield descriptor, True
        else:
            yield descriptor, False
    finally:
        os.close(descriptor)


def remove_dead(path: Path, descriptor: int) -> None:
    """Removes a dead entry, unless its owner has put a newer file under the same name meanwhile."""
    with contextlib.suppress(FileNotFoundError):
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            path.unlink()
