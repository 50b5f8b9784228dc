"""`kit.testing.simulate`: a policy against a fault plan in virtual time."""

from __future__ import annotations

import asyncio
import math
import time

import grpc
import pytest

import kit
from kit.errors import ConfigurationError, PolicyError
from kit.policy import BreakerPolicy, HedgingPolicy, IdempotencyLevel, Jitter
from kit.testing import FaultPlan, Fixed, Load, Outage, OutageKind, Phase, SimulationResult, Uniform, simulate
from tests.unit.policy.declared import NO_SIDE_EFFECTS, Rpc, declare

UNAVAILABLE, INTERNAL = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL
HALF = FaultPlan(phases=(Phase(errors={UNAVAILABLE: 0.5}),))


def retrying(attempts: int = 4, *, timeout: float = math.inf, per_try: float = math.inf) -> kit.MethodPolicy:
    return kit.MethodPolicy(
        timeout=timeout,
        per_try_timeout=per_try,
        retry=kit.RetryPolicy(max_attempts=attempts, initial_backoff=0.1, max_backoff=1.0, jitter=Jitter.NONE),
        idempotency_level=IdempotencyLevel.IDEMPOTENT,
    )


def always(code: grpc.StatusCode, *, pushback: float | None = None) -> FaultPlan:
    return FaultPlan(phases=(Phase(errors={code: 1.0}, pushback=pushback),))


def test_nothing_fails_where_nothing_is_planned() -> None:
    result = simulate(calls=50)
    assert result.success_rate == 1.0
    assert result.amplification == 1.0
    assert result.attempts_histogram == {1: 50}
    assert result.stop_reasons == {"OK": 50}
    assert result.latency(0.5) == result.latency(1.0) == pytest.approx(0.01)


def test_retries_do_what_arithmetic_says() -> None:
    once = simulate(plan=HALF, calls=2000)
    assert once.success_rate == pytest.approx(0.5, abs=0.05)
    assert once.stop_reasons.keys() == {"OK", "OFF"}
    again = simulate(retrying(4), HALF, calls=2000)
    assert again.success_rate == pytest.approx(1 - 0.5**4, abs=0.03)
    assert again.amplification == pytest.approx(1 + 0.5 + 0.25 + 0.125, abs=0.1)
    assert again.stop_reasons.keys() == {"OK", "ATTEMPTS_EXHAUSTED"}
    assert sum(attempts * calls for attempts, calls in again.attempts_histogram.items()) == again.attempts


def test_backoffs_and_attempts_add_up_to_the_latency() -> None:
    result = simulate(retrying(3), always(UNAVAILABLE), calls=5)
    assert result.latency(1.0) == pytest.approx(3 * 0.01 + 0.1 + 0.2)
    assert result.codes == {"UNAVAILABLE": 5}


def test_pushback_is_obeyed() -> None:
    waited = simulate(retrying(2), always(UNAVAILABLE, pushback=7.0), calls=3)
    assert waited.latency(1.0) == pytest.approx(2 * 0.01 + 7.0)
    never = simulate(retrying(2), always(UNAVAILABLE, pushback=-1.0), calls=3)
    assert never.stop_reasons == {"PUSHBACK": 3}
    assert never.amplification == 1.0


def test_an_endpoint_that_refuses_connections_is_gone_round() -> None:
    plan = FaultPlan(endpoints=2, outages=(Outage(start=0, duration=3600, endpoints=frozenset({0})),))
    result = simulate(retrying(3), plan, calls=100)
    assert result.success_rate == 1.0


def test_a_connection_breaks_when_its_outage_begins() -> None:
    plan = FaultPlan(latency=Fixed(10.0), outages=(Outage(start=4.0, duration=1.0),))
    result = simulate(plan=plan, calls=1)
    assert result.codes == {"UNAVAILABLE": 1}
    assert result.latency(1.0) == pytest.approx(4.0)


def test_a_silent_endpoint_answers_when_its_outage_is_over_unless_time_runs_out() -> None:
    plan = FaultPlan(outages=(Outage(start=0.0, duration=60.0, kind=OutageKind.SILENT),))
    patient = simulate(plan=plan, calls=1)
    assert patient.success_rate == 1.0
    assert patient.latency(1.0) == pytest.approx(60.0)
    hasty = simulate(retrying(5, timeout=2.0, per_try=0.5), plan, calls=1)
    assert hasty.codes == {"DEADLINE_EXCEEDED": 1}
    assert hasty.latency(1.0) <= 2.0
    assert hasty.attempts >= 3


