"""What admission counts, for whoever scrapes: of all servers of the process together, which as a rule are one."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Protocol
from weakref import WeakSet

from kit.observe import metrics
from kit.resilience.admission import AdmissionControl
from kit.resilience.rate import RateLimit

__all__ = ["watch"]

_lock = threading.Lock()
_watched: WeakSet[Watched] = WeakSet()
_registered: list[object] = []


class Watched(Protocol):
    """What a layer tells."""

    @property
    def control(self) -> AdmissionControl | None: ...

    def rates(self) -> Iterable[tuple[str, RateLimit]]: ...


def watch(layer: Watched) -> None:
    """Shows the figures of `layer` for as long as it lives."""
    with _lock:
        _watched.add(layer)
        if not _registered:
            _registered.append(metrics.register(_families))


def _families() -> Iterator[dict[str, Any]]:
    with _lock:
        layers = list(_watched)
    controls = [layer.control for layer in layers if layer.control is not None]
    if controls:
        for name, text, value in (
            ("running", "Calls that are let in and have not ended.", sum(one.running for one in controls)),
            ("limit", "Calls that may run at a time now.", sum(one.limit for one in controls)),
            ("waiting", "Calls that wait to be let in.", sum(one.queued for one in controls)),
        ):
            yield _family("gauge", f"kit.server.calls.{name}", text, [_series({}, value)])
    refused: Counter[tuple[str, str]] = Counter()
    for control in controls:
        for (priority, why), count in list(control.refused.items()):
            refused[priority.name.lower(), why.name.lower()] += count
    shed = [_series({"priority": priority, "reason": why}, count) for (priority, why), count in refused.items()]
    yield _family("counter", "kit.server.calls.refused", "Calls that were not let in.", shed)
    rates: Counter[str] = Counter()
    for layer in layers:
        for path, rate in layer.rates():
            rates[path.removeprefix("/")] += rate.refused
    over = [_series({"method": method}, count) for method, count in rates.items()]
    yield _family("counter", "kit.server.rate.refused", "Calls beyond the rate of their method.", over)


def _family(kind: str, name: str, text: str, series: list[dict[str, Any]]) -> dict[str, Any]:
    return {"name": name, "kind": kind, "help": text, "unit": "", "series": series}


def _series(labels: dict[str, str], value: float) -> dict[str, Any]:
    return {"labels": labels, "value": value}
