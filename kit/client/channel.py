"""`kit.channel`: a `grpc.aio.Channel` over the endpoints of a target, whose calls go through the pipeline."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

import aiobreaker
import grpc
import grpc.aio

from kit import layers
from kit.client import guards
from kit.client.balance import BalanceLayer
from kit.client.endpoints import Endpoints, LocalEndpoints, static_addresses
from kit.client.events import Listener, Listeners
from kit.client.stubs import StreamStreamStub, StreamUnaryStub, UnaryStreamStub, UnaryUnaryStub
from kit.client.transport import on_endpoint
from kit.clock import SYSTEM, Clock
from kit.discovery import Registry
from kit.errors import ConfigurationError
from kit.pipeline import Handler, Method, Pipeline, Shape
from kit.policy import PolicySource, overrides_from, policy_for

__all__ = ["Channel", "channel", "client_pipeline"]

_LOCAL = "local:///"
#: What every sub-channel is opened with; options that the user gives come after and win.
_OPTIONS: tuple[tuple[str, Any], ...] = (
    # Otherwise channels to one address share a connection, and none can be renewed by itself.
    ("grpc.use_local_subchannel_pool", 1),
    # grpc's own 120 s would keep a service that came back unseen for as long.
    ("grpc.initial_reconnect_backoff_ms", 250),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 5000),
    # Servers allow a ping every 5 minutes unless told otherwise, and hang up on the third too many.
    ("grpc.keepalive_time_ms", 330_000),
    ("grpc.keepalive_timeout_ms", 20_000),
)


def client_pipeline(
    clock: Clock, rng: random.Random, endpoints: Endpoints | None, breakers: layers.Breakers | None = None
) -> Pipeline:
    """The layers of a call, outermost first. Without endpoints (on a stock channel) nothing is picked.

    One pipeline is one target: it has one set of throttles and budgets, and of breakers, which may be given.
    """
    breakers = breakers if breakers is not None else layers.Breakers(clock)
    allowances = layers.Allowances(clock)
    balance = [] if endpoints is None else [BalanceLayer(endpoints, clock, rng.random, breakers)]
    return Pipeline(
        [
            layers.ReportLayer(clock),
            layers.TraceCallLayer(),
            layers.DeadlineLayer(clock),
            layers.RetryLayer(clock, rng.random, allowances),
            layers.HedgeLayer(clock, allowances),
            *balance,
            layers.BreakerLayer(breakers),
            layers.AttemptLayer(clock),
            layers.TraceAttemptLayer(),
        ]
    )


class Channel(grpc.aio.Channel):
    """A drop-in `grpc.aio.Channel`. Make it with `kit.channel`, inside the event loop that uses it."""

    def __init__(
        self,
        target: str | Sequence[str],
        *,
        policy: PolicySource = None,
        credentials: grpc.ChannelCredentials | None = None,
        options: Sequence[tuple[str, Any]] = (),
        compression: grpc.Compression | None = None,
        registry: Registry | None = None,
        breaker_listeners: Sequence[Any] = (),
        on_event: Listener | None = None,
        clock: Clock = SYSTEM,
        rng: random.Random | None = None,
        open_channel: Callable[[str], grpc.aio.Channel] | None = None,
    ) -> None:
        guards.refuse_channel(target)
        self._overrides = overrides_from(policy)
        self._home = guards.Home(target)
        self._clock = clock
        self._listeners = Listeners([] if on_event is None else [on_event])
        self._methods: dict[object, tuple[Method, Handler]] = {}

        def dial(address: str, *more: tuple[str, Any]) -> grpc.aio.Channel:
            if open_channel is not None:  # simulations open sub-channels of their own
                return open_channel(address)
            arguments = [*_OPTIONS, *more, *options]
            if credentials is None:
                return grpc.aio.insecure_channel(address, arguments, compression)
            return grpc.aio.secure_channel(address, credentials, arguments, compression)

        if isinstance(target, str) and target.startswith("local:"):
            name = target.removeprefix(_LOCAL)
            if not target.startswith(_LOCAL) or not name:
                raise ConfigurationError(f'{target!r}: write "local:///name"')
            authority = ("grpc.default_authority", name)
            found = registry if registry is not None else Registry()
            self._endpoints: Endpoints = LocalEndpoints(name, lambda at: dial(at, authority), found, clock.now)
        else:
            addresses = static_addresses(target)
            self._endpoints = Endpoints(",".join(addresses), dial, addresses)
        self._breakers = layers.Breakers(clock, breaker_listeners)
        # What spreads clients over time is no secret.
        rng = rng or random.Random()  # noqa: S311
        self._pipeline = client_pipeline(clock, rng, self._endpoints, self._breakers)

    @property
    def target(self) -> str:
        """What the channel was opened to."""
        return self._endpoints.target

    @property
    def pipeline(self) -> Pipeline:
        """The layers that calls go through."""
        return self._pipeline

    @property
    def breakers(self) -> Sequence[aiobreaker.CircuitBreaker]:
        """The circuit breakers that calls have met so far, named by their endpoint."""
        return self._breakers.all()

    def _method(self, shape: Shape, path: str, serialize: Any, deserialize: Any, registered: bool) -> tuple[Any, ...]:
        key = (shape, path, serialize, deserialize, registered)
        known = self._methods.get(key)
        if known is None:
            method = Method(
                path=path,
                shape=shape,
                policy=policy_for(path, self._overrides),
                target=self._endpoints.target,
                request_serializer=serialize,
                response_deserializer=deserialize,
                registered=registered,
            )
            known = self._methods[key] = (method, self._home.bound(self._pipeline.handler(method, on_endpoint(method))))
        return (*known, self._clock)

    def unary_unary(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool | None = False,
    ) -> grpc.aio.UnaryUnaryMultiCallable[Any, Any]:
        found = self._method(
            Shape.UNARY_UNARY, method, request_serializer, response_deserializer, bool(_registered_method)
        )
        return UnaryUnaryStub(*found)

    def unary_stream(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool | None = False,
    ) -> grpc.aio.UnaryStreamMultiCallable[Any, Any]:
        found = self._method(
            Shape.UNARY_STREAM, method, request_serializer, response_deserializer, bool(_registered_method)
        )
        return UnaryStreamStub(*found)

    def stream_unary(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool | None = False,
    ) -> grpc.aio.StreamUnaryMultiCallable[Any, Any]:
        found = self._method(
            Shape.STREAM_UNARY, method, request_serializer, response_deserializer, bool(_registered_method)
        )
        return StreamUnaryStub(*found)

    def stream_stream(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool | None = False,
    ) -> grpc.aio.StreamStreamMultiCallable[Any, Any]:
        found = self._method(
            Shape.STREAM_STREAM, method, request_serializer, response_deserializer, bool(_registered_method)
        )
        return StreamStreamStub(*found)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """The best state among the endpoints; IDLE when there is none."""
        return self._endpoints.state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Returns when `get_state` gives another state. Raises grpc.aio.UsageError when the channel is closed."""
        if self.get_state() is grpc.ChannelConnectivity.SHUTDOWN:
            raise grpc.aio.UsageError("Channel is closed.")
        await self._endpoints.state_changed(last_observed_state, self._clock)

    async def channel_ready(self) -> None:
        """Returns when an endpoint is connected."""
        state = self.get_state(try_to_connect=True)
        while state is not grpc.ChannelConnectivity.READY:
            if state is grpc.ChannelConnectivity.SHUTDOWN:
                raise grpc.aio.UsageError("Channel is closed.")
            await self.wait_for_state_change(state)
            state = self.get_state(try_to_connect=True)

    async def close(self, grace: float | None = None) -> None:
        """Takes no further calls; those in flight get `grace` seconds and are then cancelled."""
        await self._endpoints.close(grace)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


def channel(
    target: str | Sequence[str],
    *,
    policy: PolicySource = None,
    credentials: grpc.ChannelCredentials | None = None,
    options: Sequence[tuple[str, Any]] = (),
    compression: grpc.Compression | None = None,
    registry: Registry | None = None,
    breaker_listeners: Sequence[Any] = (),
    on_event: Listener | None = None,
) -> Channel:
    """Opens a channel to "host:port", "h:1,h:2", a list, "dns:///host:port", or "local:///name" in the local registry.

    `policy` None takes what the descriptors say; otherwise it is a `MethodPolicy` for every method, a mapping from
    "/package.Service/Method", "/package.Service/*" or "*" to `MethodPolicy`, or the path of a TOML file. `credentials`,
    `options` and `compression` are grpc.aio's, `breaker_listeners` aiobreaker's; `on_event` is told what happens to the
    channel (`kit.client.events`). Nothing is connected yet when it returns.

    Raises ConfigurationError for what is no target and PolicyError for a policy that is wrong.
    """
    return Channel(
        target,
        policy=policy,
        credentials=credentials,
        options=options,
        compression=compression,
        registry=registry,
        breaker_listeners=breaker_listeners,
        on_event=on_event,
    )
