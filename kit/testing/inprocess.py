"""A server and a channel to it in one process, over real loopback gRPC."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self, TypedDict, Unpack

import grpc
import grpc.aio

from kit.auth import Authenticator
from kit.client import Channel, HealthCheck, TlsFiles
from kit.client.events import Listener
from kit.clock import SYSTEM, Clock
from kit.errors import UsageTypeError
from kit.layers import StorageFactory
from kit.policy import PolicySource
from kit.server import Server
from kit.server.idempotency import MemoryStore
from kit.server.idempotency._source import StoreSource
from kit.testing.faults import Faults

__all__ = ["ChannelArguments", "InProcess"]


class ChannelArguments(TypedDict, total=False):
    """What `InProcess` hands on to its channel; see `kit.channel`. `warm_up` is False unless it is given."""

    credentials: grpc.ChannelCredentials | TlsFiles | None
    options: Sequence[tuple[str, Any]]
    compression: grpc.Compression | None
    breaker_listeners: Sequence[Any]
    breaker_storage: StorageFactory | None
    on_event: Listener | None
    warm_up: bool
    health: HealthCheck | None


class InProcess:
    """Serves a servicer on a free port of the loopback and opens a `kit.channel` to it.

    async with InProcess(Servicer(), add_XServicer_to_server) as process:
        stub = XStub(process.channel)

    `faults` is where calls can be made to fail; it is there even if none is given. `clock` is what the channel waits
    and measures by; with `VirtualClock(autojump=True)` backoffs take no time. Nobody is asked who calls, whatever the
    .proto says, unless `authenticators` are given. Idempotency keys are kept in memory, unless `idempotency` says
    where, as for `kit.Server`. Any other argument is the channel's.
    """

    def __init__(
        self,
        servicer: object,
        add_to_server: Callable[[Any, Any], object],
        *,
        name: str = "in-process",
        policy: PolicySource = None,
        interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
        authenticators: Sequence[Authenticator] | None = None,
        idempotency: StoreSource = None,
        faults: Faults | None = None,
        clock: Clock = SYSTEM,
        **channel: Unpack[ChannelArguments],
    ) -> None:
        unknown = channel.keys() - ChannelArguments.__annotations__.keys()
        if unknown:
            known = ", ".join(sorted(ChannelArguments.__annotations__))
            raise UsageTypeError(f"InProcess takes no {', '.join(sorted(unknown))}; for its channel it takes {known}")
        self._arguments = channel
        self.faults = faults if faults is not None else Faults()
        self.server = Server(
            name,
            listen="127.0.0.1:0",
            register=False,
            grace=0.0,
            interceptors=(self.faults, *interceptors),
            authenticators=() if authenticators is None else authenticators,
            insecure_ignore_auth=authenticators is None,
            idempotency=MemoryStore() if idempotency is None else idempotency,
        )
        self.server.add(servicer, add_to_server)
        self._policy = policy
        self._clock = clock
        self._channel: Channel | None = None

    @property
    def address(self) -> str:
        """ "host:port" of the server."""
        return self.server.address

    @property
    def channel(self) -> Channel:
        """A channel to the server, closed with it."""
        assert self._channel is not None, "use it inside `async with`"
        return self._channel

    async def __aenter__(self) -> Self:
        await self.server.start()
        try:
            self._channel = Channel(self.address, policy=self._policy, clock=self._clock, **self._arguments)
        except BaseException:
            await self.server.stop(0)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._channel is not None:
            await self._channel.close()
        await self.server.stop(0)
