"""A service's tests: a server in the process, scripted faults, and backoffs that take no time.

pytest -p kit.testing.plugin examples/test_with_the_kit.py

The plugin need not be named where the kit is installed.
"""

import asyncio

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

import kit
from kit.testing import Fault, Faults, InProcess, LoopClock, VirtualClock, run_virtually
from kit.testing.plugin import StartInProcess

CHECK = "/grpc.health.v1.Health/Check"
PATIENT = kit.MethodPolicy(
    timeout=3600.0,
    retry=kit.RetryPolicy(max_attempts=4, initial_backoff=60.0, max_backoff=600.0),
    idempotency_level=kit.IdempotencyLevel.NO_SIDE_EFFECTS,
)
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # grpc_health ships no types
    async def Check(self, request, context):  # type: ignore[no-untyped-def]  # noqa: N802
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)


async def started(in_process: StartInProcess, clock: VirtualClock) -> InProcess:
    add = health_pb2_grpc.add_HealthServicer_to_server
    return await in_process(Health(), add, policy={CHECK: PATIENT}, clock=clock)


@pytest.mark.asyncio(loop_scope="session")
async def test_two_failures_are_survived(in_process: StartInProcess, faults: Faults) -> None:
    clock = VirtualClock(autojump=True)
    process = await started(in_process, clock)
    faults.script(CHECK, [Fault(code=UNAVAILABLE), Fault(code=UNAVAILABLE)])
    call = health_pb2_grpc.HealthStub(process.channel).Check(health_pb2.HealthCheckRequest())
    assert (await call).status == health_pb2.HealthCheckResponse.SERVING
    assert [attempt.code for attempt in kit.report(call).attempts] == [UNAVAILABLE, UNAVAILABLE, grpc.StatusCode.OK]
    # Minutes of backoff, and none of them waited for.
    assert sum(clock.sleeps) > 60


@pytest.mark.asyncio(loop_scope="session")
async def test_a_server_that_wants_no_retry_gets_none(in_process: StartInProcess, faults: Faults) -> None:
    process = await started(in_process, VirtualClock(autojump=True))
    faults.script(CHECK, [Fault(code=UNAVAILABLE, pushback=-1)])
    with pytest.raises(kit.errors.CallFailed) as failure:
        await health_pb2_grpc.HealthStub(process.channel).Check(health_pb2.HealthCheckRequest())
    assert kit.report(failure.value).stop_reason == "PUSHBACK"
    assert faults.count(CHECK) == 1


@pytest.mark.asyncio(loop_scope="session")
async def test_without_fixtures() -> None:
    add, clock = health_pb2_grpc.add_HealthServicer_to_server, VirtualClock(autojump=True)
    async with InProcess(Health(), add, policy={CHECK: PATIENT}, clock=clock) as process:
        stub = health_pb2_grpc.HealthStub(process.channel)
        process.faults.script(CHECK, [Fault(code=UNAVAILABLE), Fault(code=UNAVAILABLE, pushback=300)])
        await stub.Check(health_pb2.HealthCheckRequest())
        assert process.faults.count(CHECK) == 3
        assert clock.sleeps[-1] == 0.3


def test_an_hour_takes_no_time() -> None:
    async def main(clock: LoopClock) -> float:
        async with asyncio.timeout(3600):
            await clock.sleep(3599)
        return clock.now()

    assert run_virtually(main) == 3599
