"""Snapshots of several processes become one. Pure: dictionaries in, a dictionary out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kit.observe._instruments import Family

__all__ = ["merge_families"]

_ADDED = frozenset({"counter", "histogram", "summary"})


def merge_families(snapshots: Sequence[Mapping[str, Any]], *, gauges: bool = True) -> dict[str, Any]:
    """See `kit.observe.metrics.merge`. Where bounds differ, the histogram that came first is kept."""
    families: dict[str, Family] = {}
    series: dict[str, dict[tuple[tuple[str, str], ...], dict[str, Any]]] = {}
    for snapshot in snapshots:
        for family in snapshot["families"]:
            added = family["kind"] in _ADDED
            if not added and not gauges:
                continue
            name = family["name"]
            merged = families.setdefault(name, {**family, "series": []})
            if merged["kind"] != family["kind"] or merged.get("bounds") != family.get("bounds"):
                continue
            known = series.setdefault(name, {})
            for one in family["series"]:
                labels = one["labels"]
                if not added and "pid" not in labels:
                    labels = {**labels, "pid": str(snapshot["pid"])}
                # Of a family of others each sample is a series of its own.
                key = (("", one.get("sample", "")), *sorted(labels.items()))
                known[key] = _added(known[key], one) if added and key in known else {**one, "labels": labels}
    for name, family in families.items():
        family["series"] = list(series.get(name, {}).values())
    return {"pid": 0, "families": list(families.values())}


def _added(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    if "counts" not in one:
        return {**one, "value": one["value"] + other["value"]}
    newest = {example[0]: example for example in one["exemplars"]}
    for example in other["exemplars"]:
        if example[0] not in newest or newest[example[0]][4] < example[4]:
            newest[example[0]] = example
    return {
        "labels": one["labels"],
        "counts": [mine + theirs for mine, theirs in zip(one["counts"], other["counts"], strict=True)],
        "sum": one["sum"] + other["sum"],
        "exemplars": [newest[index] for index in sorted(newest)],
    }
