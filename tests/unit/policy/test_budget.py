"""Whether policies fit together: time for the calls made inside, circles, and attempts that multiply."""

from __future__ import annotations

import pytest

import kit
from kit.policy import DownstreamCall, IdempotencyLevel, Preset, Resolved, policy_for, worst_case_seconds
from kit.policy.budget import attempts_of, needed_seconds, paths_from, problems

ROOT = "/shop.v1.Shop/Buy"
SAFE = IdempotencyLevel.IDEMPOTENT


def resolved(**policies: kit.MethodPolicy) -> dict[str, Resolved]:
    """By name: "Buy" is ROOT, the others are methods of the same service."""
    given = {f"/shop.v1.Shop/{name}": policy for name, policy in policies.items()}
    return {method: policy_for(method, given) for method in given}


def calls(*names: str) -> tuple[DownstreamCall, ...]:
    return tuple(DownstreamCall(method=f"shop.v1.Shop/{name}") for name in names)


def steps(timeout: float) -> dict[str, Resolved]:
    """Steps of 2 + 2 + 1 + 10 + 5 seconds inside one method."""
    seconds = {"A": 2.0, "B": 2.0, "C": 1.0, "D": 10.0, "E": 5.0}
    return resolved(
        Buy=kit.MethodPolicy(timeout=timeout, downstream=calls(*seconds)),
        **{name: kit.MethodPolicy(timeout=each) for name, each in seconds.items()},
    )


def test_twenty_seconds_of_steps_need_thirty() -> None:
    assert needed_seconds(steps(30.0)[ROOT], steps(30.0)) == 30.0
    assert problems(steps(30.0)) == []
    (found,) = problems(steps(29.9))
    assert (found.method, found.field) == (ROOT, "timeout")
    assert "29.9 s is too short" in found.reason


def test_a_parent_of_productions_worst_case_needs_ninety_seconds_and_a_half_more_than_a_hundred() -> None:
    def policies(timeout: float) -> dict[str, Resolved]:
        return resolved(
            Buy=kit.MethodPolicy(timeout=timeout, downstream=calls("Pay")),
            Pay=kit.MethodPolicy(preset=Preset.PRODUCTION, idempotency_level=SAFE),
        )

    assert worst_case_seconds(policies(1.0)["/shop.v1.Shop/Pay"]) == 127.0
    assert needed_seconds(policies(1.0)[ROOT], policies(1.0)) == 190.5
    assert problems(policies(190.5)) == []
    assert [found.field for found in problems(policies(190.4))] == ["timeout"]


def test_nothing_can_be_said_of_the_time_that_an_unknown_method_needs() -> None:
    policies = resolved(Buy=kit.MethodPolicy(timeout=1.0, downstream=calls("Nothing")))
    assert needed_seconds(policies[ROOT], policies) is None
    (found,) = problems(policies)
    assert found.reason == "no method shop.v1.Shop/Nothing is known"


@pytest.mark.parametrize(
    ("policy", "attempts"),
    [
        (kit.MethodPolicy(), 1),
        (kit.MethodPolicy(idempotency_level=SAFE, retry=kit.RetryPolicy(max_attempts=3)), 3),
        (kit.MethodPolicy(idempotency_level=SAFE, hedging=kit.HedgingPolicy(max_attempts=2)), 2),
    ],
)
def test_retries_and_hedges_are_attempts(policy: kit.MethodPolicy, attempts: int) -> None:
    assert attempts_of(policy_for(ROOT, policy)) == attempts


def chain(attempts: int, *, back: bool = False) -> dict[str, Resolved]:
    """Buy calls Pay, which calls Book; each makes so many attempts."""

    def policy(*names: str) -> kit.MethodPolicy:
        return kit.MethodPolicy(
            idempotency_level=SAFE,
            retry=kit.RetryPolicy(max_attempts=attempts),
            hedging=kit.HedgingPolicy(max_attempts=1),
            downstream=calls(*names),
        )

    return resolved(Buy=policy("Pay"), Pay=policy("Book"), Book=policy(*(["Buy"] if back else [])))


def test_attempts_multiply_along_the_way() -> None:
    ways = list(paths_from(ROOT, chain(3)))
    assert [way.attempts for way in ways] == [3, 9, 27]
    assert str(ways[-1]) == "/shop.v1.Shop/Buy > /shop.v1.Shop/Pay > /shop.v1.Shop/Book"
    assert [found.reason for found in problems(chain(3)) if found.method == ROOT] == [
        f"one call may become 27, more than 16, at the end of {ways[-1]}"
    ]
    assert problems(chain(3), max_amplification=27) == []


def test_a_circle_is_gone_round_once_and_reported_for_each_method_on_it() -> None:
    policies = chain(1, back=True)
    (*_, last) = paths_from(ROOT, policies)
    assert last.circle
    assert len(last.methods) == 4
    assert sum("round in a circle" in found.reason for found in problems(policies)) == 3
