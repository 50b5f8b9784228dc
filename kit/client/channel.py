"""`kit.channel`: a `grpc.aio.Channel` over the endpoints of a target, whose calls go through the pipeline."""

from __future__ import annotations

import random
import weakref
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias, TypeVar, overload

import aiobreaker
import grpc
import grpc.aio

from kit import layers
from kit.client import guards
from kit.client._arguments import check_channel, metadata_limit, method_path
from kit.client._dns import Resolver, resolve
from kit.client._facts import CLIENTS, ClientFacts
from kit.client._opening import open_endpoints
from kit.client._pipeline import client_pipeline
from kit.client._requests import serializing
from kit.client.balance import BalanceLayer
from kit.client.care import Care
from kit.client.direct import NEVER, Direct, direct
from kit.client.events import Listener, Listeners
from kit.client.reports import ChannelStatistics, EndpointCheck, HealthReport
from kit.client.stubs import DirectStub, StreamStreamStub, StreamUnaryStub, Stub, UnaryStreamStub, UnaryUnaryStub
from kit.client.tls import TlsFiles
from kit.client.transport import on_endpoint
from kit.clock import SYSTEM, Clock
from kit.discovery import Registry
from kit.durations import check_seconds
from kit.errors import UsageTypeError
from kit.pipeline import Built, Method, Pipeline, Shape
from kit.policy import PolicySource, Resolved
from kit.policy.followed import Policies
from kit.resilience.pulse import HealthCheck

__all__ = ["Channel", "channel"]

#: A method's shape and path, how its messages become bytes and back, and whether it is registered.
_Key: TypeAlias = tuple[Shape, str, Any, Any, bool]
_S = TypeVar("_S", bound=Stub)


