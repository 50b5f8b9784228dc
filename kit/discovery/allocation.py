"""Ports for the services of a machine: found, allocated, looked after and given back; one by one or several at once.

Theory of operation. A service that wants a port tries the preferred one, then those behind it, `tries` in all and none
beyond the last; then the system chooses, from its own range. Each try takes the port's lease, which one process of the
machine can have (`leases`), and only then tests whether somebody listens there: so two who ask at the same moment get
two ports. The server that binds it must not share ports (`grpc.so_reuseport=0`, as `kit.Server` has it).

A port that was asked for by name and is taken is a conflict: it is remembered, told to the event bus, and told again
when it has come free.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from kit.clock import SYSTEM, Clock
from kit.discovery import leases
from kit.discovery._port_facts import PortCheck, PortConflict, PortStatistics, tell, tell_health
from kit.discovery.leases import LeasedPort, PortLease
from kit.discovery.paths import data_dir
from kit.discovery.ports import is_available
from kit.errors import ConfigurationError

__all__ = ["Ports"]

FIRST, LAST = 1421, 1500
TRIES = 10
#: Seconds between two looks at the ports that are held.
INTERVAL = 30.0
#: Ports of the system's choice that are tried: it never gives the same one twice in a row.
_SYSTEM_TRIES = 100


class Ports:
    """An allocator for `first` to `last`, both included. `root` is where leases are kept; None below `kit.data_dir()`.

    Safe among processes; one object belongs to one thread. Raises ConfigurationError for a range that is none.
    """

    def __init__(
        self,
        *,
        first: int = FIRST,
        last: int = LAST,
        tries: int = TRIES,
        host: str = "127.0.0.1",
        root: str | os.PathLike[str] | None = None,
        clock: Clock = SYSTEM,
    ) -> None:
        if not 0 < first <= last < 65536:
            raise ConfigurationError(f"ports: {first} to {last} is no range of ports")
        if tries < 0:
            raise ConfigurationError(f"ports: tries must be 0 or more, not {tries}")
        self._first, self._last, self._tries, self._host = first, last, tries, host
        self._root = data_dir() / "run" / "ports" if root is None else Path(root)
        self._clock = clock
        self._held: dict[int, PortLease] = {}
        self._conflicts: dict[int, PortConflict] = {}
        self._listening: dict[int, bool] = {}
        self._allocated = self._released = self._passed_over = self._from_system = self._met = 0

    # One by one

    def find(self, preferred: int | None = None) -> int:
        """A port that could be allocated now. Somebody else may get it before you do."""
        lease = self._take("", preferred, system=True, named=False)
        lease.release()
        self._allocated -= 1
        self._released -= 1
        return lease.port

    def allocate(self, service: str, preferred: int | None = None, *, system: bool = True) -> PortLease:
        """A port for `service`, held until it is released. `preferred` None is the first of the range.

        Without `system` no port is taken from beyond the range. Raises ConfigurationError where none is free.
        """
        return self._take(service, preferred, system=system, named=preferred is not None)

    def release(self, port: int) -> bool:
        """Gives back a port that this allocator holds; False where it does not."""
        lease = self._held.get(port)
        if lease is not None:
            lease.release()
        return lease is not None

    def is_available(self, port: int) -> bool:
        """Whether nobody holds a port, and nobody listens there."""
        taken = leases.take(self._root, port)
        if taken is None:
            return False
        try:
            return is_available(port, self._host)
        finally:
            leases.give_back(*taken)

    async def health_check(self, port: int, timeout: float = 1.0) -> PortCheck:
        """Connects to a port, within `timeout` seconds."""
        began = self._clock.now()
        error = ""
        try:
            async with asyncio.timeout(timeout):
                _, writer = await asyncio.open_connection(self._host, port)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
        except TimeoutError:
            error = f"no answer within {timeout:g} s"
        except OSError as failure:
            error = os.strerror(failure.errno) if failure.errno else str(failure)
        return PortCheck(port=port, listening=not error, latency=self._clock.now() - began, error=error)

    # Several at once

    def find_many(self, count: int) -> list[int]:
        """So many different ports that could be allocated now."""
        found: list[PortLease] = []
        try:
            for _ in range(count):
                found.append(self._take("", None, system=True, named=False))  # noqa: PERF401 - given back if one fails
            return [lease.port for lease in found]
        finally:
            for lease in found:
                lease.release()
            self._allocated -= len(found)
            self._released -= len(found)

    def allocate_many(self, services: Mapping[str, int | None] | Iterable[str]) -> dict[str, PortLease]:
        """A port for each service, preferred ones by name; all or none. Raises ConfigurationError."""
        wanted = dict(services) if isinstance(services, Mapping) else dict.fromkeys(services)
        found: dict[str, PortLease] = {}
        try:
            for service, preferred in wanted.items():
                found[service] = self.allocate(service, preferred)
        except BaseException:
            for lease in found.values():
                lease.release()
            raise
        return found

    def release_many(self, ports: Collection[int] | None = None) -> int:
        """Gives back those ports, or all that this allocator holds; answers how many they were."""
        return sum(self.release(port) for port in tuple(self._held if ports is None else ports))

    def available(self, ports: Iterable[int]) -> dict[int, bool]:
        """Whether each is available."""
        return {port: self.is_available(port) for port in ports}

    async def health_checks(self, ports: Iterable[int] | None = None, timeout: float = 1.0) -> dict[int, PortCheck]:
        """Checks those ports, or all that this allocator holds, at the same time."""
        asked = tuple(self._held if ports is None else ports)
        found = await asyncio.gather(*(self.health_check(port, timeout) for port in asked))
        return dict(zip(asked, found, strict=True))

    # What there is

    def leases(self) -> list[LeasedPort]:
        """Ports that are held on this machine, by any process."""
        return leases.leased(self._root)

    def conflicts(self) -> list[PortConflict]:
        """Ports that were asked for by name and are taken, as far as this allocator has met them."""
        return list(self._conflicts.values())

    def statistics(self) -> PortStatistics:
        """As of now."""
        return PortStatistics(
            first=self._first,
            last=self._last,
            allocated=self._allocated,
            released=self._released,
            passed_over=self._passed_over,
            from_system=self._from_system,
            conflicts=self._met,
            leased=len(self.leases()),
        )

    # Looking after them

    async def look(self, timeout: float = 1.0) -> dict[int, PortCheck]:
        """Checks what is held, and tells the event bus what has changed; also which conflicts are over."""
        found = await self.health_checks(timeout=timeout)
        for port, check in found.items():
            before = self._listening.get(port)
            if port in self._held and before is not check.listening:
                self._listening[port] = check.listening
                # A server that has not bound its port yet is no news.
                if before is not None or check.listening:
                    tell_health(self._held[port].service, check, before)
        for conflict in self.conflicts():
            if self.is_available(conflict.port):
                del self._conflicts[conflict.port]
                tell("PortAvailable", conflict.service, port=conflict.port)
        return found

    async def watch(self, interval: float = INTERVAL) -> None:
        """Does so every `interval` seconds, without end; for a background task of a server."""
        while True:
            await self._clock.sleep(interval)
            await self.look()

    # Inside

    def _take(self, service: str, preferred: int | None, *, system: bool, named: bool) -> PortLease:
        start = self._first if preferred is None else preferred
        if not 0 < start < 65536:
            raise ConfigurationError(f"ports: {preferred} is no port")
        # A port that was named may lie outside of the range: then it stands alone.
        end = max(start, self._last)
        for port in range(start, min(start + self._tries, end + 1)):
            lease = self._lease(service, port)
            if lease is not None:
                if named and port != preferred:
                    tell("PortChanged", service, old_port=start, new_port=port)
                return lease
            self._passed_over += 1
            if named and port == preferred:
                self._conflict(service, port)
        if system:
            for _ in range(_SYSTEM_TRIES):
                lease = self._lease(service, self._systems_choice())
                if lease is not None:
                    self._from_system += 1
                    if named:
                        tell("PortChanged", service, old_port=start, new_port=lease.port)
                    return lease
        raise ConfigurationError(
            f"{service or 'a service'}: no port is free of the {self._tries} from {start} on, up to {end}; "
            "`kit ports` shows who holds them"
        )

    def _lease(self, service: str, port: int) -> PortLease | None:
        taken = leases.take(self._root, port)
        if taken is None:
            return None
        if not is_available(port, self._host):
            leases.give_back(*taken)
            return None
        path, descriptor = taken
        held = LeasedPort(service=service, port=port, pid=os.getpid(), since=self._clock.wall())
        leases.write(descriptor, held)
        lease = self._held[port] = PortLease(path, descriptor, held, self._gone)
        self._allocated += 1
        return lease

    def _gone(self, lease: PortLease) -> None:
        self._held.pop(lease.port, None)
        self._listening.pop(lease.port, None)
        self._released += 1
        if lease.service:
            tell("PortAvailable", lease.service, port=lease.port)

    def _conflict(self, service: str, port: int) -> None:
        conflict = PortConflict(
            service=service, port=port, holder=leases.holder(self._root, port), time=self._clock.wall()
        )
        self._met += 1
        self._conflicts[port] = conflict
        tell("PortConflict", service, port=port, error=f"taken by {conflict.holder}")

    def _systems_choice(self) -> int:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((self._host, 0))
            port = probe.getsockname()[1]
        assert isinstance(port, int)
        return port
