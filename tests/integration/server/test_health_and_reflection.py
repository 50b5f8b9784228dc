"""Health and reflection, asked by stock clients through all interceptors."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.integration.server.conftest import Serve
from tests.integration.server.echo import SERVICE

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


def ask(name: str) -> Any:
    return health_pb2.HealthCheckRequest(service=name)


@pytest.mark.parametrize("name", ["", SERVICE, "liveness", "readiness", "startup"])
async def test_check_says_serving_for_every_name(serve: Serve, name: str) -> None:
    served = await serve()
    assert (await health_pb2_grpc.HealthStub(served.channel).Check(ask(name))).status == SERVING


async def test_check_of_an_unknown_name_is_not_found(serve: Serve) -> None:
    served = await serve()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await health_pb2_grpc.HealthStub(served.channel).Check(ask("nobody"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_list_has_every_name(serve: Serve) -> None:
    served = await serve()
    answer = await health_pb2_grpc.HealthStub(served.channel).List(health_pb2.HealthListRequest())
    assert set(answer.statuses) == {"", SERVICE, "liveness", "readiness", "startup"}


async def test_watch_tells_every_change_and_knows_names_that_come_later(serve: Serve) -> None:
    served = await serve()
    stub = health_pb2_grpc.HealthStub(served.channel)
    known, unknown = stub.Watch(ask(SERVICE)), stub.Watch(ask("later"))
    async with asyncio.timeout(10):
        assert (await known.read()).status == SERVING
        served.server.health.set(SERVICE, False)
        assert (await known.read()).status == NOT_SERVING
        served.server.health.set(SERVICE, True)
        assert (await known.read()).status == SERVING
        assert (await unknown.read()).status == SERVICE_UNKNOWN
        served.server.health.set("later", True)
        assert (await unknown.read()).status == SERVING
    known.cancel()
    unknown.cancel()


async def test_reflection_lists_the_services(serve: Serve) -> None:
    served = await serve(admin=False)
    stub = reflection_pb2_grpc.ServerReflectionStub(served.channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    async with asyncio.timeout(10):
        answers = [answer async for answer in stub.ServerReflectionInfo(iter([request]))]
    names = {service.name for service in answers[0].list_services_response.service}
    assert names == {SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
