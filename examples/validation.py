"""Rules in the .proto are checked before a handler runs; what is wrong reaches the client field by field.

python examples/validation.py
"""

import asyncio
import importlib
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import grpc

import kit
from kit.errors import details_of

PROTO = """
syntax = "proto3";
package books.v1;

import "buf/validate/validate.proto";

service Books {
  rpc Order(OrderRequest) returns (OrderResponse);
}

message OrderRequest {
  string email = 1 [(buf.validate.field).string.email = true];
  repeated Line lines = 2 [(buf.validate.field).repeated = {min_items: 1, max_items: 50}];
}

message Line {
  string isbn = 1 [(buf.validate.field).string.pattern = "^97[89][0-9]{10}$"];
  uint32 count = 2 [(buf.validate.field).uint32 = {gte: 1, lte: 9}];
}

message OrderResponse {}
"""


async def main(pb: Any, rpc: Any) -> None:
    class Books(rpc.BooksServicer):  # type: ignore[misc]  # it was generated just now
        async def Order(self, request: Any, context: Any) -> Any:  # noqa: N802 - as the .proto has it
            print("the handler has an order of", len(request.lines))
            return pb.OrderResponse()

    server = kit.Server("books", register=False, grace=0).add(Books(), rpc.add_BooksServicer_to_server)
    async with server, grpc.aio.insecure_channel(server.address) as channel:
        stub = rpc.BooksStub(channel)
        await stub.Order(
            pb.OrderRequest(email="ada@example.org", lines=[pb.Line(isbn="9780140449136", count=1)]), timeout=5
        )
        try:
            await stub.Order(pb.OrderRequest(email="ada", lines=[pb.Line(isbn="978", count=0)]), timeout=5)
        except grpc.aio.AioRpcError as error:
            print(error.code().name, error.details())
            for violation in details_of(error).violations:
                print(f"  {violation.field}: {violation.description}")


def generate(folder: str) -> tuple[Any, Any]:
    """What you do once, when the .proto changes."""
    path = Path(folder, "protos", "books", "v1", "books.proto")
    path.parent.mkdir(parents=True)
    path.write_text(PROTO)
    command = [sys.executable, "-P", "-m", "kit.cli", "gen", f"{folder}/protos", "--out", f"{folder}/gen"]
    subprocess.run(command, check=True, capture_output=True)
    sys.path.insert(0, f"{folder}/gen")
    return importlib.import_module("books.v1.books_pb2"), importlib.import_module("books.v1.books_pb2_grpc")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        asyncio.run(main(*generate(made)))
