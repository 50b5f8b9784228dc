"""Log lines by channel, each in a file; errors with an id and errors of the domain; and nothing secret in any of them.

python examples/logs.py
"""

import asyncio
import json
import logging
import os
import tempfile
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.wrappers_pb2 import StringValue

import kit
from kit.observe import business, configure_logging


class SoldOutError(Exception):
    """No copy is left."""


async def buy(request: StringValue, context: Any) -> StringValue:
    if request.value == "a rare book":
        raise SoldOutError("no copy is left")
    if request.value == "a cursed book":
        raise RuntimeError("cannot connect to postgres://shop:hunter2@db/shop")
    business.info("order placed", book=request.value, card={"token": "tok_4242"})
    return StringValue(value="on its way")


async def main() -> None:
    server = kit.Server("shop", register=False, grace=0, errors={SoldOutError: kit.errors.FailedPrecondition})
    server.add(None, add_shop)
    async with server, grpc.aio.insecure_channel(server.address) as channel:
        stub: Any = channel.unary_unary("/shop.v1.Shop/Buy", StringValue.SerializeToString, StringValue.FromString)
        for book in ("a book", "a rare book", "a cursed book"):
            try:
                await stub(StringValue(value=book), timeout=5, metadata=[("x-request-id", book.replace(" ", "-"))])
            except grpc.aio.AioRpcError as error:
                # The id differs from run to run.
                print("the caller sees:", error.code().name, str(error.details()).partition(", id ")[0])


def add_shop(_servicer: Any, server: Any) -> None:
    """What generated code has."""
    handlers: dict[str, Any] = {
        "Buy": grpc.unary_unary_rpc_method_handler(buy, StringValue.FromString, StringValue.SerializeToString)
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.v1.Shop", handlers),))


def show(path: Path, *names: str) -> None:
    for line in map(json.loads, path.read_text().splitlines()):
        print(f"{path.name}:", *(f"{name}={line[name]}" for name in names if name in line))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        for name in ("access", "error", "business"):
            os.environ[f"KIT_LOG_{name.upper()}"] = f"{folder}/{name}.jsonl"
        configure_logging("shop")
        asyncio.run(main())
        logging.shutdown()
        show(Path(folder, "access.jsonl"), "method", "code", "request_id", "details")
        show(Path(folder, "business.jsonl"), "event", "book", "card")
        for line in map(json.loads, Path(folder, "error.jsonl").read_text().splitlines()):
            print("error.jsonl:", line["event"], "with", line["exception"].splitlines()[-1])
