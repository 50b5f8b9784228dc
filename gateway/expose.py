"""From the configuration to descriptors: generated modules are imported, descriptor sets are read."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import ServiceDescriptor

from gateway.config import Config, Service
from gateway.transcode.codec import Codec, JsonFormat
from gateway.transcode.routes import Exposed
from kit.errors import ConfigurationError

__all__ = ["exposed"]


def exposed(config: Config) -> Iterator[Exposed]:
    """Every service that is to be served. Raises ConfigurationError that names the key."""
    codec: Codec = JsonFormat()
    for index, service in enumerate(config.services):
        methods = service.methods or None
        for position, module in enumerate(service.modules):
            for descriptor in _of_module(module, f"services[{index}].modules[{position}]"):
                yield Exposed(upstream=service.name, service=descriptor, codec=codec, methods=methods)
        if service.descriptor_set:
            pool = descriptor_pool.DescriptorPool()
            for descriptor in _of_file(service, pool, f"services[{index}].descriptor_set"):
                yield Exposed(upstream=service.name, service=descriptor, codec=JsonFormat(pool), methods=methods)


def _of_module(name: str, where: str) -> list[ServiceDescriptor]:
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        raise ConfigurationError(f"{where}: {name} cannot be imported: {error}") from error
    descriptor = getattr(module, "DESCRIPTOR", None)
    if descriptor is None or not descriptor.services_by_name:
        raise ConfigurationError(f"{where}: {name} has no services; name the generated module, its name ends in _pb2")
    return list(descriptor.services_by_name.values())


def _of_file(service: Service, pool: descriptor_pool.DescriptorPool, where: str) -> list[ServiceDescriptor]:
    path = Path(service.descriptor_set)
    content = descriptor_pb2.FileDescriptorSet()
    try:
        content.ParseFromString(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{where}: {path} cannot be read: {error.strerror}") from error
    except Exception as error:  # protobuf's DecodeError differs by implementation
        raise ConfigurationError(f"{where}: {path} is not a descriptor set") from error
    found: list[ServiceDescriptor] = []
    try:
        for file in content.file:
            # protoc writes a file after those that it imports.
            pool.AddSerializedFile(file.SerializeToString())
            found += pool.FindFileByName(file.name).services_by_name.values()
    except (KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{where}: {path} is not complete ({error}); write it with protoc --include_imports"
        ) from error
    if not found:
        raise ConfigurationError(f"{where}: {path} has no services")
    return found
