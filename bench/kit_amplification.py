"""Attempts over calls, three hops down, when the lowest service fails. Counts, not times: the same on every machine.

`tests/conformance/test_amplification.py` holds them to 1.1.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import math
from collections.abc import Sequence
from typing import Any

import kit
from kit.policy import Preset
from tests.conformance.hops import hops

__all__ = ["main"]


def _policy(**more: Any) -> kit.MethodPolicy:
    level = kit.IdempotencyLevel.IDEMPOTENT
    return kit.MethodPolicy(preset=Preset.PRODUCTION, per_try_timeout=math.inf, idempotency_level=level, **more)


_THROTTLE = kit.RetryThrottling(max_tokens=10, token_ratio=0.1)
_BUDGET = kit.RetryBudget(ratio=0.2)
_POLICIES = {
    "4 attempts, no pushback": (_policy(), False),
    "4 attempts": (_policy(), True),
    "4 attempts, budget": (_policy(retry_budget=_BUDGET), True),
    "4 attempts, throttle": (_policy(retry_throttling=_THROTTLE), True),
    "4 attempts, throttle and budget": (_policy(retry_throttling=_THROTTLE, retry_budget=_BUDGET), True),
}


async def _all(calls: int, together: int) -> None:
    print(f"{'share of attempts failing':34}" + "".join(f"{share:16.0%}" for share in (0.05, 0.2, 0.5, 1.0)))
    for name, (policy, pushback) in _POLICIES.items():
        print(f"{name:34}", end="", flush=True)
        for share in (0.05, 0.2, 0.5, 1.0):
            # What multiplies without end is shown by a few.
            made = calls if pushback else calls // 20
            async with hops(policy, failing=share, pushback=pushback) as seen:
                await seen.call(made, together=min(together, made))
            print(f"{seen.amplification:8.3f} {seen.succeeded / seen.made:4.0%} ok", end="", flush=True)
        print()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench amplification", description=__doc__)
    parser.add_argument("--calls", type=int, default=2_000, help="calls at the top (default 2000)")
    parser.add_argument("--together", type=int, default=1, help="calls made at once (default 1)")
    args = parser.parse_args(arguments)
    # Every failure is logged by the hop that sees it.
    logging.disable(logging.CRITICAL)
    try:
        asyncio.run(_all(args.calls, args.together))
    finally:
        logging.disable(logging.NOTSET)
