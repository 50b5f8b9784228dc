"""TOML files of policy that may change while they are in use.

A change is taken up when it has stood still for one look, so that a file is not read while it is written. What was read
is checked by whoever uses it, against every method that it concerns; `named` gives those that it names itself.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path

from google.protobuf import descriptor_pool

from kit.errors import PolicyError
from kit.policy import overlay
from kit.policy.from_proto import find_method
from kit.policy.leaves import Leaves
from kit.policy.overlay import Stamp

__all__ = ["WatchedFile", "check_names", "named"]


class WatchedFile:
    """One file: what it was when it was last read, and what stood in it when it was last good."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Reads it. Raises PolicyError."""
        self.path = Path(path)
        self._read = self._seen = self._stamp()
        #: What holds; whoever has checked something newer puts it here.
        self.tables: Mapping[str, Leaves] = overlay.load(self.path)

    def changed(self) -> bool:
        """One look: whether it is another one than when it was last read, and the same as at the last look."""
        stamp = self._stamp()
        if stamp != self._seen:
            self._seen = stamp
            return False
        return stamp != self._read

    def read(self) -> Mapping[str, Leaves]:
        """What stands in it now. Raises PolicyError, also where it has gone; `changed` is false then, too."""
        self._read = self._seen = self._stamp()
        return overlay.load(self.path)

    def _stamp(self) -> Stamp | None:
        try:
            return overlay.stamp_of(self.path)
        except OSError:
            return None


def named(tables: Mapping[str, Leaves]) -> list[str]:
    """The methods that the tables name, by themselves or by their service, and that the process knows."""
    found: list[str] = []
    for key in tables:
        service, _, method = key.rpartition("/")
        if method == "*" and service:
            found += [f"{service}/{name}" for name in _methods(service.removeprefix("/"))]
        elif method != "*" and find_method(key) is not None:
            found.append(key)
    return list(dict.fromkeys(found))


def check_names(tables: Mapping[str, Leaves]) -> None:
    """Refuses what is said of a method that its service has not: rights that nobody enforces, for instance.

    Of a service that the process does not know nothing can be said. Raises PolicyError.
    """
    for key in tables:
        service, _, method = key.removeprefix("/").rpartition("/")
        known = _methods(service) if service and method != "*" else []
        if known and method not in known:
            near = difflib.get_close_matches(method, known, n=1)
            raise PolicyError(key, "", f"{service} has no such method{f'; did you mean {near[0]}?' if near else ''}")


def _methods(service: str) -> list[str]:
    try:
        return list(descriptor_pool.Default().FindServiceByName(service).methods_by_name)
    except KeyError:
        return []
