"""Bringing descriptors into the process: from generated modules, or compiled from .proto files."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import FileDescriptor

from kit.cli import _protoc
from kit.cli._protos import find_protos
from kit.errors import ConfigurationError


def methods_of(files: Iterable[FileDescriptor]) -> list[str]:
    """Every method as "/package.Service/Method", in the order of the files."""
    return [
        f"/{service.full_name}/{method.name}"
        for file in files
        for service in file.services_by_name.values()
        for method in service.methods
    ]


def from_modules(names: Sequence[str]) -> list[FileDescriptor]:
    """Imports generated modules such as "shop.v1.order_pb2"."""
    files: list[FileDescriptor] = []
    for name in names:
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            raise ConfigurationError(f"{name} cannot be imported: {error}") from error
        file = getattr(module, "DESCRIPTOR", None)
        if not isinstance(file, FileDescriptor):
            raise ConfigurationError(f"{name} is no generated _pb2 module")
        files.append(file)
    return files


def from_folders(folders: Sequence[Path], include: Sequence[Path]) -> list[FileDescriptor]:
    """Compiles every .proto under `folders` and puts it, and what it imports, into this process's descriptor pool."""
    if not folders:
        return []
    tree = find_protos(folders)
    with tempfile.TemporaryDirectory(prefix="kit-check-") as temporary:
        out = Path(temporary) / "set.binpb"
        _protoc.descriptor_set(tree, include, out)
        compiled = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    pool = descriptor_pool.Default()
    for file in compiled.file:
        # What is there already, such as protobuf's own files and the kit's, need not be the same to the byte.
        if not _known(pool, file.name):
            try:
                pool.AddSerializedFile(file.SerializeToString())
            except TypeError as error:
                raise ConfigurationError(f"{file.name}: {error}") from error
    return [pool.FindFileByName(name) for name in tree.names]


def _known(pool: descriptor_pool.DescriptorPool, name: str) -> bool:
    try:
        pool.FindFileByName(name)
    except KeyError:
        return False
    return True
