"""Messages and services that a test writes as a .proto, compiled when it runs."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_tools import protoc

from kit.cli._protos import include_path


@cache
def pool_of(text: str) -> DescriptorPool:
    """The descriptors of one file and of all that it imports, apart from those of the process."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "test.proto").write_text(text)
        out = Path(folder) / "test.binpb"
        includes = [f"-I{path}" for path in include_path([Path(folder)], [])]
        assert protoc.main(["protoc", "--include_imports", f"--descriptor_set_out={out}", *includes, "test.proto"]) == 0
        files = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    made = descriptor_pool.DescriptorPool()
    for file in files.file:
        made.AddSerializedFile(file.SerializeToString())
    return made


def messages(text: str) -> Mapping[str, Any]:
    """The classes of the file's messages by their names."""
    found = pool_of(text).FindFileByName("test.proto").message_types_by_name
    return {name: message_factory.GetMessageClass(descriptor) for name, descriptor in found.items()}
