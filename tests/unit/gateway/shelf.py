"""A service with every kind of rule, compiled from `shelf.proto` when the tests begin."""

from __future__ import annotations

import tempfile
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import grpc_tools
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import ServiceDescriptor
from grpc_tools import protoc

from gateway.config import Config, Service
from gateway.expose import exposed
from gateway.transcode.router import Router
from gateway.transcode.routes import Exposed, Route, compile_routes

HERE = Path(__file__).parent


@cache
def descriptor_set() -> bytes:
    """What protoc makes of `shelf.proto`, with all that it imports."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "shelf.binpb"
        includes = [
            HERE,
            HERE.parents[2] / "protos",
            Path(str(resources.files(grpc_tools).joinpath("_proto"))),
            Path(next(iter(__import__("google.api").__path__))).parent,
        ]
        status = protoc.main(
            [
                "protoc",
                "--include_imports",
                f"--descriptor_set_out={out}",
                *(f"-I{path}" for path in includes),
                "shelf.proto",
            ]
        )
        assert status == 0
        return out.read_bytes()


@cache
def pool() -> descriptor_pool.DescriptorPool:
    """The descriptors, apart from those of the process."""
    files = descriptor_pb2.FileDescriptorSet.FromString(descriptor_set())
    made = descriptor_pool.DescriptorPool()
    for file in files.file:
        made.AddSerializedFile(file.SerializeToString())
    return made


def message(kind_name: str, /, **fields: Any) -> Any:
    """A message of the service by its short name, with some fields set."""
    kind: Any = message_factory.GetMessageClass(pool().FindMessageTypeByName(f"shelf.v1.{kind_name}"))
    return kind(**fields)


def service() -> ServiceDescriptor:
    return pool().FindServiceByName("shelf.v1.Shelf")


def config(folder: Path, **options: Any) -> Config:
    """A configuration that serves the shelf from a descriptor set."""
    path = folder / "shelf.binpb"
    path.write_bytes(descriptor_set())
    options.setdefault("services", (Service(name="shelf", target="unused", descriptor_set=str(path)),))
    return Config(register=False, **options)


def parts(folder: Path) -> list[Exposed]:
    return list(exposed(config(folder)))


@cache
def router() -> Router[Route]:
    """The routes of the shelf."""
    with tempfile.TemporaryDirectory() as folder:
        return compile_routes(parts(Path(folder)))


_ABSENT = object()


def bound(http_method: str, path: str, query: str = "", document: Any = _ABSENT) -> Any:
    """The request message that an HTTP request is bound to."""
    found = router().find(http_method, path)
    assert found.route is not None, f"no route for {http_method} {path}"
    request = found.route.rpc.request()
    if found.route.json_body is not None and document is not _ABSENT:
        found.route.json_body.bind(request, document)
    found.route.binder.bind_path(request, found.segments)
    found.route.binder.bind_query(request, query.encode())
    return request
