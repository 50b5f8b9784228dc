"""The server of grpc.aio, with one handler for all methods.

grpc.aio waits for every method that is registered with it by a future of its own, for all of them anew with each call
that it accepts, and runs interceptors as a chain of coroutines. One handler for all methods is one future, and finding
the method is one look into a dictionary. Interceptors of a user's own are run by grpc.aio as ever, inside the kit's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import grpc
import grpc.aio

from kit.observe import calls
from kit.server._call import arrived
from kit.server._interceptor import KitServerInterceptor

__all__ = ["GrpcServer"]

_Rpc: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class GrpcServer(grpc.aio.Server):
    """A `grpc.aio.Server` whose methods have the kit's layers around them. What is added counts from the start on."""

    def __init__(
        self,
        kit: KitServerInterceptor,
        *,
        interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
        options: Sequence[tuple[str, Any]] = (),
    ) -> None:
        self._kit = None if interceptors else kit
        self._methods: dict[str, _Rpc] = {}
        self._others: list[grpc.GenericRpcHandler] = []
        chain = [kit, *interceptors] if interceptors else []
        self._grpc = grpc.aio.server(interceptors=chain, options=options)

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        self._others.extend(generic_rpc_handlers)

    def add_registered_method_handlers(self, service_name: str, method_handlers: Mapping[str, _Rpc]) -> None:
        """Called by generated code, beside the former."""
        self._methods |= {f"/{service_name}/{name}": rpc for name, rpc in method_handlers.items()}

    def add_insecure_port(self, address: str) -> int:
        return self._grpc.add_insecure_port(address)

    def add_secure_port(self, address: str, server_credentials: grpc.ServerCredentials) -> int:
        return self._grpc.add_secure_port(address, server_credentials)

    async def start(self) -> None:
        self._grpc.add_generic_rpc_handlers((_Service(self._methods, self._others, self._kit),))
        await self._grpc.start()

    async def stop(self, grace: float | None) -> None:
        await self._grpc.stop(grace)

    async def wait_for_termination(self, timeout: float | None = None) -> bool:
        return await self._grpc.wait_for_termination(timeout)


class _Service(grpc.GenericRpcHandler):
    """All methods of a server, with the kit's layers around each; without the kit, as they are."""

    def __init__(
        self, methods: Mapping[str, _Rpc], others: Sequence[grpc.GenericRpcHandler], kit: KitServerInterceptor | None
    ) -> None:
        """`methods` are known by their paths; `others` are asked, in their order, for the rest, at every call."""
        self._methods = dict(methods)
        self._others = tuple(others)
        self._kit = kit

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> _Rpc | None:
        path = handler_call_details.method
        # The handler runs in the same task afterwards.
        arrived.set(handler_call_details.invocation_metadata or ())
        rpc = self._methods.get(path)
        if rpc is None:
            return self._other(path, handler_call_details)
        return rpc if self._kit is None else self._kit.of(rpc, path)

    def _other(self, path: str, details: grpc.HandlerCallDetails) -> _Rpc | None:
        for handler in self._others:
            try:
                rpc = handler.service(details)
            except Exception as error:
                if self._kit is None:
                    raise
                # grpc would send the exception's text.
                return self._kit.failing(error, path)
            if rpc is not None:
                return rpc if self._kit is None else self._kit.of(rpc, path)
        calls.unknown_method()
        return None
