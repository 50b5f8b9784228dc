"""The ways to have traces and metrics that are compared: what a client does, what a server does, and what both set up.

Each side of each variant is a process of its own, because telemetry belongs to a process.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc
import grpc.aio
from opentelemetry import trace

import kit
from bench.echo import MESSAGE, Stub, add_echo
from bench.variants import BARE, POLICY, Once

__all__ = ["NEEDS_OTHERS", "VARIANTS", "Variant"]

#: Given "host:port" of a collector, or of a server: a server that runs and its address; something to await per call.
Serving: TypeAlias = Callable[[str], AbstractAsyncContextManager[str]]
Calling: TypeAlias = Callable[[str, str], AbstractAsyncContextManager[Once]]


@dataclass(frozen=True, slots=True)
class Variant:
    """`serve` takes the collector's address; `call` the server's, then the collector's."""

    serve: Serving
    call: Calling


@asynccontextmanager
async def _bare_serve(_collector: str) -> AsyncIterator[str]:
    server = grpc.aio.server()
    add_echo(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(0)


@asynccontextmanager
async def _bare_call(address: str, _collector: str) -> AsyncIterator[Once]:
    async with grpc.aio.insecure_channel(address) as channel:
        unary = Stub(channel).Unary
        yield lambda: unary(MESSAGE)


def _kit(ratio: float | None, *, traces: bool = True) -> Variant:
    """With everything that `setup` turns on; with nothing where `ratio` is None."""

    def set_up(name: str, collector: str) -> Callable[[], None]:
        if ratio is None:
            return lambda: None
        endpoint = f"http://{collector}" if traces else None
        telemetry = kit.observe.setup(name, otlp_endpoint=endpoint, sample_ratio=ratio, metrics=True)
        assert telemetry is not None
        return telemetry.shutdown

    @asynccontextmanager
    async def serve(collector: str) -> AsyncIterator[str]:
        shut_down = set_up("server", collector)
        server = kit.Server("bench", listen="127.0.0.1:0", register=False, grace=0.0)
        server.add(None, lambda _servicer, recorder: add_echo(recorder))
        async with server:
            yield server.address
        shut_down()

    @asynccontextmanager
    async def call(address: str, collector: str) -> AsyncIterator[Once]:
        shut_down = set_up("client", collector)
        async with kit.channel(address, policy=POLICY) as channel:
            unary = Stub(channel).Unary
            yield lambda: unary(MESSAGE)
        shut_down()

    return Variant(serve, call)


def _sdk(name: str, collector: str) -> Any:
    """The official SDK as its documentation sets it up: every trace taken, batches over OTLP."""
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    # A process that makes some thousand calls a second needs a longer queue than the default, or most are dropped.
    exporter = OTLPSpanExporter(endpoint=f"http://{collector}", insecure=True)
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=16_384))
    return provider


@asynccontextmanager
async def _served_by(interceptors: Sequence[Any]) -> AsyncIterator[str]:
    server = grpc.aio.server(interceptors=interceptors)
    add_echo(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(0)


@asynccontextmanager
async def _instrumented_serve(collector: str) -> AsyncIterator[str]:
    from opentelemetry.instrumentation.grpc import aio_server_interceptor  # type: ignore[import-not-found, unused-ignore]

    provider = _sdk("server", collector)
    async with _served_by([aio_server_interceptor(tracer_provider=provider)]) as address:
        yield address
    provider.shutdown()


@asynccontextmanager
async def _instrumented_call(address: str, collector: str) -> AsyncIterator[Once]:
    from opentelemetry.instrumentation.grpc import aio_client_interceptors  # type: ignore[import-not-found, unused-ignore]

    provider = _sdk("client", collector)
    interceptors = aio_client_interceptors(tracer_provider=provider)
    async with grpc.aio.insecure_channel(address, interceptors=interceptors) as channel:
        unary = Stub(channel).Unary
        yield lambda: unary(MESSAGE)
    provider.shutdown()


@asynccontextmanager
async def _kits_serve(collector: str) -> AsyncIterator[str]:
    from grpc_server_kit.aio import interceptors  # type: ignore[import-not-found, unused-ignore]
    from grpc_server_kit.observability.metrics import GrpcServerMetrics  # type: ignore[import-not-found, unused-ignore]

    provider = _sdk("server", collector)
    chain = [
        interceptors.AsyncTracingInterceptor("bench", tracer=provider.get_tracer("bench")),
        interceptors.AsyncMetricsInterceptor(GrpcServerMetrics(), "bench"),
    ]
    async with _served_by(chain) as address:
        yield address
    provider.shutdown()


@asynccontextmanager
async def _kits_call(address: str, collector: str) -> AsyncIterator[Once]:
    import grpc_client_kit as theirs  # type: ignore[import-not-found, unused-ignore]
    from grpc_client_kit import interceptors
    from grpc_client_kit.metrics import GrpcClientMetrics  # type: ignore[import-not-found, unused-ignore]

    provider = _sdk("client", collector)
    trace.set_tracer_provider(provider)  # it takes none as an argument
    watched = interceptors.ObservabilityConfig(
        tracing=True, metrics=True, logging=False, service_name="bench", metrics_registry=GrpcClientMetrics()
    )

    def chain(_target: str) -> Any:
        return interceptors.build_interceptors(
            timeout=interceptors.TimeoutConfig(),
            retry=interceptors.RetryConfig(),
            circuit_breaker=interceptors.CircuitBreakerConfig(),
            observability=watched,
        )

    async with theirs.ChannelPool() as pool:
        config = theirs.GrpcClientConfig(target=address, insecure=True)
        async with theirs.GrpcClient(Stub, config=config, pool=pool, interceptor_factory=chain) as stub:
            unary = stub.Unary
            yield lambda: unary(MESSAGE)
    provider.shutdown()


_INSTRUMENTED = "opentelemetry-instrumentation-grpc"
_KITS = "grpc-client-kit + grpc-server-kit"

VARIANTS: Mapping[str, Variant] = {
    BARE: Variant(_bare_serve, _bare_call),
    "kit alone": _kit(None),
    "kit, 100 % traced, metrics": _kit(1.0),
    "kit, 1 % traced, metrics": _kit(0.01),
    "kit, metrics alone": _kit(0.0, traces=False),
    _INSTRUMENTED: Variant(_instrumented_serve, _instrumented_call),
    _KITS: Variant(_kits_serve, _kits_call),
}
#: Those that need packages of others.
NEEDS_OTHERS = frozenset({_INSTRUMENTED, _KITS})
