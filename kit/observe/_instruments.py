"""What metrics are counted in: numbers of our own, read when somebody asks for them.

A counter is a number, a histogram a list of counts beside fixed bounds: recording is a bisection and an addition, and
nothing is allocated. Everything that reads (a scrape, an export) takes a snapshot, on whatever thread it runs.

Labels are bounded: an instrument keeps at most `MAX_SERIES` combinations of them, and what comes beyond is counted
under `OTHER`.
"""

from __future__ import annotations

import logging
import math
import re
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from kit.errors import ConfigurationError, UsageTypeError, UsageValueError

__all__ = [
    "DURATION_BOUNDS",
    "MAX_SERIES",
    "OTHER",
    "Buckets",
    "Counter",
    "Exemplary",
    "Family",
    "Gauge",
    "GaugeFamily",
    "Histogram",
    "Reading",
]

#: Upper bounds of durations in seconds: those that OpenTelemetry advises for RPCs, and some below 5 ms.
DURATION_BOUNDS = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075),
    *(0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
)
#: Combinations of labels that one instrument keeps apart.
MAX_SERIES = 2000
#: Stands for every value of a label beyond those.
OTHER = "other"

#: A family of metrics as JSON has it: name, kind, help, unit, bounds (of a histogram) and series.
Family: TypeAlias = dict[str, Any]
#: What a gauge's function gives: the value, nothing just now, or a value for each of some further labels.
Reading: TypeAlias = float | Iterable[tuple[Mapping[str, str], float]] | None

_NAME = re.compile(r"[a-z][a-z0-9]*([._][a-z0-9]+)*")
_LABEL = re.compile(r"[a-z][a-z0-9_.]*")

log = logging.getLogger("kit.observe")


class Exemplary(Protocol):
    """A call that was traced, which a bucket shows as its example."""

    def exemplar(self) -> tuple[str, str, float]:
        """Its trace id and span id in hexadecimal, and when it ended, in seconds since 1970."""
        ...


