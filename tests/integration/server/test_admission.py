"""A server that protects itself: who is let in, in what order, and what the others are told. Over loopback gRPC."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

import kit
from kit.errors import details_of
from kit.server import Server
from tests.integration.client.caring import eventually
from tests.integration.server.certificates import Ca
from tests.integration.server.conftest import Serve, Served
from tests.integration.server.echo import SERVICE, Context, Echo, add_echo, call, failure, start_call

PRIORITY = "kit-priority"
#: One call at a time.
ONE = kit.Admission(max_concurrent=1, adaptive=False)
UNARY = f"/{SERVICE}/UnaryUnary"


class Held:
    """Handlers of calls named "hold" wait until they are let go; the others return at once."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.go = asyncio.Event()

    async def __call__(self, text: str, context: Context) -> None:
        self.begun.append(text)
        if text == "hold":
            await self.go.wait()
        if text == "crash":
            raise RuntimeError("told to")


def limit(server: Server, kind: str) -> Any:
    return next(one for one in server.limits() if one.kind == kind)


class Busy:
    """A server with one call inside, behind which others can be queued in an order that is certain."""

    def __init__(self, served: Served, held: Held) -> None:
        self.served, self.held = served, held
        self.calls: list[Any] = []

    @property
    def server(self) -> Server:
        return self.served.server

    def waiting(self) -> int:
        return int(limit(self.server, "queue").used)

    async def begin(self) -> None:
        self.calls.append(start_call(self.served.channel, "UnaryUnary", "hold"))
        await eventually(lambda: bool(self.held.begun))

    async def queue(self, text: str, priority: str = "", name: str = "UnaryUnary", **options: Any) -> Any:
        before = self.waiting()
        metadata = {"metadata": ((PRIORITY, priority),)} if priority else {}
        made = start_call(self.served.channel, name, text, **metadata, **options)
        self.calls.append(made)
        await eventually(lambda: self.waiting() == before + 1)
        return made

    async def end(self) -> list[Any]:
        self.held.go.set()
        async with asyncio.timeout(20):
            return await asyncio.gather(*self.calls, return_exceptions=True)


async def busy(serve: Serve, **options: Any) -> Busy:
    held = Held()
    made = Busy(await serve(held, **{"admission": ONE, **options}), held)
    await made.begin()
    return made


# Order


async def test_what_matters_more_is_served_first(serve: Serve) -> None:
    policy = {UNARY: kit.MethodPolicy(priority=kit.Priority.CRITICAL)}
    one = await busy(serve, policy=policy)
    await one.queue("sheddable", "sheddable")
    await one.queue("default", "default")
    await one.queue("critical")
    await one.end()
    assert one.held.begun == ["hold", "critical", "default", "sheddable"]


async def test_calls_of_one_priority_are_served_in_the_order_in_which_they_came(serve: Serve) -> None:
    one = await busy(serve)
    names = [f"call {number}" for number in range(8)]
    for name in names:
        await one.queue(name)
    await one.end()
    assert one.held.begun == ["hold", *names]


async def test_metadata_cannot_raise_a_call_above_its_policy(serve: Serve) -> None:
    one = await busy(serve)
    await one.queue("default")
    await one.queue("says it is critical", "critical")
    await one.queue("says nonsense", "very")
    await one.end()
    assert one.held.begun == ["hold", "default", "says it is critical", "says nonsense"]


@pytest.mark.parametrize(("name", "first"), [("spiffe://shop.example/sa/gateway", True), ("other.example", False)])
async def test_a_peer_that_is_trusted_may_raise_a_call(tmp_path: Path, name: str, first: bool) -> None:
    ca, held = Ca(tmp_path), Held()
    pair, client = ca.issue("server", "localhost", "127.0.0.1"), ca.issue("client", name)
    server = Server(
        "echo",
        tls=kit.ServerTls(certificate_chain=pair.chain, private_key=pair.key, client_ca=ca.root),
        listen="127.0.0.1:0",
        register=False,
        grace=0.0,
        admission=kit.Admission(
            max_concurrent=1, adaptive=False, trusted_peers=("spiffe://shop.example/sa/*", "gateway.example")
        ),
    )
    echo = Echo(held)
    async with server.add(echo, add_echo):
        files = kit.TlsFiles(root_certificates=ca.root, private_key=client.key, certificate_chain=client.chain)
        async with kit.channel(server.address, credentials=files) as channel:
            one = Busy(Served(server, echo, channel), held)
            await one.begin()
            await one.queue("default")
            await one.queue("critical", "critical")
            await one.end()
    assert held.begun[1] == ("critical" if first else "default")


