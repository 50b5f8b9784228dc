"""What a process says of its health as a JSON document, and one such document of several processes behind one address.

{"status": "degraded",                              the whole, by its components
 "statuses": {"": "SERVING", "readiness": ...},     what grpc.health.v1 says, by name
 "in_the_way": ["database"],                        why it is not ready
 "workers": 1,                                      how many processes it is about
 "components": [{"component": "database", "layer": "services", "required": true, "status": "healthy", ...}]}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kit.health.registry import HealthRegistry
from kit.health.result import HealthResult, worst
from kit.health.service import LIVENESS, HealthService
from kit.resilience.pulse import Health

__all__ = ["merge_snapshots", "snapshot"]

Snapshot = dict[str, Any]


def snapshot(service: HealthService, registry: HealthRegistry) -> Snapshot:
    """Of one process. Costs no I/O."""
    return {
        "status": registry.status.value,
        "statuses": {name: _word(service.serving(name)) for name in service.names()},
        "in_the_way": list(service.in_the_way),
        "workers": 1,
        "components": [result.to_json() for result in registry.results()],
    }


def merge_snapshots(snapshots: Sequence[Mapping[str, Any]]) -> Snapshot:
    """Of workers that serve one address, where any of them may get the next call.

    A name is SERVING where one of them serves it, for that is better than no process at all; liveness is only where
    all of them are live. A component is HEALTHY where it is for all that know it, UNHEALTHY where it is for all,
    DEGRADED in between, and says what the worst one says. No worker is an UNKNOWN whole, with nothing SERVING.
    """
    names = list(dict.fromkeys(name for one in snapshots for name in one["statuses"]))
    known: dict[str, list[HealthResult]] = {}
    for one in snapshots:
        for document in one["components"]:
            known.setdefault(document["component"], []).append(HealthResult.from_json(document))
    parts = [_merged(results) for results in known.values()]
    count = sum(int(one.get("workers", 1)) for one in snapshots)
    whole = worst(*(Health(one["status"]) for one in snapshots)) if snapshots else Health.UNKNOWN
    if any(one["status"] != Health.UNHEALTHY.value for one in snapshots) and whole is Health.UNHEALTHY:
        whole = Health.DEGRADED
    return {
        "status": whole.value,
        "statuses": {name: _word(_serving(name, snapshots)) for name in names},
        "in_the_way": sorted({reason for one in snapshots for reason in one["in_the_way"]}),
        "workers": count,
        "components": [part.to_json() for part in parts],
    }


def _serving(name: str, snapshots: Sequence[Mapping[str, Any]]) -> bool:
    said = [one["statuses"].get(name) == "SERVING" for one in snapshots]
    return all(said) if name == LIVENESS else any(said)


def _merged(results: list[HealthResult]) -> HealthResult:
    status = worst(*(one.status for one in results))
    first = next(one for one in results if one.status is status)
    alike = sum(one.status is status for one in results)
    if status is Health.UNHEALTHY and alike < len(results):
        status = Health.DEGRADED
    stamps = [one.timestamp for one in results if one.timestamp is not None]
    latencies = [one.latency for one in results if one.latency is not None]
    some = f"{alike} of {len(results)} workers: " if alike < len(results) else ""
    return HealthResult(
        component=first.component,
        layer=first.layer,
        required=any(one.required for one in results),
        status=status,
        message=f"{some}{first.message}",
        timestamp=max(stamps, default=None),
        latency=max(latencies, default=None),
        details=first.details,
    )


def _word(serving: bool) -> str:
    return "SERVING" if serving else "NOT_SERVING"
