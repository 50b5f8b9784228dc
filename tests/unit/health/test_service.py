"""What each name says, by what is so and by what the program says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2

from kit.health import LIVENESS, OVERALL, READINESS, STARTUP, HealthService
from tests.unit.server.fakes import FakeContext

SERVICE = "shop.v1.Shop"
NAMES = [OVERALL, SERVICE, LIVENESS, READINESS, STARTUP]
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


def made(*, starting: bool = False) -> HealthService:
    service = HealthService(starting=starting)
    service.register(NAMES)
    return service


def serving(service: HealthService) -> set[str]:
    return {name for name in NAMES if service.serving(name)}


def watch(service: HealthService, name: str) -> AsyncGenerator[Any, None]:
    stream: Any = service.Watch(health_pb2.HealthCheckRequest(service=name), FakeContext())  # type: ignore[arg-type]
    generator: AsyncGenerator[Any, None] = stream
    return generator


def test_during_the_start_only_liveness_is_serving_and_then_everything() -> None:
    service = made(starting=True)
    assert serving(service) == {LIVENESS}
    assert list(service.in_the_way) == ["start"]
    service.ready()
    assert serving(service) == set(NAMES)
    assert list(service.in_the_way) == []


def test_what_is_in_the_way_holds_back_readiness_and_services_but_not_startup() -> None:
    service = made()
    service.hold("database")
    service.hold("warm-up")
    service.release("database")
    assert serving(service) == {LIVENESS, STARTUP}
    assert list(service.in_the_way) == ["warm-up"]
    service.release("warm-up")
    service.release("warm-up")
    assert serving(service) == set(NAMES)


def test_what_the_program_says_of_a_service_holds_for_it_alone() -> None:
    service = made()
    service.set(SERVICE, False)
    assert serving(service) == {OVERALL, LIVENESS, READINESS, STARTUP}
    service.set(SERVICE, True)
    assert serving(service) == set(NAMES)


def test_what_the_program_says_of_readiness_holds_for_the_services_too() -> None:
    service = made()
    service.set(READINESS, False)
    assert serving(service) == {LIVENESS, STARTUP}
    service.set(READINESS, True)
    assert serving(service) == set(NAMES)


def test_a_yes_of_the_program_does_not_outdo_what_is_in_the_way() -> None:
    service = made(starting=True)
    service.set(SERVICE, True)
    service.set(READINESS, True)
    assert serving(service) == {LIVENESS}


def test_the_drain_leaves_liveness_and_is_final() -> None:
    service = made()
    service.drain()
    service.set(SERVICE, True)
    service.ready()
    assert serving(service) == {LIVENESS}
    assert list(service.in_the_way) == ["drain"]


def test_liveness_depends_on_nothing_but_what_the_program_says_of_it() -> None:
    service = made(starting=True)
    service.hold("database")
    service.drain()
    assert service.serving(LIVENESS)
    service.set(LIVENESS, False)
    assert not service.serving(LIVENESS)


def test_a_name_that_the_program_says_something_of_is_known_from_then_on() -> None:
    service = HealthService()
    service.set("later", True)
    assert service.names() == ["later"]
    assert service.serving("later")
    assert not service.serving("never")


async def test_a_check_of_an_unknown_name_aborts_with_not_found_on_any_server() -> None:
    context: Any = FakeContext()
    with pytest.raises(grpc.aio.AbortError):
        await made().Check(health_pb2.HealthCheckRequest(service="x" * 1000), context)
    assert context.aborted[0] is grpc.StatusCode.NOT_FOUND
    assert len(context.aborted[1]) < 200


async def test_a_hundred_names_are_listed_and_one_more_is_refused() -> None:
    service = HealthService()
    context: Any = FakeContext()
    service.register(f"s{number}" for number in range(100))
    assert len((await service.List(health_pb2.HealthListRequest(), context)).statuses) == 100
    service.register(["one more"])
    with pytest.raises(grpc.aio.AbortError):
        await service.List(health_pb2.HealthListRequest(), context)
    assert context.aborted[0] is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_watch_tells_a_slow_reader_what_is_and_not_what_was_in_between() -> None:
    service = made()
    async with asyncio.timeout(10), aclosing(watch(service, SERVICE)) as stream:
        assert (await anext(stream)).status == SERVING
        for said in (False, True, False, True, False):
            service.set(SERVICE, said)
        assert (await anext(stream)).status == NOT_SERVING
        waiting = asyncio.ensure_future(anext(stream))
        service.set(SERVICE, True)
        service.set(SERVICE, False)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not waiting.done(), "there and back again is nothing to tell"
        service.set(SERVICE, True)
        assert (await waiting).status == SERVING


async def test_a_watch_of_an_unknown_name_says_so_and_goes_on_when_it_is_known() -> None:
    service = made()
    async with asyncio.timeout(10), aclosing(watch(service, "later")) as stream:
        assert (await anext(stream)).status == UNKNOWN
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        service.register(["later"])
        assert (await waiting).status == SERVING


async def test_streams_that_ended_leave_nothing_behind() -> None:
    service = made()
    for number in range(50):
        async with aclosing(watch(service, f"name {number % 7}")) as stream:
            await anext(stream)
    assert service._watchers == {}


async def test_close_ends_every_stream_after_its_last_status() -> None:
    service = made()
    streams = [watch(service, name) for name in (SERVICE, READINESS, "unknown")]
    for stream in streams:
        await anext(stream)
    service.drain()
    service.close()
    async with asyncio.timeout(10):
        rest = [[answer.status async for answer in stream] for stream in streams]
    assert rest == [[NOT_SERVING], [NOT_SERVING], []]
