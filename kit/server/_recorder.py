"""Takes what generated code adds to a server, and adds it to the real one later.

A server object of grpc belongs to the event loop in which it is made; servicers are added before there is one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import grpc
import grpc.aio

from kit.errors import ConfigurationError


class Recorder:
    """Looks like a server to `add_XServicer_to_server`."""

    def __init__(self) -> None:
        #: Full names of the services, in the order in which they were added.
        self.services: list[str] = []
        self._generic: list[grpc.GenericRpcHandler] = []
        self._methods: list[tuple[str, Mapping[str, grpc.RpcMethodHandler[Any, Any]]]] = []

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Called by generated code."""
        self._generic.extend(handlers)
        for handler in handlers:
            name = getattr(handler, "service_name", None)
            if callable(name):
                self._note(str(name()))

    def add_registered_method_handlers(
        self, service_name: str, method_handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None:
        """Called by generated code, after the generic handlers of the same service."""
        self._methods.append((service_name, method_handlers))

    def replay(self, server: grpc.aio.Server) -> None:
        """Adds everything to `server`."""
        server.add_generic_rpc_handlers(tuple(self._generic))
        for name, handlers in self._methods:
            server.add_registered_method_handlers(name, dict(handlers))

    def methods(self) -> list[tuple[str, grpc.RpcMethodHandler[Any, Any]]]:
        """The methods that are known by name, with their paths; a catch-all handler's are not."""
        found = {f"/{name}/{method}": rpc for name, methods in self._methods for method, rpc in methods.items()}
        for handler in self._generic:
            # What grpc.method_handlers_generic_handler makes; code may add those without registering their methods.
            found |= getattr(handler, "_method_handlers", {})
        return list(found.items())

    def _note(self, name: str) -> None:
        if name in self.services:
            raise ConfigurationError(f"the service {name} is added twice")
        self.services.append(name)
