"""CPU of a message of a stream, client and server together, as a ratio to bare grpc.aio. `kit_calls` measures it."""

from __future__ import annotations

import argparse
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
from google.protobuf.wrappers_pb2 import StringValue

import kit
from bench.echo import MESSAGE, Stub
from bench.variants import BARE, POLICY, Once, Opened

__all__ = ["MESSAGES", "TABLES", "main"]


def _bare(address: str) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(address)


class _NoOpDown(grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await continuation(client_call_details, request)


class _NoOpUp(grpc.aio.StreamUnaryClientInterceptor):
    async def intercept_stream_unary(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return await continuation(client_call_details, request_iterator)


class _NoOpBoth(grpc.aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return await continuation(client_call_details, request_iterator)


def _no_op(address: str) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(address, interceptors=[_NoOpDown(), _NoOpUp(), _NoOpBoth()])


def _kit_channel(address: str) -> grpc.aio.Channel:
    return kit.channel(address, policy=POLICY)


def _kit_interceptors(address: str) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(address, interceptors=kit.client_interceptors(policy=POLICY))


async def _down(stub: Stub, messages: int) -> None:
    async for _ in stub.Down(StringValue(value=str(messages))):
        pass


async def _up(stub: Stub, messages: int) -> None:
    async def requests() -> AsyncIterator[StringValue]:
        for _ in range(messages):
            yield MESSAGE

    await stub.Up(requests())


async def _both(stub: Stub, messages: int) -> None:
    call = stub.Both()
    for _ in range(messages):
        await call.write(MESSAGE)
        await call.read()
    await call.done_writing()
    await call.code()


def _table(make: Callable[[Stub, int], Awaitable[None]], messages: int) -> Mapping[str, Opened]:
    def opening(connect: Callable[[str], grpc.aio.Channel]) -> Opened:
        @asynccontextmanager
        async def opened(address: str) -> AsyncIterator[Once]:
            async with connect(address) as channel:
                once: Any = functools.partial(make, Stub(channel), messages)
                yield once

        return opened

    return {
        BARE: opening(_bare),
        "no-op interceptor": opening(_no_op),
        "kit.channel": opening(_kit_channel),
        "kit.client_interceptors": opening(_kit_interceptors),
    }


_SHAPES = {"answers, 100 a stream": (_down, 100), "answers, 1,000 a stream": (_down, 1000)}
_SHAPES |= {"requests, 100 a stream": (_up, 100), "requests, 1,000 a stream": (_up, 1000)}
_SHAPES |= {"ping-pong, 100 a stream": (_both, 100), "ping-pong, 1,000 a stream": (_both, 1000)}
#: By what is sent, the variants.
TABLES: Mapping[str, Mapping[str, Opened]] = {name: _table(*shape) for name, shape in _SHAPES.items()}
#: By what is sent, how many messages a stream has.
MESSAGES: Mapping[str, int] = {name: messages for name, (_, messages) in _SHAPES.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    from bench import kit_calls

    parser = argparse.ArgumentParser(prog="python -m bench streams", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="rounds of each shape (default 9)")
    parser.add_argument("--messages", type=int, default=20_000, help="messages a round by each variant (default 20000)")
    args = parser.parse_args(arguments)
    for name, table in TABLES.items():
        calls = max(5, args.messages // MESSAGES[name])
        costs = kit_calls.measure(
            list(table),
            table=name,
            rounds=args.rounds,
            calls=calls,
            slices=min(5, calls),
            in_flight=4,
        )
        kit_calls.report(costs, what=name, each=MESSAGES[name])
