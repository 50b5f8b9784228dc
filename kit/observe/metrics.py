"""Metrics: a small registry for a service's own, and everything that the kit counts, in one text for Prometheus.

    orders = metrics.counter("shop.orders", "Orders that were placed.", labels=("kind",))
    orders.add(kind="gift")
    metrics.gauge("shop.queue", "Orders that wait.", lambda: len(queue))
    sizes = metrics.histogram("shop.order.size", "Bytes of an order.", unit="By", bounds=(100, 1_000, 10_000))

Names are written as OpenTelemetry does, with dots; Prometheus sees `shop_orders_total` and `shop_order_size_bytes`.
Where several processes serve together, one of them gathers `snapshot()` of each and gives out `render(snapshots)`.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from kit.errors import ConfigurationError
from kit.observe import calls, tracing
from kit.observe._exposition import CONTENT_TYPE, foreign, render_families
from kit.observe._instruments import (
    DURATION_BOUNDS,
    Counter,
    Family,
    Gauge,
    GaugeFamily,
    Histogram,
    Reading,
)
from kit.observe._merge import merge_families

__all__ = [
    "CONTENT_TYPE",
    "Counter",
    "Gauge",
    "Histogram",
    "Snapshot",
    "counter",
    "exposition",
    "gauge",
    "histogram",
    "merge",
    "register",
    "render",
    "snapshot",
]

#: Everything that is counted at one moment, as JSON can have it: {"pid": 1, "families": [...]}.
Snapshot: TypeAlias = dict[str, Any]
_Source: TypeAlias = Callable[[], Iterable[Family]]

log = logging.getLogger("kit.observe")

_lock = threading.Lock()
_instruments: dict[str, Counter | Histogram | GaugeFamily] = {}
_sources: list[_Source] = []


def counter(name: str, help: str, *, labels: Sequence[str] = (), unit: str = "") -> Counter:  # noqa: A002
    """A counter, made when it is first asked for: `.add(amount=1, **labels)`.

    `labels` are the names of its labels; keep their values few. `unit` is "s", "By" or "". Raises ConfigurationError
    for a name that cannot be, or that is another metric's.
    """
    found: Counter = _instrument(Counter, name, lambda: Counter(name, help, labels, unit))
    return found


def histogram(
    name: str,
    help: str,  # noqa: A002
    *,
    labels: Sequence[str] = (),
    unit: str = "s",
    bounds: Sequence[float] = DURATION_BOUNDS,
) -> Histogram:
    """A histogram, made when it is first asked for: `.record(value, **labels)`.

    `bounds` are the upper bounds of its buckets; the default is for durations in seconds. Raises as `counter`.
    """
    found: Histogram = _instrument(
        Histogram, name, lambda: Histogram(name, help, labels, unit, bounds, example=tracing.current_exemplar)
    )
    return found


def gauge(
    name: str,
    help: str,  # noqa: A002
    callback: Callable[[], Reading] | None = None,
    labels: Mapping[str, str] | None = None,
    *,
    unit: str = "",
) -> Gauge:
    """A gauge: one value with these labels, given by `callback` when it is asked for, or by `.set(value)`.

    A name may have many, with other labels each; one with the same labels takes the place of the former.
    `callback` may also give None (nothing to show now) or pairs of further labels and a value. It is called on the
    thread that scrapes; where it fails, the gauge is left out. `.remove()` ends it. Raises as `counter`.
    """
    family: GaugeFamily = _instrument(GaugeFamily, name, lambda: GaugeFamily(name, help, unit))
    return family.add(labels or {}, callback)


def register(source: Callable[[], Iterable[Family]]) -> Callable[[], None]:
    """Adds families that are counted elsewhere; returns what takes them away again."""
    with _lock:
        _sources.append(source)

    def remove() -> None:
        with _lock:
            if source in _sources:
                _sources.remove(source)

    return remove


def snapshot() -> Snapshot:
    """Everything that this process counts, and what prometheus_client's own registry has. JSON can have it."""
    with _lock:
        sources, instruments = list(_sources), list(_instruments.values())
    families = [*calls.families(), *(family for source in sources for family in _asked(source))]
    families += [instrument.family() for instrument in instruments]
    families = [family for family in families if family["series"]]
    return {"pid": os.getpid(), "families": [*families, *foreign({family["name"] for family in families})]}


def merge(snapshots: Iterable[Snapshot], *, gauges: bool = True) -> Snapshot:
    """One snapshot of many: counters and histograms are added up; each gauge gets the label `pid`.

    Without `gauges` they are left out: so what a process that is gone has counted is kept, and no counter runs
    backwards.
    """
    return merge_families(list(snapshots), gauges=gauges)


def render(snapshots: Sequence[Snapshot]) -> bytes:
    """The text for Prometheus, in the format OpenMetrics with exemplars; its content type is `CONTENT_TYPE`."""
    found = snapshots[0] if len(snapshots) == 1 else merge(snapshots)
    return render_families(found["families"])


def exposition() -> bytes:
    """The text of this process."""
    return render([snapshot()])


def _asked(source: _Source) -> list[Family]:
    """What the source has; nothing where it fails, which is no reason to show nothing at all."""
    try:
        return list(source())
    except Exception:
        log.exception("a source of metrics failed")
        return []


def _instrument(kind: Any, name: str, make: Callable[[], Any]) -> Any:
    with _lock:
        known = _instruments.get(name)
        if known is None:
            known = _instruments[name] = make()
            return known
    if type(known) is not kind:
        raise ConfigurationError(f"the metric {name} is there already, as a {type(known).__name__}")
    wanted = make()
    labels = getattr(known, "labels", None)
    if labels != getattr(wanted, "labels", None):
        raise ConfigurationError(f"the metric {name} is there already, with other labels: {labels}")
    return known
