"""What a channel tells whoever listens: frozen records, handed to `on_event` on the event loop as they happen.

Every event is a line in the log as well. A listener that raises or takes its time harms no call: the error is logged,
and one that blocks the loop is named once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from kit import callbacks

__all__ = [
    "CertificatesReloaded",
    "ChannelEvent",
    "EndpointEjected",
    "EndpointHealthy",
    "EndpointReturned",
    "EndpointUnhealthy",
    "EndpointsChanged",
    "Listener",
    "Listeners",
    "LookupFailed",
    "PolicyReloaded",
    "ReconnectFailed",
    "Reconnected",
    "WarmedUp",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class ChannelEvent:
    """Base of every event. `str()` of it is a sentence."""

    #: What the channel was opened to; "" on a stock channel.
    target: str

    @property
    def whose(self) -> str:
        """The target with a colon, for a sentence; of a list only the first, and how many more."""
        first, *more = self.target.split(",")
        named = f"{first} and {len(more)} more" if more else first
        return f"{named}: " if named else ""


Listener: TypeAlias = Callable[[ChannelEvent], object]


class Listeners(callbacks.Listeners[ChannelEvent]):
    """Whom to tell. With `on_bus` the event bus of the process is told too."""

    def __init__(self, listeners: Sequence[Listener] = (), *, on_bus: bool = False) -> None:
        super().__init__("kit.client", listeners)
        self._on_bus = on_bus

    def tell(self, event: ChannelEvent, *, level: int = logging.INFO) -> None:
        super().tell(event, level=level)
        if self._on_bus:
            from kit.client._on_bus import publish  # a channel has little to tell, and often nothing

            publish(event)

    def reloaded(self, target: str, file: Path, methods: tuple[str, ...], reason: str) -> None:
        """Tells of a file of policy that has changed; `reason` is why it was refused."""
        event = PolicyReloaded(target=target, source=str(file), accepted=not reason, reason=reason, methods=methods)
        self.tell(event, level=logging.WARNING if reason else logging.INFO)


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointsChanged(ChannelEvent):
    """Addresses have come or gone: in DNS, or in the local registry."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def __str__(self) -> str:
        words = [
            f"{', '.join(addresses)} {verb}"
            for addresses, verb in ((self.added, "added"), (self.removed, "removed"))
            if addresses
        ]
        return f"{self.whose}{'; '.join(words)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class LookupFailed(ChannelEvent):
    """DNS gave no answer. The addresses that were known stay. Told once for each reason until it answers again."""

    reason: str
    #: What calls go to until it answers.
    kept: tuple[str, ...] = ()

    def __str__(self) -> str:
        kept = f"; calls still go to {', '.join(self.kept)}" if self.kept else ""
        return f"{self.whose}{self.reason}{kept}"


@dataclass(frozen=True, kw_only=True, slots=True)
class CertificatesReloaded(ChannelEvent):
    """The files of certificates have changed. Refused, calls go on with the former ones."""

    accepted: bool
    #: Why they are refused; "" where they are not.
    reason: str = ""

    def __str__(self) -> str:
        if self.accepted:
            return f"{self.whose}new certificates are in use"
        return f"{self.whose}new certificates are refused, the former ones stay: {self.reason}"


@dataclass(frozen=True, kw_only=True, slots=True)
class WarmedUp(ChannelEvent):
    """The channel has tried to connect every endpoint, once. What failed is tried again."""

    connected: tuple[str, ...] = ()
    #: (address, why); the target itself where it has no endpoint.
    failed: tuple[tuple[str, str], ...] = ()
    #: That it took.
    seconds: float

    def __str__(self) -> str:
        words = [f"{len(self.connected)} connected in {self.seconds * 1000:.0f} ms"]
        words += [f"{address} failed: {why}" for address, why in self.failed]
        return f"{self.whose}warmed up, {'; '.join(words)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ReconnectFailed(ChannelEvent):
    """A connection that was lost, or never made, has been given up. A call or `force_reconnect` tries again.

    Told once until there is a connection again.
    """

    address: str
    tries: int
    why: str

    def __str__(self) -> str:
        return f"{self.whose}{self.address} cannot be reached, given up after {self.tries} tries: {self.why}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reconnected(ChannelEvent):
    """An endpoint that had been given up has a connection again."""

    address: str
    #: Seconds since it was given up.
    after: float

    def __str__(self) -> str:
        return f"{self.whose}{self.address} is connected again, {self.after:.1f} s after it was given up"


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointUnhealthy(ChannelEvent):
    """An endpoint says that it does not serve, or several health checks of it have failed in a row. Told once."""

    address: str
    #: In a row.
    failures: int
    why: str

    def __str__(self) -> str:
        checks = "1 check" if self.failures == 1 else f"{self.failures} checks"
        return f"{self.whose}{self.address} is unhealthy after {checks}: {self.why}"


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointHealthy(ChannelEvent):
    """An endpoint that was unhealthy answers well again."""

    address: str
    #: Seconds for which it was unhealthy.
    after: float

    def __str__(self) -> str:
        return f"{self.whose}{self.address} is healthy again after {self.after:.1f} s"


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicyReloaded(ChannelEvent):
    """A TOML file of policy has changed, or has gone. Refused, the former one stays in force as a whole."""

    #: The file's path.
    source: str
    accepted: bool
    #: Why it is refused; "" where it is not.
    reason: str = ""
    #: Those of the channel's methods, "/package.Service/Method", whose policy is another one from the next call on.
    methods: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.accepted:
            return f"{self.whose}policy {self.source} is refused, the former one stays in force: {self.reason}"
        changed = ", ".join(self.methods) or "no methods in use"
        return f"{self.whose}policy {self.source} is in force; changed are {changed}"


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointEjected(ChannelEvent):
    """Calls to an endpoint fail where others do not: for a while no call goes to it."""

    address: str
    why: str

    def __str__(self) -> str:
        return f"{self.whose}{self.address} is ejected: {self.why}"


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointReturned(ChannelEvent):
    """An endpoint that was ejected gets calls again."""

    address: str
    why: str

    def __str__(self) -> str:
        return f"{self.whose}{self.address} gets calls again: {self.why}"
