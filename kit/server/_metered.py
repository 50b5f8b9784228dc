"""What a server shows of itself as metrics, and where: counts of calls, calls in flight, how late the loop is."""

from __future__ import annotations

import os
from collections.abc import Mapping

from kit.observe import calls, metrics
from kit.observe._state import STATE
from kit.observe.loop import LoopLag
from kit.server._inflight import InFlight
from kit.server._scrape import MetricsPort
from kit.server._worker import processes

__all__ = ["Metered", "metrics_address"]


def metrics_address(listen: str | None, environ: Mapping[str, str] | None = None) -> str:
    """Where metrics are given out; "" for nowhere. `listen` None means KIT_METRICS_LISTEN.

    Of several workers none listens there: their parent does, and asks them.
    """
    if listen is not None:
        return listen
    env = os.environ if environ is None else environ
    return "" if processes() > 1 else env.get("KIT_METRICS_LISTEN", "")


class Metered:
    """The metrics of one server."""

    def __init__(self, name: str, in_flight: InFlight, listen: str | None) -> None:
        """Raises ConfigurationError for what is no address."""
        self._name = name
        self._in_flight = in_flight
        #: Where metrics are given out, "" for nowhere; of several workers by their parent.
        self.address = metrics_address(listen)
        self._port = MetricsPort(self.address, _text) if self.address else None
        self._turned_on = False
        self._lag: LoopLag | None = None
        self._gauge: metrics.Gauge | None = None

    @property
    def port(self) -> int:
        """Where metrics are given out; 0 for nowhere."""
        return 0 if self._port is None else self._port.port

    def leave_to_parent(self) -> None:
        """Counts, and opens no port: the parent of several workers asks each of them. Before the start."""
        self._port = None

    async def start(self) -> None:
        """Opens the port, which turns counting on. Raises ConfigurationError where it is taken."""
        if self._port is not None:
            await self._port.open()
        if self.address:
            self._turned_on = not STATE.metrics
            calls.count(True)
        if STATE.metrics:
            self._lag = LoopLag()
            self._gauge = metrics.gauge(
                "kit.server.in_flight",
                "Calls whose handlers run.",
                lambda: len(self._in_flight),
                {"server": self._name},
            )

    async def stop(self) -> None:
        """Closes the port. May be called without a start, and again."""
        if self._port is not None:
            await self._port.close()
        if self._turned_on:
            self._turned_on = False
            calls.count(False)
        if self._lag is not None:
            self._lag.close()
        if self._gauge is not None:
            self._gauge.remove()


async def _text() -> bytes:
    return metrics.exposition()
