"""Families of metrics as Prometheus reads them, by prometheus_client's own writer.

prometheus_client is imported when something is first rendered: whoever shows no metrics does without it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from kit.observe._instruments import Family

__all__ = ["CONTENT_TYPE", "collected", "foreign", "prometheus_name", "render_families"]

#: Of the text that `render_families` makes; OpenMetrics, the only one that has exemplars.
CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_UNITS = {"s": "seconds", "By": "bytes"}
#: What prometheus_client notes beside each series, and nobody asks for.
_CREATED = "_created"


def prometheus_name(name: str, unit: str) -> str:
    """ "rpc.server.call.duration" in "s" as "rpc_server_call_duration_seconds"."""
    plain = name.replace(".", "_")
    suffix = _UNITS.get(unit, "")
    return plain if not suffix or plain.endswith(f"_{suffix}") else f"{plain}_{suffix}"


def render_families(families: Iterable[Family]) -> bytes:
    """The families as text."""
    from prometheus_client.openmetrics import exposition

    # collect() is all that it asks for.
    written: bytes = exposition.generate_latest(_Collected(families))  # type: ignore[no-untyped-call]  # it has no types
    return written


class _Collected:
    """What prometheus_client's writer takes."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = families

    def collect(self) -> Iterable[Any]:
        return collected(self._families)


def collected(families: Iterable[Family]) -> Iterable[Any]:
    """The families as prometheus_client has them."""
    from prometheus_client.core import Exemplar, Metric

    for family in families:
        kind = family["kind"]
        unit = _UNITS.get(family["unit"], "")
        name = prometheus_name(family["name"], family["unit"])
        metric = Metric(name, family["help"], kind, unit)
        for series in family["series"]:
            labels = {label.replace(".", "_"): value for label, value in series["labels"].items()}
            if "sample" in series:
                metric.add_sample(series["sample"], labels, series["value"])
            elif kind == "histogram":
                _add_histogram(metric, name, labels, family["bounds"], series, Exemplar)
            else:
                metric.add_sample(f"{name}_total" if kind == "counter" else name, labels, series["value"])
        yield metric


def _add_histogram(
    metric: Any, name: str, labels: dict[str, str], bounds: Sequence[float], series: Mapping[str, Any], exemplar: Any
) -> None:
    examples = {index: found for index, *found in series["exemplars"]}
    total = 0
    for index, count in enumerate(series["counts"]):
        total += count
        bound = bounds[index] if index < len(bounds) else math.inf
        example = None
        if index in examples:
            value, trace_id, span_id, when = examples[index]
            example = exemplar({"trace_id": trace_id, "span_id": span_id}, value, round(when, 3))
        metric.add_sample(f"{name}_bucket", {**labels, "le": _bound(bound)}, total, None, example)
    metric.add_sample(f"{name}_count", labels, total)
    metric.add_sample(f"{name}_sum", labels, series["sum"])


def _bound(bound: float) -> str:
    return "+Inf" if bound == math.inf else repr(float(bound))


def foreign(without: Collection[str]) -> list[Family]:
    """What prometheus_client's own registry has: the process's CPU, memory and files, and whatever the service itself
    has put there. Families named in `without` are left out.
    """
    from prometheus_client import REGISTRY

    taken = {name.replace(".", "_") for name in without}
    return [_family(metric) for metric in REGISTRY.collect() if metric.name not in taken]


def _family(metric: Any) -> Family:
    series = []
    for sample in metric.samples:
        if sample.name.endswith(_CREATED) or sample.native_histogram is not None:
            continue
        one: dict[str, Any] = {"labels": dict(sample.labels), "value": sample.value}
        if metric.type not in ("counter", "gauge"):
            one["sample"] = sample.name
        series.append(one)
    return {"name": metric.name, "kind": metric.type, "help": metric.documentation, "unit": "", "series": series}
