"""What a server says of its services: grpc's reflection, asked over an asynchronous channel."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

import click
import grpc
import grpc.aio
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from grpc_reflection.v1alpha import reflection_pb2

__all__ = ["NotDescribed", "Reflection"]

#: The same messages under two names; servers have the one, the other or both.
_METHODS = (
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
)


class NotDescribed(click.ClickException):
    """The server has no descriptor of what was asked for."""


class Reflection:
    """The services of one server, by their descriptors, which are kept apart from this process's own."""

    def __init__(self, channel: grpc.aio.Channel, **options: Any) -> None:
        """`options` are those of each call: timeout, metadata."""
        self._channel = channel
        self._options = options
        self._path: str | None = None
        self.pool = descriptor_pool.DescriptorPool()
        self._known: set[str] = set()

    async def services(self) -> list[str]:
        """Full names of all services, sorted."""
        answer = await self._ask(reflection_pb2.ServerReflectionRequest(list_services=""))
        return sorted(service.name for service in answer.list_services_response.service)

    async def service(self, name: str) -> ServiceDescriptor:
        """The descriptor of a service, by its full name."""
        await self._fetch(reflection_pb2.ServerReflectionRequest(file_containing_symbol=name))
        found: ServiceDescriptor = self.pool.FindServiceByName(name)
        return found

    async def method(self, name: str) -> MethodDescriptor:
        """ "package.Service/Method", or as much of its end as is needed to know which.

        Raises click.ClickException where there is none, or more than one.
        """
        service, slash, method = name.removeprefix("/").rpartition("/")
        if not slash or not method:
            raise click.UsageError(f'{name!r} is not the name of a method; write "package.Service/Method"')
        known = await self.services()
        named = [one for one in known if one == service] or [one for one in known if one.endswith(f".{service}")]
        if not named:
            raise click.ClickException(f"the server has no service {service}; it has {_near(service, known)}")
        if len(named) > 1:
            raise click.ClickException(f"{service} may be {' or '.join(named)}; write all of the name")
        descriptor = await self.service(named[0])
        found = descriptor.methods_by_name.get(method)
        if found is None:
            names = list(descriptor.methods_by_name)
            raise click.ClickException(f"{named[0]} has no method {method}; it has {_near(method, names)}")
        return found

    async def _fetch(self, request: reflection_pb2.ServerReflectionRequest) -> None:
        answer = await self._ask(request)
        files = [
            descriptor_pb2.FileDescriptorProto.FromString(raw)
            for raw in answer.file_descriptor_response.file_descriptor_proto
        ]
        given = {file.name: file for file in files}
        for file in files:
            await self._add(file, given)

    async def _add(
        self, file: descriptor_pb2.FileDescriptorProto, given: dict[str, descriptor_pb2.FileDescriptorProto]
    ) -> None:
        """Adds a file after those that it needs."""
        if file.name in self._known:
            return
        self._known.add(file.name)
        for needed in file.dependency:
            if needed in given:
                await self._add(given[needed], given)
            elif needed not in self._known:
                await self._fetch(reflection_pb2.ServerReflectionRequest(file_by_filename=needed))
        self.pool.Add(file)

    async def _ask(self, request: reflection_pb2.ServerReflectionRequest) -> Any:
        for path in _METHODS if self._path is None else (self._path,):
            # A stream of one request. As such grpc.aio writes it beside the call's start, and says "Internal error from
            # Core" where the server has refused the call by then.
            call: Any = self._channel.unary_stream(
                path,
                request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
                response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
            )(request, **self._options)
            try:
                answer = await call.read()
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                    raise
                continue
            else:
                # Its end is awaited: a stream that is given up would be a cancelled call to the server.
                while await call.read() is not grpc.aio.EOF:
                    pass
            finally:
                call.cancel()
            self._path = path
            if answer.HasField("error_response"):
                raise NotDescribed(f"the server does not describe it: {answer.error_response.error_message}")
            return answer
        raise click.ClickException("the server has no reflection, so it cannot be asked what its messages are")


def _near(name: str, known: Iterable[str]) -> str:
    names = list(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5) or names
    return ", ".join(near) or "none"
