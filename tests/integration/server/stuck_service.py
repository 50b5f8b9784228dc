"""A service whose handler is no coroutine, answers once and then never ends."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from typing import Any

import grpc
from google.protobuf.wrappers_pb2 import StringValue

import kit
from kit.server import _run
from tests.integration.server.echo import SERVICE


def stuck(request: StringValue, context: Any) -> Iterator[StringValue]:
    yield request
    threading.Event().wait()


def add(_servicer: None, server: Any) -> None:
    handler: grpc.RpcMethodHandler[Any, Any] = grpc.unary_stream_rpc_method_handler(
        stuck, StringValue.FromString, StringValue.SerializeToString
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"UnaryStream": handler}),))


if __name__ == "__main__":
    _run.THREADS_TIMEOUT = 0.1
    sys.exit(kit.run(kit.Server("echo", grace=0).add(None, add)))
