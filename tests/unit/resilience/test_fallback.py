"""When a fallback holds."""

from __future__ import annotations

import math

import grpc
import pytest

from kit.resilience.fallback import FallbackPolicy, FallbackRules, refutes

DEFAULT = {"UNKNOWN", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}


def rules(**given: object) -> FallbackRules:
    found = FallbackRules.of(FallbackPolicy(**given))  # type: ignore[arg-type]
    assert found is not None
    return found


def test_by_default_the_servers_and_the_networks_faults_count() -> None:
    found = rules(cached_for=60.0)
    assert {code.name for code in grpc.StatusCode if found.covers(code.value[0])} == DEFAULT


def test_the_codes_that_are_named_count_and_no_others() -> None:
    found = rules(default_json="{}", status_codes=[grpc.StatusCode.UNIMPLEMENTED, 14])
    assert {code.name for code in grpc.StatusCode if found.covers(code.value[0])} == {"UNIMPLEMENTED", "UNAVAILABLE"}


@pytest.mark.parametrize(
    "policy",
    [
        FallbackPolicy(),
        FallbackPolicy(cached_for=0.0, method="", default_json=""),
        FallbackPolicy(status_codes=[14]),
        FallbackPolicy(cached_for=60.0, status_codes=[]),
    ],
)
def test_with_nothing_to_answer_with_or_no_status_that_counts_there_is_no_fallback(policy: FallbackPolicy) -> None:
    assert FallbackRules.of(policy) is None


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"cached_for": -1.0}, "^cached_for must be"),
        ({"cached_for": math.inf}, "^cached_for must be"),
        ({"cached_for": math.nan}, "^cached_for must be"),
        ({"method": "other.Service/Get"}, "^method must be the short name"),
        ({"method": "/a.B/C"}, "^method must be the short name"),
        ({"status_codes": [0]}, "^status_codes: 0 is not"),
        ({"status_codes": [17]}, "^status_codes: 17 is not"),
        ({"status_codes": ["UNAVAILABLE"]}, "^status_codes: 'UNAVAILABLE' is not"),
        ({"status_codes": [grpc.StatusCode.CANCELLED]}, "^status_codes: CANCELLED"),
    ],
)
def test_what_cannot_be_meant_is_refused_naming_the_field(given: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        FallbackPolicy(**given)  # type: ignore[arg-type]


def test_what_the_server_says_of_the_data_or_the_caller_refutes_an_earlier_answer() -> None:
    refuting = {code.name for code in grpc.StatusCode if refutes(code.value[0])}
    assert {"NOT_FOUND", "PERMISSION_DENIED", "UNAUTHENTICATED"} <= refuting
    assert refuting.isdisjoint(DEFAULT | {"OK", "CANCELLED"})