class Channel(grpc.aio.Channel):
    """A drop-in `grpc.aio.Channel`. Make it with `kit.channel`, inside the event loop that uses it.

    Made directly, as tests and simulations do, it connects only when it is used, unless `warm_up` says otherwise.
    """

    def __init__(
        self,
        target: str | Sequence[str],
        *,
        policy: PolicySource = None,
        credentials: grpc.ChannelCredentials | TlsFiles | None = None,
        options: Sequence[tuple[str, Any]] = (),
        compression: grpc.Compression | None = None,
        registry: Registry | None = None,
        breaker_listeners: Sequence[Any] = (),
        on_event: Listener | None = None,
        warm_up: bool = False,
        health: HealthCheck | None = None,
        breaker_storage: layers.StorageFactory | None = None,
        clock: Clock = SYSTEM,
        rng: random.Random | None = None,
        open_channel: Callable[[str], grpc.aio.Channel] | None = None,
        resolver: Resolver = resolve,
    ) -> None:
        guards.refuse_channel(target)
        check_channel(
            credentials, options, compression, registry, breaker_listeners, on_event, warm_up, health, breaker_storage
        )
        self._listeners = Listeners([] if on_event is None else [on_event], on_bus=clock is SYSTEM)
        # Not by `self`: a channel that nobody holds is freed at once, with all that runs for it.
        here = weakref.ref(self)
        self._policies = Policies(
            policy,
            clock,
            lambda *found: None if (channel := here()) is None else channel._listeners.reloaded(channel.target, *found),
        )
        self._home = guards.Home(target)
        self._clock = clock
        self._metadata_limit = metadata_limit(options)
        self._methods: dict[_Key, Built] = {}
        #: Whoever is to be told of another policy.
        self._stubs: dict[_Key, weakref.WeakSet[Stub]] = {}

        # What spreads clients over time is no secret.
        rng = rng or random.Random()  # noqa: S311
        self._endpoints = open_endpoints(
            target,
            credentials=credentials,
            options=options,
            compression=compression,
            registry=registry,
            listeners=self._listeners,
            clock=clock,
            random=rng.random,
            open_channel=open_channel,
            resolver=resolver,
        )
        self._breakers = layers.Breakers(clock, breaker_listeners, breaker_storage)
        self._allowances = layers.Allowances(clock)
        self._pipeline = client_pipeline(clock, rng, self._endpoints, self._breakers, self._allowances)
        self._policies.keep = self._pipeline.keep
        if self._policies.files and open_channel is None:  # a simulation has one policy
            self._endpoints.on_use.append(self._policies.following(self._endpoints.background))
        balance = next(layer for layer in self._pipeline.layers if isinstance(layer, BalanceLayer))
        self._care = Care(
            self._endpoints, balance, clock, rng.random, self._listeners, self._home, warm_up=warm_up, health=health
        )
        self._facts = ClientFacts(
            self._endpoints.target,
            self._pipeline,
            self._breakers,
            self._allowances,
            [self._methods],
            self._care.statistics,
        )
        if clock is SYSTEM:
            CLIENTS.add(self._facts)

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

    def _key(self, shape: Shape, path: str, serialize: Any, deserialize: Any, registered: bool | None) -> _Key:
        """What the method is known by from here on. Raises UsageTypeError for what is no name of a method."""
        key = (shape, method_path(path), serialize, deserialize, bool(registered))
        if key not in self._methods:
            self._bind(key)
        return key

    def _bind(self, key: _Key) -> None:
        shape, path, serialize, deserialize, registered = key

        def build(policy: Resolved) -> Built:
            method = Method(
                path=path,
                shape=shape,
                policy=policy,
                target=self._endpoints.target,
                request_serializer=serializing(serialize, path),
                response_deserializer=deserialize,
                registered=registered,
                metadata_limit=self._metadata_limit,
            )
            return method, self._home.bound(self._pipeline.handler(method, on_endpoint(method)))

        def take(built: Built) -> None:
            former = self._methods.get(key)
            self._methods[key] = built
            if former is not None:
                for endpoint in self._endpoints.all:
                    endpoint.forget(former[0])
            for stub in self._stubs.get(key, ()):
                # It holds what it was made with, and nothing else.
                type(stub).__init__(stub, *self._held(key, type(stub)))

        self._policies.bind(path, build, take)

    def _direct(self, key: _Key) -> Direct | None:
        return direct(self._pipeline, *self._methods[key], self._clock, self._breakers, self._allowances, self._home)

    def _held(self, key: _Key, kind: type[Stub]) -> tuple[Any, ...]:
        """What a stub of that kind is made with."""
        usual = (*self._methods[key], self._clock)
        return (*usual, self._direct(key) or NEVER, self._endpoints) if kind is DirectStub else usual

    def _stub(self, kind: type[_S], key: _Key) -> _S:
        """A stub, which changes over when the method's policy does."""
        stub = kind(*self._held(key, kind))
        if self._policies.files:
            self._stubs.setdefault(key, weakref.WeakSet()).add(stub)
        return stub

    def unary_unary(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool | None = False,
    ) -> grpc.aio.UnaryUnaryMultiCallable[Any, Any]:
        key = self._key(Shape.UNARY_UNARY, method, request_serializer, response_deserializer, _registered_method)
        return self._stub(UnaryUnaryStub if self._direct(key) is None else DirectStub, key)

    def unary_stream(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool | None = False,
    ) -> grpc.aio.UnaryStreamMultiCallable[Any, Any]:
        key = self._key(Shape.UNARY_STREAM, method, request_serializer, response_deserializer, _registered_method)
        return self._stub(UnaryStreamStub, key)

    def stream_unary(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool | None = False,
    ) -> grpc.aio.StreamUnaryMultiCallable[Any, Any]:
        key = self._key(Shape.STREAM_UNARY, method, request_serializer, response_deserializer, _registered_method)
        return self._stub(StreamUnaryStub, key)

    def stream_stream(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool | None = False,
    ) -> grpc.aio.StreamStreamMultiCallable[Any, Any]:
        key = self._key(Shape.STREAM_STREAM, method, request_serializer, response_deserializer, _registered_method)
        return self._stub(StreamStreamStub, key)

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

    async def check_now(self) -> HealthReport:
        """Checks the health of every endpoint by grpc.health.v1, all at once; connects those that are not connected.

        A server without a health service is healthy if it answers.
        """
        return await self._care.check_now()

    @overload
    async def wait_for_healthy(
        self, timeout: float = 5.0, *, all_endpoints: Literal[False] = False
    ) -> EndpointCheck: ...

    @overload
    async def wait_for_healthy(self, timeout: float = 5.0, *, all_endpoints: Literal[True]) -> HealthReport: ...

    async def wait_for_healthy(
        self, timeout: float = 5.0, *, all_endpoints: bool = False
    ) -> EndpointCheck | HealthReport:
        """Returns the first endpoint that is found healthy; a slow one will do. With `all_endpoints` it waits until
        every endpoint that there is has been found healthy, and returns all of them.

        Raises kit.errors.NoEndpoint, which names each endpoint and why it is not healthy, after `timeout` seconds, and
        UsageTypeError or UsageValueError for what is no number of seconds.
        """
        check_seconds("timeout", timeout)
        if not isinstance(all_endpoints, bool):
            raise UsageTypeError(f"all_endpoints={all_endpoints!r} is neither True nor False")
        return await self._care.wait_for_healthy(timeout, all_endpoints=all_endpoints)

    def force_reconnect(self, address: str | None = None) -> None:
        """Gives every endpoint, or the one of that address, a new connection; calls in flight end over the old one.

        From then on these connections are looked after, as with `warm_up`. Raises kit.errors.UsageError for an address
        that the channel has not.
        """
        self._care.force_reconnect(address)

    def statistics(self) -> ChannelStatistics:
        """What is known of every endpoint by now. Costs calls nothing."""
        return self._care.statistics()

    async def close(self, grace: float | None = None) -> None:
        """Takes no further calls; those in flight get `grace` seconds and are then cancelled."""
        self._care.stop()
        await self._endpoints.close(grace)
        await self._care.stopped()

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
    credentials: grpc.ChannelCredentials | TlsFiles | None = None,
    options: Sequence[tuple[str, Any]] = (),
    compression: grpc.Compression | None = None,
    registry: Registry | None = None,
    breaker_listeners: Sequence[Any] = (),
    on_event: Listener | None = None,
    warm_up: bool = True,
    health: HealthCheck | None = None,
    breaker_storage: layers.StorageFactory | None = None,
) -> Channel:
    """Opens a channel to "host:port", "h:1,h:2", a list, "dns:///host:port", or "local:///name" in the local registry.

    `policy` None takes what the descriptors say; otherwise it is a `MethodPolicy` for every method, a mapping from
    "/package.Service/Method", "/package.Service/*" or "*" to `MethodPolicy`, or the path of a TOML file, which is
    followed when it changes (as the one that KIT_POLICY names). `credentials` are grpc's, or a `kit.TlsFiles`, whose
    files are followed when they change. `options` and `compression` are grpc.aio's, `breaker_listeners` aiobreaker's;
    `on_event` is told what happens to the channel (`kit.client.events`). Nothing is connected or looked up yet when it
    returns.

    `breaker_storage` makes the aiobreaker storage of a breaker, from the endpoint's address, on a thread of its own.
    Breakers are written to their storages and never read from them. Methods with different breakers have several at one
    endpoint, and each is to be given a storage of its own.

    With `warm_up` all endpoints are connected in the background, 100 ms later, and connections that are lost are made
    again; without it only calls connect, as on a bare channel. With `health` every endpoint is checked by
    grpc.health.v1 at intervals, and goes without calls while it is unhealthy and others are not. That is off unless
    asked for: the checks are calls that servers see, count and log, and they keep idle connections open.

    Raises ConfigurationError for what is no target, PolicyError for a policy that is wrong, and UsageTypeError or
    UsageValueError for any other argument.
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
        warm_up=warm_up,
        health=health,
        breaker_storage=breaker_storage,
    )