# Who does not get in


async def test_a_call_that_expires_while_it_waits_is_refused_and_never_runs(serve: Serve) -> None:
    one = await busy(serve)
    late = await one.queue("late", timeout=0.3)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await late
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await eventually(lambda: one.waiting() == 0)
    await one.end()
    assert one.held.begun == ["hold"]


async def test_who_gives_up_while_waiting_frees_the_place(serve: Serve) -> None:
    one = await busy(serve, admission=kit.Admission(max_concurrent=1, adaptive=False, max_queued=1))
    given_up = await one.queue("given up")
    given_up.cancel()
    await eventually(lambda: one.waiting() == 0)
    await one.queue("next")
    await one.end()
    assert one.held.begun == ["hold", "next"]


async def test_where_nobody_may_wait_any_more_a_call_is_refused_with_a_time_to_come_back(serve: Serve) -> None:
    one = await busy(serve, admission=kit.Admission(max_concurrent=1, adaptive=False, max_queued=1))
    await one.queue("waits")
    error = await failure(one.served.channel, "UnaryUnary", "too many")
    said = details_of(error)
    assert (said.code, said.reason, said.domain) == (grpc.StatusCode.UNAVAILABLE, "OVERLOADED", "kit")
    assert said.retry_after is not None
    assert 0.5 <= said.retry_after <= 1.5
    trailing = dict(error.trailing_metadata() or ())
    assert trailing["grpc-retry-pushback-ms"] == str(round(said.retry_after * 1000))
    await one.end()
    assert one.held.begun == ["hold", "waits"]
    assert limit(one.server, "queue").rejected == 1


@pytest.mark.parametrize("name", ["UnaryStream", "UnaryWrite", "StreamUnary", "StreamStream", "ReadWrite"])
async def test_calls_of_every_shape_are_refused_alike(serve: Serve, name: str) -> None:
    one = await busy(serve, admission=kit.Admission(max_concurrent=1, adaptive=False, max_queued=1))
    await one.queue("waits")
    error = await failure(one.served.channel, name)
    assert (error.code(), details_of(error).reason) == (grpc.StatusCode.UNAVAILABLE, "OVERLOADED")
    await one.end()


async def test_what_is_refused_is_not_even_parsed() -> None:
    parsed: list[bytes] = []
    held = Held()

    def parse(raw: bytes) -> StringValue:
        parsed.append(raw)
        return StringValue.FromString(raw)

    async def serve(request: StringValue, context: Context) -> StringValue:
        await held(request.value, context)
        return request

    rpc = grpc.unary_unary_rpc_method_handler(
        serve, request_deserializer=parse, response_serializer=StringValue.SerializeToString
    )
    generic = grpc.method_handlers_generic_handler(SERVICE, {"UnaryUnary": rpc})
    admission = kit.Admission(max_concurrent=1, adaptive=False, max_queued=1)
    server = Server("echo", listen="127.0.0.1:0", register=False, grace=0.0, admission=admission)
    server.add(None, lambda _, to: to.add_generic_rpc_handlers((generic,)))
    async with server, grpc.aio.insecure_channel(server.address) as channel:
        one = Busy(Served(server, Echo(), channel), held)
        await one.begin()
        await one.queue("waits")
        await failure(channel, "UnaryUnary", "refused")
        assert len(parsed) == 2
        await one.end()


async def test_a_call_that_finds_no_room_takes_that_of_one_that_matters_less(serve: Serve) -> None:
    one = await busy(serve, admission=kit.Admission(max_concurrent=1, adaptive=False, max_queued=1))
    less = await one.queue("sheddable", "sheddable")
    more = start_call(one.served.channel, "UnaryUnary", "default")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await less
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    await one.end()
    assert (await more).value == "default"
    assert one.held.begun == ["hold", "default"]


async def test_a_handler_that_crashes_gives_its_place_back(serve: Serve) -> None:
    one = await busy(serve)
    await one.queue("crash")
    await one.queue("after it")
    await one.end()
    assert one.held.begun == ["hold", "crash", "after it"]
    await eventually(lambda: limit(one.server, "concurrency").used == 0)


