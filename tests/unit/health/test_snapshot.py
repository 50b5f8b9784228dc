"""A process's health as a document, and one document of several processes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kit.health import (
    LIVENESS,
    READINESS,
    Finding,
    Health,
    HealthLayer,
    HealthRegistry,
    HealthResult,
    HealthService,
    merge_snapshots,
    snapshot,
)
from kit.testing import VirtualClock


async def worker(*, ready: bool = True, live: bool = True, **components: Any) -> dict[str, Any]:
    """The snapshot of a process with such answers of its components, all required, after one check of each."""
    clock = VirtualClock()
    registry = HealthRegistry(clock=clock)
    for name, answer in components.items():

        async def check(answer: Any = answer) -> Any:
            if isinstance(answer, Exception):
                raise answer
            return answer

        registry.add(name, check)
    await registry.check_now()
    service = HealthService()
    service.register([READINESS, LIVENESS])
    service.set(READINESS, ready)
    service.set(LIVENESS, live)
    for name in registry.missing():
        service.hold(name)
    # As it comes over a pipe.
    document: dict[str, Any] = json.loads(json.dumps(snapshot(service, registry)))
    return document


def by_name(document: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {one["component"]: (one["status"], one["message"]) for one in document["components"]}


async def test_a_snapshot_says_all_and_a_result_comes_back_from_it() -> None:
    said = await worker(database=Finding(Health.DEGRADED, "slow disk", {"path": "/x"}), queue=False)
    assert said["statuses"] == {READINESS: "NOT_SERVING", LIVENESS: "SERVING"}
    assert (said["status"], said["in_the_way"], said["workers"]) == ("unhealthy", ["queue"], 1)
    result = HealthResult.from_json(said["components"][0])
    assert (result.component, result.layer, result.status) == ("database", HealthLayer.SERVICES, Health.DEGRADED)
    assert (result.message, result.details, result.required) == ("slow disk", {"path": "/x"}, True)
    assert result.to_json() == said["components"][0]


async def test_one_worker_that_serves_is_enough_but_all_have_to_live() -> None:
    merged = merge_snapshots([await worker(ready=False), await worker(), await worker(live=False)])
    assert merged["statuses"] == {READINESS: "SERVING", LIVENESS: "NOT_SERVING"}
    assert merged["workers"] == 3
    nobody = merge_snapshots([await worker(ready=False), await worker(ready=False)])
    assert nobody["statuses"][READINESS] == "NOT_SERVING"


async def test_a_component_is_degraded_where_workers_differ_and_says_what_the_worst_one_says() -> None:
    merged = merge_snapshots([await worker(database=None), await worker(database=False), await worker(database=None)])
    assert by_name(merged) == {"database": ("degraded", "1 of 3 workers: the check says no")}
    assert (merged["status"], merged["in_the_way"]) == ("degraded", ["database"])


async def test_a_component_that_is_unhealthy_for_all_is_unhealthy() -> None:
    merged = merge_snapshots([await worker(database=False), await worker(database=False)])
    assert by_name(merged) == {"database": ("unhealthy", "the check says no")}
    assert merged["status"] == "unhealthy"


async def test_a_component_that_only_one_worker_knows_is_in_the_view_and_views_can_be_merged_again() -> None:
    first = merge_snapshots([await worker(database=None), await worker(cache=OSError("gone"))])
    again = merge_snapshots([first, await worker(database=None)])
    assert by_name(again) == {"database": ("healthy", ""), "cache": ("degraded", "OSError: gone")}
    assert again["workers"] == 3


def test_no_worker_is_nothing_that_serves() -> None:
    assert merge_snapshots([]) == {
        "status": "unknown",
        "statuses": {},
        "in_the_way": [],
        "workers": 0,
        "components": [],
    }


@pytest.mark.parametrize("change", [{"status": "fine"}, {"layer": "attic"}, {"surplus": 1}])
async def test_a_document_that_is_none_is_refused(change: dict[str, Any]) -> None:
    document = (await worker(database=None))["components"][0]
    with pytest.raises((ValueError, TypeError)):
        HealthResult.from_json({**document, **change})
