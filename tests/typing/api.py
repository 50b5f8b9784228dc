"""The public types as a user's type checker sees them. Checked by mypy, never run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, assert_type

import grpc
import grpc.aio
from aiobreaker.state import CircuitBreakerState
from aiobreaker.storage.memory import CircuitMemoryStorage

import kit
from kit.client import ChannelEvent, ChannelStatistics, EndpointCheck, Health, HealthReport, PolicyReloaded
from kit.health import DiskSpace, Finding, HealthEvent, HealthResult
from kit.server import ServerCall
from kit.server.idempotency import MemoryStore, SqlStore, effect
from kitapi.v1 import events_pb2
from loganalyzer.cache.v1 import cache_pb2, cache_pb2_grpc


async def operations() -> None:
    server = kit.Server("cache", admin="write")
    assert_type(server.draining, bool)
    kit.events.publish(events_pb2.CacheHit(key="k"), subject="caches/k")
    async for event in kit.events.bus().watch(after=7):
        assert_type(event, events_pb2.Event)
        with kit.events.caused_by(event):
            break
    with kit.discovery.Ports().allocate("search", 1421) as lease:
        assert_type(lease.port, int)


async def health(server: kit.Server) -> None:
    async def ping() -> int:
        return 1

    async def find() -> Finding:
        return Finding(Health.DEGRADED, "slow", {"seconds": "2"})

    one = server.depends_on("database", ping).depends_on("disk", DiskSpace(Path("/data")), every=10.0)
    assert_type(one.depends_on("billing", "dns:///billing:50051", required=False).warm_up(find), kit.Server)

    def told(event: HealthEvent) -> None: ...

    remove = server.components.listen(told)
    assert_type(remove(), None)
    assert_type(server.health_components(), list[HealthResult])


async def client() -> None:
    channel = kit.channel("dns:///cache:50051")
    stub = cache_pb2_grpc.CacheServiceStub(channel)
    reply = await stub.Get(cache_pb2.GetRequest(key="k"), timeout=1.0)
    assert_type(reply, cache_pb2.GetResponse)
    assert_type(kit.deadline().remaining(), float)
    with kit.timeout(0.5) as deadline:
        assert_type(deadline, kit.Deadline)
    with kit.reports() as seen:
        assert_type(seen, list[kit.CallReport])
    try:
        await stub.Get(cache_pb2.GetRequest(key="k"))
    except kit.errors.CallRefused as error:
        assert_type(error.code(), grpc.StatusCode)
        assert_type(error.report, kit.CallReport | None)
    except grpc.aio.AioRpcError as error:
        assert_type(kit.errors.details_of(error), kit.errors.ErrorDetails)
    policy = kit.MethodPolicy(timeout=1.0, retry=kit.RetryPolicy(max_attempts=3))
    kit.channel("h:1", policy=kit.MethodPolicy(concurrency=kit.ConcurrencyPolicy(max_concurrent=9, max_queued=3)))
    refusal = kit.errors.TooManyCalls("", limit=9)
    assert_type(refusal.limit, int)
    kit.channel(["h:1", "h:2"], policy={"/pkg.Service/*": policy})
    kit.channel("h:1", policy=kit.MethodPolicy(retry=kit.RetryPolicy(max_attempts=3, replay_buffer_bytes=1000)))
    key = kit.IdempotencyKeyPolicy(mode=kit.policy.IdempotencyKeyMode.REQUIRED, ttl=86400.0)
    fallback = kit.FallbackPolicy(
        cached_for=60.0, method="GetCached", default_json="{}", status_codes=[grpc.StatusCode.UNAVAILABLE]
    )
    kit.channel("h:1", policy=kit.MethodPolicy(idempotency_key=key, fallback=fallback))
    assert_type(seen[0].idempotency_key, str)
    assert_type((seen[0].degraded, seen[0].failure), tuple[str, str])
    kit.channel("h:1", warm_up=False, health=kit.HealthCheck(interval=10.0, service="pkg.Service"))
    assert_type(await channel.check_now(), HealthReport)
    assert_type(await channel.wait_for_healthy(1.0), EndpointCheck)
    assert_type(await channel.wait_for_healthy(1.0, all_endpoints=True), HealthReport)
    kit.channel("h:1", breaker_storage=lambda address: CircuitMemoryStorage(CircuitBreakerState.CLOSED))
    kinds = kit.MethodPolicy(
        preset=kit.Preset.PRODUCTION,
        retry=kit.RetryPolicy(jitter=kit.Jitter.FULL),
        breaker=kit.BreakerPolicy(kind=kit.BreakerKind.TIME_WINDOW),
        balance=kit.BalancePolicy(kind=kit.BalanceKind.ROUND_ROBIN),
    )
    kit.channel("h:1", policy=kinds, on_event=told)
    kit.discovery.Registry("folder")
    kit.discovery.Registry(Path("folder"))
    assert_type(channel.statistics(), ChannelStatistics)
    assert_type(channel.statistics().endpoints[0].health, Health)
    channel.force_reconnect(address="h:1")
    kit.channel("dns:///h:1", credentials=kit.TlsFiles(root_certificates=Path("ca.pem"), server_name="h"))
    grpc.aio.insecure_channel("h:1", interceptors=kit.client_interceptors())


def told(event: ChannelEvent) -> None:
    if isinstance(event, PolicyReloaded):
        assert_type(event.accepted, bool)


class Anybody:
    async def authenticate(self, call: ServerCall) -> kit.auth.Principal | None:
        assert_type(call.metadata, tuple[tuple[str, str | bytes], ...])
        return None


async def server(servicer: cache_pb2_grpc.CacheServiceServicer) -> None:
    one = kit.Server("cache", max_connection_age=600, single_process="it remembers").add(
        servicer, cache_pb2_grpc.add_CacheServiceServicer_to_server
    )
    assert_type(kit.run(one, workers=2, argv=["--workers", "4"]), int)
    assert_type(one, kit.Server)
    assert_type(await one.start(), int)
    await one.stop()
    grpc.aio.server(interceptors=kit.server_interceptors(validate=False, access_log=True))
    kit.Server(
        "cache",
        access_log=kit.AccessLog(sample=0.1, slow=0.5),
        errors={LookupError: kit.errors.NotFound, ValueError: lambda error: kit.errors.Aborted(str(error))},
    )
    kit.observe.channel("business").info("imported", lines=10)
    assert_type(kit.observe.redacted(cache_pb2.GetRequest(key="a")), dict[str, Any])
    guarded = kit.Server(
        "cache",
        authenticators=[
            kit.auth.JwtAuthenticator("https://issuer", ["cache"], jwks=Path("jwks.json"), algorithms=["RS256"]),
            kit.auth.ApiKeys({kit.auth.digest_of("key"): kit.auth.Principal("ann", {"cache.read"}, {"admin"})}),
            kit.auth.PeerCertificate({"spiffe://shop.example/**": ["cache.read"]}),
            Anybody(),
        ],
        tls=kit.ServerTls(certificate_chain="tls.crt", private_key=Path("tls.key"), client_ca="ca.pem"),
        limits=kit.ConnectionLimits(max_request_bytes=1024, idle_timeout=60.0),
        admission=kit.Admission(max_queued=200, trusted_peers=("spiffe://shop.example/sa/gateway",)),
        audit=True,
        insecure_ignore_auth=False,
    )
    assert_type(guarded, kit.Server)
    assert_type(guarded.limits()[0].used, float)
    kit.Server("cache", admission=None)
    kit.Server("cache", idempotency=SqlStore("postgresql://kit@db/keys", lease=30.0))
    kit.Server("cache", idempotency=MemoryStore())
    kit.Server("cache", idempotency=False)
    assert_type(kit.idempotency_key(), str | None)
    async with effect(servicer) as connection:
        await connection.execute("any")
    assert_type(kit.principal(), kit.auth.Principal | None)
    assert_type(kit.data_dir(), Path)