async def test_a_call_that_is_cancelled_while_it_runs_gives_its_place_back(serve: Serve) -> None:
    one = await busy(serve)
    after = await one.queue("after it")
    one.calls[0].cancel()
    assert (await after).value == "after it"
    await eventually(lambda: limit(one.server, "concurrency").used == 0)


async def test_when_the_server_stops_those_who_wait_are_sent_elsewhere(serve: Serve) -> None:
    one = await busy(serve, grace=20.0)
    waiting = [await one.queue(f"call {number}") for number in range(3)]
    stopping = asyncio.ensure_future(one.server.stop())
    for made in waiting:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await made
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert details_of(caught.value).reason == "STOPPING"
    one.held.go.set()
    await stopping
    assert (await one.calls[0]).value == "hold"
    assert one.held.begun == ["hold"]


async def test_without_admission_all_calls_run(serve: Serve) -> None:
    held = Held()
    served = await serve(held, admission=None)
    calls = [start_call(served.channel, "UnaryUnary", "hold") for _ in range(50)]
    await eventually(lambda: len(held.begun) == 50)
    held.go.set()
    await asyncio.gather(*calls)
    assert served.server.limits() == []


async def test_by_default_a_thousand_calls_at_once_are_all_answered(serve: Serve) -> None:
    served = await serve()
    calls = [start_call(served.channel, "UnaryUnary", str(number)) for number in range(1000)]
    assert [answer.value for answer in await asyncio.gather(*calls)] == [str(number) for number in range(1000)]
    assert sum(one.rejected for one in served.server.limits()) == 0


# Streams


@pytest.mark.parametrize("name", ["UnaryStream", "UnaryWrite", "StreamUnary", "StreamStream", "ReadWrite"])
async def test_a_stream_that_is_open_takes_no_place(serve: Serve, name: str) -> None:
    held = Held()
    served = await serve(held, admission=ONE)
    stream = start_call(served.channel, name, "hold")
    await eventually(lambda: held.begun == ["hold"])
    assert limit(served.server, "concurrency").used == 0
    assert await call(served.channel, "UnaryUnary", "passes") == ["passes"]
    stream.cancel()


@pytest.mark.parametrize("name", ["UnaryStream", "StreamUnary", "StreamStream"])
async def test_a_stream_waits_for_its_turn_to_begin(serve: Serve, name: str) -> None:
    one = await busy(serve)
    stream = start_call(one.served.channel, name, "stream")
    await eventually(lambda: one.waiting() == 1)
    assert one.held.begun == ["hold"]
    one.held.go.set()
    if name == "StreamUnary":
        assert (await stream).value == "stream"
    else:
        assert {response.value async for response in stream} == {"stream"}


# Those who look after it


async def test_health_and_reflection_are_answered_while_nobody_else_is_let_in(serve: Serve) -> None:
    one = await busy(serve, admission=kit.Admission(max_concurrent=1, adaptive=False, max_queued=1))
    await one.queue("waits")
    assert (await failure(one.served.channel, "UnaryUnary")).code() is grpc.StatusCode.UNAVAILABLE
    health = health_pb2_grpc.HealthStub(one.served.channel)
    async with asyncio.timeout(10):
        answer = await health.Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        reflection = reflection_pb2_grpc.ServerReflectionStub(one.served.channel)
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        async for found in reflection.ServerReflectionInfo(iter([asked])):
            assert SERVICE in {service.name for service in found.list_services_response.service}
            break
    await one.end()


# Rates


