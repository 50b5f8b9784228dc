"""The ways to have traces and metrics that are compared: what a client does, what a server does, and what both set up.

Each side of each variant is a process of its own, because telemetry belongs to a process.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc
import grpc.aio

import kit
from bench import rivals
from bench.echo import MESSAGE, Stub, add_echo
from bench.variants import BARE, POLICY, Once

__all__ = ["NEEDS_OTHERS", "VARIANTS", "Variant"]

#: Given "host:port" of a collector, or of a server: a server that runs and its address; something to await per call.
Serving: TypeAlias = Callable[[str], AbstractAsyncContextManager[str]]
Calling: TypeAlias = Callable[[str, str], AbstractAsyncContextManager[Once]]


@dataclass(frozen=True, slots=True)
class Variant:
    """`serve` takes the collector's address; `call` the server's, then the collector's."""

    serve: Serving
    call: Calling


@asynccontextmanager
async def _bare_serve(_collector: str) -> AsyncIterator[str]:
    server = grpc.aio.server()
    add_echo(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(0)


@asynccontextmanager
async def _bare_call(address: str, _collector: str) -> AsyncIterator[Once]:
    async with grpc.aio.insecure_channel(address) as channel:
        unary = Stub(channel).Unary
        yield lambda: unary(MESSAGE)


def _kit(ratio: float | None, *, traces: bool = True) -> Variant:
    """With everything that `setup` turns on; with nothing where `ratio` is None."""

    def set_up(name: str, collector: str) -> Callable[[], None]:
        if ratio is None:
            return lambda: None
        endpoint = f"http://{collector}" if traces else None
        telemetry = kit.observe.setup(name, otlp_endpoint=endpoint, sample_ratio=ratio, metrics=True)
        assert telemetry is not None
        return telemetry.shutdown

    @asynccontextmanager
    async def serve(collector: str) -> AsyncIterator[str]:
        shut_down = set_up("server", collector)
        server = kit.Server("bench", listen="127.0.0.1:0", register=False, grace=0.0)
        server.add(None, lambda _servicer, recorder: add_echo(recorder))
        async with server:
            yield server.address
        shut_down()

    @asynccontextmanager
    async def call(address: str, collector: str) -> AsyncIterator[Once]:
        shut_down = set_up("client", collector)
        async with kit.channel(address, policy=POLICY) as channel:
            unary = Stub(channel).Unary
            yield lambda: unary(MESSAGE)
        shut_down()

    return Variant(serve, call)


VARIANTS: Mapping[str, Variant] = {
    BARE: Variant(_bare_serve, _bare_call),
    "kit alone": _kit(None),
    "kit, 100 % traced, metrics": _kit(1.0),
    "kit, 1 % traced, metrics": _kit(0.01),
    "kit, metrics alone": _kit(0.0, traces=False),
}
#: Those that need packages of others.
NEEDS_OTHERS: frozenset[str] = frozenset()