class Buckets:
    """One series of a histogram. Written by one thread, read by any."""

    __slots__ = ("bounds", "counts", "exemplars", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0
        #: For each bucket the last value that has one, with it.
        self.exemplars: dict[int, tuple[float, Exemplary]] = {}

    def record(self, value: float, exemplar: Exemplary | None = None) -> None:
        """Counts a value."""
        index = bisect_left(self.bounds, value)
        self.counts[index] += 1
        self.sum += value
        if exemplar is not None:
            self.exemplars[index] = (value, exemplar)

    def reading(self, labels: Mapping[str, str]) -> dict[str, Any]:
        """The series as JSON has it."""
        return {
            "labels": dict(labels),
            "counts": list(self.counts),
            "sum": self.sum,
            "exemplars": [
                [index, value, *example.exemplar()] for index, (value, example) in sorted(self.exemplars.copy().items())
            ],
        }


class _Instrument:
    """A name, a help text, a unit, and a series for each combination of labels."""

    def __init__(self, name: str, help: str, labels: Sequence[str], unit: str) -> None:  # noqa: A002
        _check(name, help, labels)
        self.name = name
        self.help = help
        self.unit = unit
        self.labels = tuple(labels)
        self._names = frozenset(labels)
        self._lock = threading.Lock()

    def _key(self, series: Mapping[tuple[str, ...], object], given: Mapping[str, object]) -> tuple[str, ...]:
        """The values of the labels, in order; raises UsageTypeError for other labels than the instrument's."""
        if given.keys() != self._names:
            wanted = ", ".join(self.labels) or "none"
            raise UsageTypeError(f"the metric {self.name} has the labels {wanted}, not {', '.join(given) or 'none'}")
        key = tuple(str(given[label]) for label in self.labels)
        return key if key in series or len(series) < MAX_SERIES else (OTHER,) * len(key)

    def _family(self, kind: str, series: list[dict[str, Any]], **more: Any) -> Family:
        return {"name": self.name, "kind": kind, "help": self.help, "unit": self.unit, "series": series, **more}


class Counter(_Instrument):
    """A number that only grows: what happened, how many bytes."""

    def __init__(self, name: str, help: str, labels: Sequence[str] = (), unit: str = "") -> None:  # noqa: A002
        super().__init__(name, help, labels, unit)
        self._series: dict[tuple[str, ...], float] = {} if labels else {(): 0}

    def add(self, amount: float = 1, **labels: object) -> None:
        """Counts; every label of the counter is to be given. Raises UsageValueError for less than 0."""
        if not amount >= 0 or amount == math.inf:
            raise UsageValueError(f"the counter {self.name} cannot count {amount!r}: it only grows")
        with self._lock:
            key = self._key(self._series, labels)
            self._series[key] = self._series.get(key, 0) + amount

    def family(self) -> Family:
        """What has been counted."""
        with self._lock:
            found = list(self._series.items())
        return self._family(
            "counter", [{"labels": dict(zip(self.labels, key, strict=True)), "value": value} for key, value in found]
        )


class Histogram(_Instrument):
    """How values are spread: durations, sizes."""

    def __init__(
        self,
        name: str,
        help: str,  # noqa: A002
        labels: Sequence[str] = (),
        unit: str = "s",
        bounds: Sequence[float] = DURATION_BOUNDS,
        example: Callable[[], Exemplary | None] = lambda: None,
    ) -> None:
        super().__init__(name, help, labels, unit)
        self.bounds = tuple(float(bound) for bound in bounds)
        if not self.bounds or any(later <= sooner for sooner, later in zip(self.bounds, self.bounds[1:], strict=False)):
            raise ConfigurationError(f"the bounds of the histogram {name} must grow: {list(bounds)}")
        if self.bounds[-1] == math.inf or self.bounds[0] < 0:
            raise ConfigurationError(f"the bounds of the histogram {name} must be 0 or more, and finite")
        self._example = example
        self._series: dict[tuple[str, ...], Buckets] = {} if labels else {(): Buckets(self.bounds)}

    def record(self, value: float, **labels: object) -> None:
        """Counts a value; every label of the histogram is to be given. A traced call in whose handler this is done is
        the value's example. Raises UsageValueError for what is no number.
        """
        if not math.isfinite(value):
            raise UsageValueError(f"the histogram {self.name} cannot record {value!r}")
        with self._lock:
            key = self._key(self._series, labels)
            found = self._series.get(key)
            if found is None:
                found = self._series[key] = Buckets(self.bounds)
            found.record(value, self._example())

    def family(self) -> Family:
        """What has been recorded."""
        with self._lock:
            found = [buckets.reading(dict(zip(self.labels, key, strict=True))) for key, buckets in self._series.items()]
        return self._family("histogram", found, bounds=list(self.bounds))


class Gauge:
    """One value that goes up and down, or the function that gives it when it is asked for."""

    def __init__(
        self, family: GaugeFamily, key: tuple[tuple[str, str], ...], callback: Callable[[], Reading] | None
    ) -> None:
        self._family = family
        self._key = key
        self._callback = callback
        self._value: float | None = None

    def set(self, value: float) -> None:
        """The value from now on."""
        self._value = value

    def remove(self) -> None:
        """Shows it no more. May be called again."""
        self._family.remove(self._key, self)

    def read(self) -> Reading:
        """The value now; None where there is none."""
        if self._callback is None:
            return self._value
        try:
            return self._callback()
        except Exception:
            log.exception("the function of the gauge %s failed", self._family.name)
            return None


class GaugeFamily:
    """The gauges of one name, by their labels."""

    def __init__(self, name: str, help: str, unit: str) -> None:  # noqa: A002
        _check(name, help, ())
        self.name = name
        self.help = help
        self.unit = unit
        self._gauges: dict[tuple[tuple[str, str], ...], Gauge] = {}

    def add(self, labels: Mapping[str, str], callback: Callable[[], Reading] | None) -> Gauge:
        """A gauge with these labels; it takes the place of one that had the same."""
        _check(self.name, self.help, tuple(labels))
        key = tuple(sorted((name, str(value)) for name, value in labels.items()))
        if callback is None and (known := self._gauges.get(key)) is not None and known._callback is None:
            return known
        made = self._gauges[key] = Gauge(self, key, callback)
        return made

    def remove(self, key: tuple[tuple[str, str], ...], gauge: Gauge) -> None:
        """Forgets a gauge, unless another one has taken its place."""
        if self._gauges.get(key) is gauge:
            del self._gauges[key]

    def family(self) -> Family:
        """The values now."""
        series: list[dict[str, Any]] = []
        for key, gauge in list(self._gauges.items()):
            found = gauge.read()
            if found is None:
                continue
            for more, value in [({}, found)] if isinstance(found, (int, float)) else found:
                if len(series) < MAX_SERIES:
                    series.append({"labels": {**dict(key), **more}, "value": value})
        return {"name": self.name, "kind": "gauge", "help": self.help, "unit": self.unit, "series": series}


def _check(name: str, help: str, labels: Sequence[str]) -> None:  # noqa: A002
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f'a metric is named by small letters, digits, "." and "_": {name!r} is not')
    if name.endswith("_total"):
        raise ConfigurationError(f"{name}: leave out _total, which Prometheus is given anyway")
    if not help:
        raise ConfigurationError(f"the metric {name} needs a help text")
    for label in labels:
        if not _LABEL.fullmatch(label) or label in ("le", "pid"):
            raise ConfigurationError(f"{name}: {label!r} cannot be the name of a label")
