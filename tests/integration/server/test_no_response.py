"""A handler that forgets its response has failed like any other."""

from __future__ import annotations

from typing import Any

import grpc
import grpc.aio
import pytest

import kit
from loganalyzer.cache.v1 import cache_pb2, cache_pb2_grpc


class Forgetful(cache_pb2_grpc.CacheServiceServicer):
    async def Get(self, request: cache_pb2.GetRequest, context: Any) -> cache_pb2.GetResponse:
        return None  # type: ignore[return-value]  # the mistake that is tested


async def test_none_instead_of_a_response_is_internal_with_an_id_and_no_words_of_python() -> None:
    servicer = Forgetful()  # type: ignore[abstract]  # one method is enough
    server = kit.Server("cache", register=False).add(servicer, cache_pb2_grpc.add_CacheServiceServicer_to_server)
    async with server, grpc.aio.insecure_channel(server.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await cache_pb2_grpc.CacheServiceStub(channel).Get(cache_pb2.GetRequest(key="k"))
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert str(caught.value.details()).startswith("internal error, id ")


class Confused(cache_pb2_grpc.CacheServiceServicer):
    async def Get(self, request: cache_pb2.GetRequest, context: Any) -> cache_pb2.GetResponse:
        return 7  # type: ignore[return-value]  # the mistake that is tested


async def test_a_response_that_is_no_message_is_internal_with_an_id_and_no_words_of_protobuf() -> None:
    servicer = Confused()  # type: ignore[abstract]  # one method is enough
    server = kit.Server("cache", register=False).add(servicer, cache_pb2_grpc.add_CacheServiceServicer_to_server)
    async with server, grpc.aio.insecure_channel(server.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await cache_pb2_grpc.CacheServiceStub(channel).Get(cache_pb2.GetRequest(key="k"))
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert str(caught.value.details()).startswith("internal error, id ")
    assert "SerializeToString" not in str(caught.value)
