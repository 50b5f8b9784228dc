"""CacheService over real gRPC, with a stock client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf import duration_pb2

from kit.errors import ConfigurationError, details_of
from loganalyzer.cache.v1 import cache_pb2 as pb
from loganalyzer.cache.v1 import cache_pb2_grpc
from services.cache.app import build
from services.cache.config import Config


class StillClock:
    """Time that the test moves."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time

    def wall(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody sleeps here")


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
async def stub(clock: StillClock) -> AsyncIterator[Any]:
    server = build(Config(byte_limit=3 << 20), clock=clock, listen="127.0.0.1:0", register=False)
    async with server, grpc.aio.insecure_channel(server.address) as channel:
        yield cache_pb2_grpc.CacheServiceStub(channel)


async def test_a_value_is_kept_for_an_hour_unless_told_otherwise(stub: Any, clock: StillClock) -> None:
    await stub.Set(pb.SetRequest(key="k", value=b"v"))
    await stub.Set(pb.SetRequest(key="short", value=b"s", ttl=duration_pb2.Duration(seconds=2)))
    found = await stub.Get(pb.GetRequest(key="k"))
    assert (found.found, found.value, found.ttl.seconds) == (True, b"v", 3600)
    clock.time = 2.0
    assert not (await stub.Get(pb.GetRequest(key="short"))).found
    clock.time = 3600.0
    assert await stub.Get(pb.GetRequest(key="k")) == pb.GetResponse(found=False)


async def test_a_prefix_is_invalidated_and_the_counts_tell_what_happened(stub: Any) -> None:
    for key in ("a/1", "a/2", "b/1"):
        await stub.Set(pb.SetRequest(key=key, value=b"v"))
    assert (await stub.Invalidate(pb.InvalidateRequest(prefix="a/", reason="test"))).entry_count == 2
    await stub.Get(pb.GetRequest(key="a/1"))
    await stub.Get(pb.GetRequest(key="b/1"))
    stats = await stub.GetCacheStats(pb.GetCacheStatsRequest())
    assert (stats.entry_count, stats.hits, stats.misses, stats.evictions) == (1, 1, 1, 0)
    assert stats.byte_limit == 3 << 20


async def test_the_largest_value_fits_and_one_byte_more_does_not(stub: Any) -> None:
    await stub.Set(pb.SetRequest(key="k" * 1024, value=b"x" * (1 << 20)))
    assert (await stub.Get(pb.GetRequest(key="k" * 1024))).found
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Set(pb.SetRequest(key="k", value=b"x" * ((1 << 20) + 1)))
    details = details_of(caught.value)
    assert (details.code, details.violations[0].field) == (grpc.StatusCode.INVALID_ARGUMENT, "value")


@pytest.mark.parametrize(
    ("method", "request_", "field"),
    [
        ("Get", pb.GetRequest(), "key"),
        ("Get", pb.GetRequest(key="é" * 513), "key"),
        ("Set", pb.SetRequest(key="k" * 1025), "key"),
        ("Set", pb.SetRequest(key="k", ttl=duration_pb2.Duration()), "ttl"),
        ("Set", pb.SetRequest(key="k", ttl=duration_pb2.Duration(seconds=-1)), "ttl"),
        ("Invalidate", pb.InvalidateRequest(), "prefix"),
    ],
)
async def test_a_wrong_field_is_named(stub: Any, method: str, request_: Any, field: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await getattr(stub, method)(request_)
    details = details_of(caught.value)
    assert (details.code, details.violations[0].field) == (grpc.StatusCode.INVALID_ARGUMENT, field)


def test_the_size_comes_from_the_environment() -> None:
    assert Config.from_env({}).byte_limit == 64 << 20
    assert Config.from_env({"KIT_CACHE_BYTES": "0"}).byte_limit == 0
    for text in ("64M", "-1", "", "\u00b2"):
        with pytest.raises(ConfigurationError, match="KIT_CACHE_BYTES"):
            Config.from_env({"KIT_CACHE_BYTES": text})
