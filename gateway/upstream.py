"""The services behind the gateway: one channel for each, and the callables of the routes' methods."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import grpc
from google.protobuf.message import Message

from gateway.transcode.routes import Rpc

__all__ = ["OpenChannel", "Upstreams"]

OpenChannel = Callable[[str], grpc.aio.Channel]


class Upstreams:
    """Channels by the names of the configuration. Open inside the running event loop."""

    def __init__(self, targets: Mapping[str, str], open_channel: OpenChannel) -> None:
        self._targets = dict(targets)
        self._open = open_channel
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._callables: dict[tuple[str, str], Any] = {}

    @property
    def names(self) -> Iterable[str]:
        """Of all services."""
        return self._targets.keys()

    def open(self) -> None:
        """Makes the channels; connecting is left to them."""
        self._channels = {name: self._open(target) for name, target in self._targets.items()}

    async def close(self) -> None:
        """Closes the channels and ends what is still called on them."""
        channels, self._channels = self._channels, {}
        self._callables.clear()
        for channel in channels.values():
            await channel.close()

    def channel(self, name: str) -> grpc.aio.Channel:
        """The channel to a service."""
        return self._channels[name]

    def callable(self, rpc: Rpc) -> Any:
        """The multi-callable of a method; its answers come as `rpc.decode` makes them."""
        key = (rpc.path, rpc.response_body)
        found = self._callables.get(key)
        if found is None:
            channel = self._channels[rpc.upstream]
            shapes: dict[tuple[bool, bool], Any] = {
                (False, False): channel.unary_unary,
                (False, True): channel.unary_stream,
                (True, False): channel.stream_unary,
            }
            make = shapes[rpc.client_streaming, rpc.server_streaming]
            found = make(rpc.path, request_serializer=_serialize, response_deserializer=rpc.decode)
            self._callables[key] = found
        return found


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()
