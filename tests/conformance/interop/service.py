"""What the interop cases are played against: the generated code, made for the session, and the servicer."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import AsyncIterator
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


def servicer(generated: Generated) -> Any:
    """A servicer of the interop's TestService. Its `ended` is set when a full-duplex handler has ended."""
    pb = generated.pb

    def payload(size: int) -> Any:
        return pb.Payload(body=bytes(size))

    async def echo_metadata(context: Any) -> None:
        sent = {key: value for key, value in context.invocation_metadata() or () if key in (INITIAL_KEY, TRAILING_KEY)}
        if INITIAL_KEY in sent:
            await context.send_initial_metadata(((INITIAL_KEY, sent[INITIAL_KEY]),))
        if TRAILING_KEY in sent:
            context.set_trailing_metadata(((TRAILING_KEY, sent[TRAILING_KEY]),))

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
