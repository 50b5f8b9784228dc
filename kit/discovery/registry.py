"""The local registry: how processes on one machine find each other without a server.

One file for each instance: `<root>/<service>/<instance id>.json`. Its owner holds a flock on it for as long as it
lives; the kernel drops the lock when the owner ends, however it ends. So an entry is live if and only if its lock is
held, and no heartbeat, pid check or timeout is needed. Whoever finds a dead entry removes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import re
import secrets
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from kit.discovery._entry import Instance, probe, remove_dead, write_locked
from kit.discovery.paths import data_dir
from kit.errors import ConfigurationError, UsageTypeError, UsageValueError

#: Seconds between two looks of `watch`. A look costs one stat and one lock try per instance.
WATCH_INTERVAL = 0.25
#: A folder's time stamp is as coarse as the kernel's tick (up to 10 ms): a listing this young (in ns) may lack a
#: change.
_SETTLED_NS = 50_000_000
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


class Registration:
    """An entry in the registry. Close it to withdraw; it goes by itself when the process ends."""

    def __init__(self, folder: Path, instance: Instance) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = folder / f"{instance.instance_id}.json"
        self._instance = instance
        self._descriptor: int | None = write_locked(self._path, instance.to_json())

    @property
    def instance(self) -> Instance:
        """What is registered."""
        return self._instance

    def update(
        self, *, address: str | None = None, metadata: Mapping[str, str] | None = None, weight: float | None = None
    ) -> None:
        """Replaces what is given in one step; lookers see the old entry or the new one, never none."""
        if self._descriptor is None:
            raise ConfigurationError(f"the registration of {self._instance.name} is closed")
        self._instance = replace(
            self._instance,
            address=self._instance.address if address is None else address,
            metadata=self._instance.metadata if metadata is None else dict(metadata),
            weight=self._instance.weight if weight is None else _checked(weight),
        )
        old, self._descriptor = self._descriptor, write_locked(self._path, self._instance.to_json())
        os.close(old)

    def close(self) -> None:
        """Withdraws the entry. May be called again."""
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


@dataclass(slots=True)
class _Listing:
    """What a folder held when its time stamp was `mtime_ns`."""

    mtime_ns: int
    settled: bool
    instances: dict[str, Instance]


class Registry:
    """Instances of services on this machine. Safe to use from several processes; one object belongs to one thread.

    `root` is a folder; None is that of the kit below `kit.data_dir()`. It is made when something is registered. Raises
    UsageTypeError for what is no path, and UsageValueError for an empty one.
    """

    def __init__(self, root: str | os.PathLike[str] | None = None) -> None:
        self._root = data_dir() / "run" / "registry" if root is None else _folder_at(root)
        self._listings: dict[str, _Listing] = {}

    def register(
        self, name: str, address: str, *, metadata: Mapping[str, str] | None = None, weight: float = 1.0
    ) -> Registration:
        """Makes this process known as an instance of `name` that is reached at `address`.

        `weight` is its share of the calls next to the others', for clients whose balancing is WEIGHTED.
        """
        instance = Instance(
            name=name,
            instance_id=f"{os.getpid()}-{secrets.token_hex(4)}",
            address=address,
            pid=os.getpid(),
            start_time=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            metadata=dict(metadata or {}),
            weight=_checked(weight),
        )
        return Registration(self._folder(name), instance)

    def lookup(self, name: str) -> list[Instance]:
        """The live instances of `name`, oldest first; empty when there is none.

        Files are read only when the folder changed; each instance's lock is tried every time.
        """
        folder = self._folder(name)
        listing = self._listing(name, folder)
        live = [instance for file, instance in listing.instances.items() if self._lives(folder / file)]
        return sorted(live, key=lambda instance: (instance.start_time, instance.instance_id))

    def services(self) -> list[str]:
        """Names that have at least one live instance, sorted."""
        try:
            names = sorted(entry.name for entry in self._root.iterdir() if _NAME.fullmatch(entry.name))
        except FileNotFoundError:
            return []
        return [name for name in names if self.lookup(name)]

    async def watch(self, name: str, *, interval: float = WATCH_INTERVAL) -> AsyncGenerator[list[Instance], None]:
        """Yields the live instances at once and again after each change. `interval` is in seconds."""
        seen: list[Instance] | None = None
        while True:
            found = self.lookup(name)
            if found != seen:
                seen = found
                yield found
            await asyncio.sleep(interval)

    def _folder(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ConfigurationError(
                f"{name!r} is not a service name: lower-case letters, digits, '.', '_', '-', at most 63"
            )
        return self._root / name

    def _listing(self, name: str, folder: Path) -> _Listing:
        try:
            mtime_ns = folder.stat().st_mtime_ns
        except FileNotFoundError:
            self._listings.pop(name, None)
            return _Listing(0, settled=False, instances={})
        known = self._listings.get(name)
        if known is not None and known.settled and known.mtime_ns == mtime_ns:
            return known
        settled = time.time_ns() - mtime_ns > _SETTLED_NS
        listing = self._listings[name] = _Listing(mtime_ns, settled=settled, instances=_read_folder(folder))
        return listing

    @staticmethod
    def _lives(path: Path) -> bool:
        try:
            with probe(path) as (descriptor, alive):
                if not alive:
                    remove_dead(path, descriptor)
                return alive
        except FileNotFoundError:
            return False


def _folder_at(root: object) -> Path:
    if not isinstance(root, (str, os.PathLike)):
        raise UsageTypeError(f"the folder of a registry is {root!r}; give a path, or None for the usual")
    if not os.fspath(root):
        raise UsageValueError("the folder of a registry is an empty text; give a path, or None for the usual")
    return Path(root)


def _checked(weight: float) -> float:
    if not 0 < weight < math.inf:
        raise ConfigurationError(f"the weight of an instance must be more than 0, not {weight}")
    return weight


def _read_folder(folder: Path) -> dict[str, Instance]:
    found: dict[str, Instance] = {}
    for path in folder.iterdir():
        if path.name.startswith("."):
            _remove_leftover(path)
        elif path.suffix == ".json":
            with contextlib.suppress(FileNotFoundError):
                instance = Instance.from_json(path.read_bytes())
                if instance is not None and instance.name == folder.name:
                    found[path.name] = instance
    return found


def _remove_leftover(path: Path) -> None:
    """Removes the temporary file of an owner that was killed while it wrote; a young one may be about to be locked."""
    with contextlib.suppress(FileNotFoundError):
        if time.time() - path.stat().st_mtime < 60:
            return
        with probe(path) as (descriptor, alive):
            if not alive:
                remove_dead(path, descriptor)
