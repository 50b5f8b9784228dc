"""Attempts do not multiply over three hops: what arrives at the bottom is at most 1.1 times what was asked for.

Counted, not timed: backoffs pass in virtual time and every random number comes from a seed.
"""

from __future__ import annotations

import math
from typing import Any

import pytest

import kit
from kit.policy import Preset
from tests.conformance.hops import hops

#: The most attempts at the bottom for each call at the top.
MOST = 1.1
CALLS = 2_000
#: gRFC A6's figures. They are what bounds the attempts: a target of which more than one attempt in eleven fails gets no
#: further ones, and below that share every failure that is tried again adds less than a tenth.
THROTTLE = kit.RetryThrottling(max_tokens=10, token_ratio=0.1)


def policy(**more: Any) -> kit.MethodPolicy:
    """What the production preset says of retries; time is not limited, as it does not pass."""
    level = kit.IdempotencyLevel.IDEMPOTENT
    return kit.MethodPolicy(preset=Preset.PRODUCTION, per_try_timeout=math.inf, idempotency_level=level, **more)


THROTTLED = policy(retry_throttling=THROTTLE)
WITH_BUDGET = policy(retry_throttling=THROTTLE, retry_budget=kit.RetryBudget(ratio=0.2))


@pytest.mark.parametrize("together", [1, 50])
async def test_when_the_bottom_is_down_three_hops_add_less_than_a_tenth(together: int) -> None:
    async with hops(WITH_BUDGET) as seen:
        await seen.call(CALLS, together=together)
    assert seen.made == CALLS
    assert seen.succeeded == 0
    # What failed at the bottom is not asked for again from above: the pushback says so.
    assert seen.arrived[:2] == [CALLS, CALLS]
    assert CALLS < seen.arrived[2] <= MOST * CALLS


@pytest.mark.parametrize("failing", [0.05, 0.09, 0.2, 0.5])
async def test_when_the_bottom_fails_at_times_three_hops_add_at_most_a_tenth(failing: float) -> None:
    async with hops(THROTTLED, failing=failing) as seen:
        await seen.call(1_000)
    assert seen.arrived[:2] == [1_000, 1_000]
    assert 1 < seen.amplification <= MOST


async def test_with_retries_alone_the_lowest_hop_makes_them_all_and_the_others_none() -> None:
    async with hops(policy()) as seen:
        await seen.call(50)
    assert seen.arrived == [50, 50, 200]


async def test_without_pushback_retries_alone_multiply_from_hop_to_hop() -> None:
    async with hops(policy(), pushback=False) as seen:
        await seen.call(2)
    assert seen.arrived == [8, 32, 128]


async def test_a_throttle_bounds_them_also_where_the_servers_between_send_no_pushback() -> None:
    async with hops(THROTTLED, pushback=False) as seen:
        await seen.call(500)
    assert seen.amplification <= MOST


async def test_a_budget_alone_does_not_bound_them_while_its_floor_is_not_reached() -> None:
    """Its floor of ten retries a second is for clients that call seldom, whatever share of their calls fails."""
    async with hops(policy(retry_budget=kit.RetryBudget(ratio=0.1))) as seen:
        await seen.call(50)
    assert seen.arrived == [50, 50, 200]


async def test_a_budget_without_a_floor_bounds_them() -> None:
    async with hops(policy(retry_budget=kit.RetryBudget(ratio=0.1, min_per_second=0.0))) as seen:
        await seen.call(500)
    assert 1 < seen.amplification <= MOST
