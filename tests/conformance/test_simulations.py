"""10,000 simulations of policies against fault plans: the same seed gives the same history."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import grpc

import kit
from kit.policy import BreakerPolicy, HedgingPolicy, IdempotencyLevel, Jitter
from kit.testing import (
    FaultPlan,
    Fixed,
    Latency,
    Load,
    Lognormal,
    Outage,
    OutageKind,
    Phase,
    SimulationResult,
    Uniform,
    simulate,
)
from tests.datafiles import ROOT

ROUNDS = 10_000
#: Every so many of them are made once more.
AGAIN = 20
CODES = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.RESOURCE_EXHAUSTED)


def simulation(seed: int) -> SimulationResult:
    """A small simulation whose policy, plan and load all follow from the seed."""
    rng = random.Random(seed)
    calls = rng.randint(2, 6)
    level = rng.choice(list(IdempotencyLevel))
    retry = kit.RetryPolicy(
        max_attempts=rng.randint(1, 5),
        initial_backoff=rng.choice([0.0, 0.05]),
        retryable_status_codes=rng.sample(CODES, rng.randint(1, 3)),
        jitter=rng.choice(list(Jitter)),
    )
    hedging = HedgingPolicy(max_attempts=rng.randint(2, 4), hedging_delay=0.05)
    hedged = level is not IdempotencyLevel.UNKNOWN and rng.random() < 0.3
    policy = kit.MethodPolicy(
        timeout=rng.choice([0.5, 2.0, 30.0]),
        per_try_timeout=rng.choice([0.1, 1.0]),
        retry=None if hedged else retry,
        hedging=hedging if hedged else None,
        breaker=BreakerPolicy(failure_threshold=5, open_for=0.3) if rng.random() < 0.3 else None,
        idempotency_level=level,
    )
    endpoints = rng.randint(1, 3)
    some = frozenset(rng.sample(range(endpoints), rng.randint(1, endpoints)))
    latencies: list[Latency] = [Fixed(0.02), Uniform(0.0, 0.2), Lognormal(0.02, 0.5)]
    latency = rng.choice(latencies)
    phases = (
        Phase(duration=0.5, errors={code: rng.uniform(0, 0.3) for code in CODES}, pushback=rng.choice([None, 0.1, -1])),
        Phase(latency=latency, errors={CODES[0]: rng.random()}, endpoints=some),
    )
    outages = (Outage(start=rng.random(), duration=0.3, endpoints=some, kind=rng.choice(list(OutageKind))),)
    plan = FaultPlan(endpoints=endpoints, latency=latency, phases=phases, outages=outages)
    load = Load(rate=20.0) if rng.random() < 0.5 else Load(clients=2, think=0.1)
    return simulate({"*": policy}, plan, load=load, calls=calls, seed=seed)


def test_ten_thousand_simulations_repeat_themselves() -> None:
    histories: set[str] = set()
    for seed in range(ROUNDS):
        result = simulation(seed)
        histories.add(result.digest)
        # What holds whatever is decided inside.
        assert sum(result.codes.values()) == sum(result.stop_reasons.values()) == result.calls
        assert result.attempts == sum(attempts * calls for attempts, calls in result.attempts_histogram.items())
        assert max(result.attempts_histogram) <= 5
        assert result.latency(1.0) <= 30.0
        if seed % AGAIN == 0:
            assert simulation(seed).history == result.history
    # Few of them are alike (where nothing is random but the seed's small choices): the seed is heard.
    assert len(histories) > 0.8 * ROUNDS


def test_two_processes_agree_on_a_history() -> None:
    """Hashes of strings and addresses of objects differ from process to process; histories must not."""
    program = "from tests.conformance.test_simulations import simulation; print(simulation(7).digest)"

    def digest(hash_seed: str) -> str:
        environment = os.environ | {
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos' / 'gen'}",
            "PYTHONHASHSEED": hash_seed,
        }
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, cwd=ROOT, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    assert digest("1") == digest("2") == simulation(7).digest
