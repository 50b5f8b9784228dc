"""Streams that wait for something to happen do not hold up a stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc.aio
import pytest

import kit
from loganalyzer.search.v1 import search_pb2, search_pb2_grpc


class Watching(search_pb2_grpc.SearchServiceServicer):
    def __init__(self) -> None:
        self.ended = asyncio.Event()

    async def TailLogs(
        self, request: search_pb2.TailLogsRequest, context: Any
    ) -> AsyncIterator[search_pb2.TailLogsResponse]:
        yield search_pb2.TailLogsResponse()
        try:
            await kit.unless_draining(asyncio.Event().wait())
        finally:
            self.ended.set()


async def test_an_idle_stream_ends_when_the_server_drains_and_not_after_the_grace_time() -> None:
    servicer = Watching()  # type: ignore[abstract]  # one method is enough
    server = kit.Server("search", register=False, grace=3600).add(
        servicer, search_pb2_grpc.add_SearchServiceServicer_to_server
    )
    await server.start()
    async with grpc.aio.insecure_channel(server.address) as channel:
        stream = search_pb2_grpc.SearchServiceStub(channel).TailLogs(search_pb2.TailLogsRequest(parent="workspaces/w"))
        await stream.read()
        async with asyncio.timeout(10):
            await server.stop()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stream.read()
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert servicer.ended.is_set()


async def test_outside_of_a_server_it_only_awaits() -> None:
    async def work() -> int:
        return 7

    assert await kit.unless_draining(work()) == 7


async def test_an_iterator_that_was_awaited_can_be_closed_when_the_server_drains() -> None:
    closed = asyncio.Event()

    class Following(search_pb2_grpc.SearchServiceServicer):
        async def TailLogs(
            self, request: search_pb2.TailLogsRequest, context: Any
        ) -> AsyncIterator[search_pb2.TailLogsResponse]:
            async def lines() -> AsyncGenerator[search_pb2.TailLogsResponse, None]:
                try:
                    yield search_pb2.TailLogsResponse()
                    await asyncio.Event().wait()
                finally:
                    await asyncio.sleep(0)
                    closed.set()

            async with aclosing(lines()) as following:
                while True:
                    yield await kit.unless_draining(anext(following))

    servicer = Following()  # type: ignore[abstract]  # one method is enough
    server = kit.Server("search", register=False, grace=3600).add(
        servicer, search_pb2_grpc.add_SearchServiceServicer_to_server
    )
    await server.start()
    async with grpc.aio.insecure_channel(server.address) as channel:
        stream = search_pb2_grpc.SearchServiceStub(channel).TailLogs(search_pb2.TailLogsRequest(parent="workspaces/w"))
        await stream.read()
        async with asyncio.timeout(10):
            await server.stop()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stream.read()
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert closed.is_set()
