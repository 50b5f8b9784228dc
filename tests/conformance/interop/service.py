"""What the interop cases are played against: the generated code, made for the session, and the servicer."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from click.testing import CliRunner

from kit.cli.gen import gen

PROTOS = Path(__file__).parent.parent / "protos"
INITIAL_KEY = "x-grpc-test-echo-initial"
TRAILING_KEY = "x-grpc-test-echo-trailing-bin"

_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


@dataclass(frozen=True, slots=True)
class Generated:
    """The modules that `kit gen` made of the proto: messages, and stubs with base servicers."""

    pb: Any
    rpc: Any


def generate(out: Path) -> Generated:
    """Runs `kit gen` into `out` and imports what it wrote."""
    made = CliRunner().invoke(gen, [str(PROTOS), "--out", str(out)])
    assert made.exit_code == 0, made.output
    sys.path.insert(0, str(out))
    try:
        return Generated(
            importlib.import_module("kitinterop.v1.interop_pb2"),
            importlib.import_module("kitinterop.v1.interop_pb2_grpc"),
        )
    finally:
        sys.path.remove(str(out))


async def echo_metadata(context: Any) -> None:
    """Sends back what the cases want to see again."""
    sent = {key: value for key, value in context.invocation_metadata() or () if key in (INITIAL_KEY, TRAILING_KEY)}
    if INITIAL_KEY in sent:
        await context.send_initial_metadata(((INITIAL_KEY, sent[INITIAL_KEY]),))
    if TRAILING_KEY in sent:
        context.set_trailing_metadata(((TRAILING_KEY, sent[TRAILING_KEY]),))


def servicer(generated: Generated) -> Any:
    """A servicer of the interop's TestService. Its `ended` is set when a full-duplex handler has ended."""
    pb = generated.pb

    def payload(size: int) -> Any:
        return pb.Payload(body=bytes(size))

    class Servicer(generated.rpc.TestServiceServicer):  # type: ignore[name-defined,misc]  # the base is made at run time
        def __init__(self) -> None:
            self.ended = asyncio.Event()

        async def EmptyCall(self, request: Any, context: Any) -> Any:
            return pb.EmptyCallResponse()

        async def UnaryCall(self, request: Any, context: Any) -> Any:
            await echo_metadata(context)
            if request.HasField("response_status"):
                context.set_code(_CODES[request.response_status.code])
                context.set_details(request.response_status.message)
            return pb.UnaryCallResponse(payload=payload(request.response_size))

        async def StreamingInputCall(self, requests: AsyncIterator[Any], context: Any) -> Any:
            size = 0
            async for request in requests:
                size += len(request.payload.body)
            return pb.StreamingInputCallResponse(aggregated_payload_size=size)

        async def StreamingOutputCall(self, request: Any, context: Any) -> AsyncIterator[Any]:
            for size in request.response_sizes:
                yield pb.StreamingOutputCallResponse(payload=payload(size))

        async def FullDuplexCall(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
            await echo_metadata(context)
            try:
                async for request in requests:
                    if request.HasField("response_status"):
                        await context.abort(_CODES[request.response_status.code], request.response_status.message)
                    for size in request.response_sizes:
                        yield pb.FullDuplexCallResponse(payload=payload(size))
            finally:
                self.ended.set()

    return Servicer()


def writing_servicer(generated: Generated) -> Any:
    """The same, with handlers that read from the context and write to it."""
    pb = generated.pb

    class Writing(type(servicer(generated))):  # type: ignore[misc]  # the base is made at run time
        async def StreamingInputCall(self, requests: AsyncIterator[Any], context: Any) -> Any:
            size = 0
            while (request := await context.read()) is not grpc.aio.EOF:
                size += len(request.payload.body)
            return pb.StreamingInputCallResponse(aggregated_payload_size=size)

        async def StreamingOutputCall(self, request: Any, context: Any) -> None:
            for size in request.response_sizes:
                await context.write(pb.StreamingOutputCallResponse(payload=pb.Payload(body=bytes(size))))

        async def FullDuplexCall(self, requests: AsyncIterator[Any], context: Any) -> None:
            await echo_metadata(context)
            try:
                while (request := await context.read()) is not grpc.aio.EOF:
                    if request.HasField("response_status"):
                        await context.abort(_CODES[request.response_status.code], request.response_status.message)
                    for size in request.response_sizes:
                        await context.write(pb.FullDuplexCallResponse(payload=pb.Payload(body=bytes(size))))
            finally:
                self.ended.set()

    return Writing()


def synchronous_servicer(generated: Generated) -> Any:
    """The same, with handlers that are plain functions and generators."""
    pb = generated.pb
    loop = asyncio.get_running_loop()

    def echo(context: Any) -> None:
        sent = {key: value for key, value in context.invocation_metadata() if key in (INITIAL_KEY, TRAILING_KEY)}
        if INITIAL_KEY in sent:
            context.send_initial_metadata(((INITIAL_KEY, sent[INITIAL_KEY]),))
        if TRAILING_KEY in sent:
            context.set_trailing_metadata(((TRAILING_KEY, sent[TRAILING_KEY]),))

    class Synchronous(generated.rpc.TestServiceServicer):  # type: ignore[name-defined,misc]  # made at run time
        def __init__(self) -> None:
            self.ended = asyncio.Event()

        def EmptyCall(self, request: Any, context: Any) -> Any:
            return pb.EmptyCallResponse()

        def UnaryCall(self, request: Any, context: Any) -> Any:
            echo(context)
            if request.HasField("response_status"):
                context.set_code(_CODES[request.response_status.code])
                context.set_details(request.response_status.message)
            return pb.UnaryCallResponse(payload=pb.Payload(body=bytes(request.response_size)))

        def StreamingInputCall(self, requests: Iterator[Any], context: Any) -> Any:
            size = sum(len(request.payload.body) for request in requests)
            return pb.StreamingInputCallResponse(aggregated_payload_size=size)

        def StreamingOutputCall(self, request: Any, context: Any) -> Iterator[Any]:
            for size in request.response_sizes:
                yield pb.StreamingOutputCallResponse(payload=pb.Payload(body=bytes(size)))

        def FullDuplexCall(self, requests: Iterator[Any], context: Any) -> Iterator[Any]:
            echo(context)
            try:
                for request in requests:
                    if request.HasField("response_status"):
                        context.abort(_CODES[request.response_status.code], request.response_status.message)
                    for size in request.response_sizes:
                        yield pb.FullDuplexCallResponse(payload=pb.Payload(body=bytes(size)))
            finally:
                loop.call_soon_threadsafe(self.ended.set)

    return Synchronous()