def test_closed_loop_clients_wait_for_their_answers() -> None:
    result = simulate(plan=FaultPlan(latency=Fixed(1.0)), load=Load(clients=2, think=0.5), calls=10)
    # Five rounds of an answer and a thought.
    assert result.duration == pytest.approx(5 * 1.5)


def test_the_policy_of_the_descriptor_counts() -> None:
    from google.protobuf.duration_pb2 import Duration

    from kitapi.v1 import policy_pb2

    retry = policy_pb2.RetryPolicy(max_attempts=3, initial_backoff=Duration(nanos=1_000_000))
    path = declare(
        Rpc(name="Get", level=NO_SIDE_EFFECTS, policy=policy_pb2.MethodPolicy(retry=retry)),
        Rpc(name="Watch", server_streaming=True),
    )
    result = simulate(plan=always(UNAVAILABLE), calls=2, method=f"{path}/Get".removeprefix("/"))
    assert result.attempts_histogram == {3: 2}
    with pytest.raises(ConfigurationError, match="streams"):
        simulate(method=f"{path}/Watch")


def test_a_breaker_is_simulated_as_it_runs() -> None:
    policy = kit.MethodPolicy(breaker=BreakerPolicy(failure_threshold=3, open_for=3600.0))
    result = simulate(policy, always(UNAVAILABLE), load=Load(clients=1), calls=20)
    assert result.attempts_histogram == {0: 17, 1: 3}
    assert result.stop_reasons == {"BREAKER_OPEN": 17, "OFF": 3}


def test_hedging_cuts_the_tail_and_its_losers_are_cancelled() -> None:
    slow = FaultPlan(endpoints=3, phases=(Phase(latency=Fixed(5.0), endpoints=frozenset({0})),))
    hedging = HedgingPolicy(max_attempts=2, hedging_delay=0.1)
    policy = kit.MethodPolicy(hedging=hedging, idempotency_level=IdempotencyLevel.IDEMPOTENT)
    result = simulate(policy, slow, load=Load(rate=1.0), calls=60, seed=2)
    assert result.latency(1.0) == pytest.approx(0.11)
    assert any(" CANCELLED " in line for line in result.history)


def run(seed: int) -> SimulationResult:
    plan = FaultPlan(endpoints=3, latency=Uniform(0.0, 0.1), phases=(Phase(errors={UNAVAILABLE: 0.3, INTERNAL: 0.1}),))
    return simulate(retrying(), plan, calls=100, seed=seed)


def test_the_same_seed_gives_the_same_history_and_another_seed_another_one() -> None:
    assert run(1) == run(1)
    assert run(1).history == run(1).history
    assert run(1).digest != run(2).digest


def test_two_policies_meet_the_same_load() -> None:
    def starts(result: SimulationResult) -> set[str]:
        ends = [line.split() for line in result.history if " call " in line]
        return {f"{int(line[2])} {int(line[0]) - int(line[-1])}" for line in ends}

    one, other = (simulate(policy, HALF, calls=50, seed=4) for policy in (None, retrying()))
    assert {int(start.split()[1]) // 10 for start in starts(one)} == {int(s.split()[1]) // 10 for s in starts(other)}


@pytest.mark.parametrize(
    "make",
    [
        Load,
        lambda: Load(rate=1.0, clients=1),
        lambda: Load(rate=0.0),
        lambda: Load(clients=0),
        lambda: Load(clients=1, think=-1.0),
        lambda: simulate(calls=0),
        lambda: simulate(plan="no such file"),
    ],
)
def test_impossible_loads_and_plans_are_refused(make: object) -> None:
    assert callable(make)
    with pytest.raises(ConfigurationError):
        make()


def test_a_policy_that_is_refused_elsewhere_is_refused_here() -> None:
    with pytest.raises(PolicyError, match="max_attempts"):
        simulate({"/simulated.Service/Call": kit.MethodPolicy(retry=kit.RetryPolicy(max_attempts=3))})


def test_a_quantile_is_a_share() -> None:
    with pytest.raises(ValueError, match="0 to 1"):
        simulate(calls=1).latency(50)


async def test_inside_a_running_loop_it_goes_through_a_thread() -> None:
    assert (await asyncio.to_thread(simulate, calls=3)).success_rate == 1.0


def test_an_hour_of_faults_takes_no_hour() -> None:
    started = time.monotonic()
    result = simulate(retrying(), HALF, load=Load(rate=0.1), calls=360)
    assert result.duration > 3000
    assert time.monotonic() - started < 10
