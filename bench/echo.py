"""What the kit's figures are measured on: a stock grpc.aio server in a process of its own, and stubs for it.

Nothing of the kit is on the server's side, so that a figure is the client's cost and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from google.protobuf.wrappers_pb2 import StringValue

__all__ = ["MESSAGE", "SERVICE", "Server", "Stub", "add_echo", "cpu_of", "path", "pin", "serving"]

SERVICE = "bench.v1.Echo"
#: Small: what is measured is the call, not the message.
MESSAGE = StringValue(value="hello")
ROOT = Path(__file__).resolve().parent.parent

#: Kept: a task that waits for what nobody else knows is collected as garbage.
_never = asyncio.Event()
_CODERS: dict[str, Any] = {
    "request_serializer": StringValue.SerializeToString,
    "response_deserializer": StringValue.FromString,
}


def path(name: str) -> str:
    """The full path of a method."""
    return f"/{SERVICE}/{name}"


class Stub:
    """What protoc would have generated."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        def made(kind: Any, name: str) -> Any:
            return kind(path(name), **_CODERS, _registered_method=True)

        self.Unary: Any = made(channel.unary_unary, "Unary")
        #: Answers UNAVAILABLE.
        self.Fail: Any = made(channel.unary_unary, "Fail")
        #: Does not answer.
        self.Hang: Any = made(channel.unary_unary, "Hang")
        #: As many messages as the request says, or without end where it says nothing.
        self.Down: Any = made(channel.unary_stream, "Down")
        self.Up: Any = made(channel.stream_unary, "Up")
        self.Both: Any = made(channel.stream_stream, "Both")


async def _unary(request: StringValue, _context: object) -> StringValue:
    return request


async def _fail(_request: StringValue, context: Any) -> StringValue:
    await context.abort(grpc.StatusCode.UNAVAILABLE, "down")
    raise AssertionError


async def _hang(_request: StringValue, _context: object) -> StringValue:
    await _never.wait()
    raise AssertionError


async def _down(request: StringValue, _context: object) -> AsyncIterator[StringValue]:
    for _ in range(int(request.value or 1)):
        yield MESSAGE
    if not request.value:
        await _never.wait()


async def _up(requests: AsyncIterator[StringValue], _context: object) -> StringValue:
    async for _ in requests:
        pass
    return MESSAGE


async def _both(requests: AsyncIterator[StringValue], _context: object) -> AsyncIterator[StringValue]:
    async for request in requests:
        yield request


def add_echo(server: Any) -> None:
    """What protoc would have generated for the server's side."""
    coders: dict[str, Any] = {
        "request_deserializer": StringValue.FromString,
        "response_serializer": StringValue.SerializeToString,
    }
    handlers: dict[str, Any] = {
        "Unary": grpc.unary_unary_rpc_method_handler(_unary, **coders),
        "Fail": grpc.unary_unary_rpc_method_handler(_fail, **coders),
        "Hang": grpc.unary_unary_rpc_method_handler(_hang, **coders),
        "Down": grpc.unary_stream_rpc_method_handler(_down, **coders),
        "Up": grpc.stream_unary_rpc_method_handler(_up, **coders),
        "Both": grpc.stream_stream_rpc_method_handler(_both, **coders),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_registered_method_handlers(SERVICE, handlers)


async def _serve() -> None:
    server = grpc.aio.server()
    add_echo(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    # Whoever started it closes the pipe, or is gone.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.stop(0)


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs."""

    address: str
    pid: int


@contextlib.contextmanager
def serving(core: int | None = None, python: str = sys.executable) -> Iterator[Server]:
    """A server process, on one core where one is named; it ends with the block."""
    command = [python, "-m", "bench.echo", *([] if core is None else [str(core)])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield Server(f"127.0.0.1:{int(process.stdout.readline())}", process.pid)
        finally:
            process.stdin.close()
            process.wait()


def cpu_of(pid: int) -> float:
    """CPU seconds, user and system, of all threads of another process. Linux's clock of that process: nanoseconds."""
    return time.clock_gettime((~pid << 3) | 2)


def pin(core: int | None) -> None:
    """Keeps this process, and what it starts from now on, on one core."""
    if core is not None:
        os.sched_setaffinity(0, {core})


if __name__ == "__main__":
    pin(int(sys.argv[1]) if sys.argv[1:] else None)
    asyncio.run(_serve())
