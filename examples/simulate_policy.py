"""Which policy carries a service over a bad minute? Asked in virtual time, answered in a few seconds.

python examples/simulate_policy.py

Of three replicas each fails a fifth of its calls for a minute, and one of them falls silent for ten seconds. The same
load meets three policies.
"""

import grpc

import kit
from kit.testing import FaultPlan, Load, Lognormal, Outage, OutageKind, Phase, simulate

PLAN = FaultPlan(
    endpoints=3,
    latency=Lognormal(median=0.02, p99=0.2),
    phases=(
        Phase(duration=30.0),
        Phase(duration=60.0, errors={grpc.StatusCode.UNAVAILABLE: 0.2}),
        Phase(duration=30.0),
    ),
    outages=(Outage(start=50.0, duration=10.0, endpoints=frozenset({1}), kind=OutageKind.SILENT),),
)
SAFE = kit.IdempotencyLevel.NO_SIDE_EFFECTS
POLICIES = {
    "timeout only": kit.MethodPolicy(timeout=5.0, idempotency_level=SAFE),
    "two attempts": kit.MethodPolicy(
        timeout=5.0, retry=kit.RetryPolicy(max_attempts=2, initial_backoff=0.05), idempotency_level=SAFE
    ),
    "four short attempts": kit.MethodPolicy(
        timeout=5.0,
        per_try_timeout=0.5,
        retry=kit.RetryPolicy(max_attempts=4, initial_backoff=0.05),
        idempotency_level=SAFE,
    ),
}


def main() -> None:
    print(f"{'policy':<20}  {'success':>8}  {'attempts':>8}  {'p50':>7}  {'p99':>8}")
    for name, policy in POLICIES.items():
        result = simulate(policy, PLAN, load=Load(rate=20.0), calls=2400, seed=1)
        print(
            f"{name:<20}  {result.success_rate:>8.2%}  {result.amplification:>7.2f}x"
            f"  {result.latency(0.5) * 1000:>4.0f} ms  {result.latency(0.99) * 1000:>5.0f} ms"
        )


if __name__ == "__main__":
    main()