async def test_a_method_takes_no_more_calls_a_second_than_its_policy_says(serve: Serve) -> None:
    policy = {UNARY: kit.MethodPolicy(rate=kit.RatePolicy(per_second=0.1))}
    served = await serve(policy=policy)
    assert await call(served.channel, "UnaryUnary", "first") == ["first"]
    error = await failure(served.channel, "UnaryUnary", "second")
    said = details_of(error)
    assert (said.code, said.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
    assert said.retry_after is not None
    assert 5 < said.retry_after <= 10
    assert await call(served.channel, "UnaryStream", "another method") == ["another method"] * 2
    rate = limit(served.server, "rate")
    assert (rate.name, rate.limit, rate.rejected) == (UNARY, 0.1, 1)


async def test_a_rate_holds_without_admission_too(serve: Serve) -> None:
    policy = {UNARY: kit.MethodPolicy(rate=kit.RatePolicy(per_second=0.1))}
    served = await serve(policy=policy, admission=None)
    assert await call(served.channel, "UnaryUnary", "first") == ["first"]
    assert (await failure(served.channel, "UnaryUnary")).code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_stock_server_is_protected_as_well() -> None:
    held = Held()
    interceptors = kit.server_interceptors(admission=kit.Admission(max_concurrent=1, adaptive=False, max_queued=0))
    server = grpc.aio.server(interceptors=interceptors)
    add_echo(Echo(held), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        first = start_call(channel, "UnaryUnary", "hold")
        await eventually(lambda: held.begun == ["hold"])
        assert (await failure(channel, "UnaryUnary")).code() is grpc.StatusCode.UNAVAILABLE
        held.go.set()
        await first
    await server.stop(0)


# What is handed on


class Hop:
    """Makes a call inside, and notes what the callee was told."""

    def __init__(self) -> None:
        self.inner: Any = None
        self.told: list[str | bytes | None] = []

    async def __call__(self, text: str, context: Context) -> None:
        self.told.append(next((value for key, value in context.invocation_metadata() or () if key == PRIORITY), None))
        if text == "outer":
            await call(self.inner, "UnaryUnary", "inner")


@pytest.mark.parametrize("stock", [False, True])
@pytest.mark.parametrize(
    ("said", "policy", "told"),
    [
        ("sheddable", {}, "sheddable"),
        ("default", {}, "default"),
        ("", {}, None),
        ("critical", {}, "default"),
        ("", {UNARY: kit.MethodPolicy(priority=kit.Priority.SHEDDABLE)}, "sheddable"),
    ],
)
async def test_the_priority_of_a_call_is_that_of_the_calls_made_inside(
    serve: Serve, said: str, policy: dict[str, kit.MethodPolicy], told: str | None, stock: bool
) -> None:
    hop = Hop()
    served = await serve(hop, policy=policy)
    if stock:
        inner: Any = grpc.aio.insecure_channel(served.server.address, interceptors=kit.client_interceptors())
    else:
        inner = kit.channel(served.server.address)
    async with inner:
        hop.inner = inner
        metadata = {"metadata": ((PRIORITY, said),)} if said else {}
        await call(served.channel, "UnaryUnary", "outer", **metadata)
    assert hop.told == [said or None, told]


@pytest.mark.parametrize("name", ["UnaryUnary", "UnaryStream", "StreamUnary", "StreamStream"])
async def test_a_client_says_how_much_its_calls_matter(serve: Serve, name: str) -> None:
    hop = Hop()
    served = await serve(hop)
    async with kit.channel(served.server.address) as channel:
        with kit.priority(kit.Priority.SHEDDABLE):
            await call(channel, name)
            await call(channel, name, metadata=((PRIORITY, "default"), ("x", "y")))
            await call(channel, name, metadata=(("x", "y"),))
        await call(channel, name)
    assert hop.told == ["sheddable", "default", "sheddable", None]


def test_a_priority_is_one_of_three() -> None:
    with pytest.raises(kit.errors.UsageTypeError, match="priority must be one of"), kit.priority("low"):  # type: ignore[arg-type]
        raise AssertionError


async def test_whoever_scrapes_sees_who_runs_waits_and_was_refused(serve: Serve) -> None:
    policy = {f"/{SERVICE}/UnaryStream": kit.MethodPolicy(rate=kit.RatePolicy(per_second=0.001))}
    one = await busy(serve, admission=kit.Admission(max_concurrent=1, adaptive=False, max_queued=1), policy=policy)
    await one.queue("waits")
    await failure(one.served.channel, "UnaryUnary")
    await failure(one.served.channel, "UnaryStream")
    await failure(one.served.channel, "UnaryStream")
    seen = kit.observe.metrics.exposition().decode()
    assert 'kit_server_calls_refused_total{priority="default",reason="queue_full"}' in seen
    assert f'kit_server_rate_refused_total{{method="{SERVICE}/UnaryStream"}}' in seen
    assert "kit_server_calls_running " in seen
    assert "kit_server_calls_waiting " in seen
    await one.end()
