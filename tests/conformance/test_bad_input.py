"""What a user of the client side gets wrong: a typed error that says what to change, before anything is sent.

Each table has what is given, the error, and words of it. The calls are made over `kit.channel`, with and without
retries, and over a stock channel with the kit's interceptors; afterwards the channel still serves, and no call is left.
"""

from __future__ import annotations

import asyncio
import datetime
import decimal
import fractions
import gc
import math
import subprocess
import sys
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2

import kit
from kit.client._asked import METADATA_LIMIT, checked_metadata
from kit.durations import LONGEST
from kit.errors import (
    CallFailed,
    CallRefused,
    ConfigurationError,
    DeadlineExpired,
    InvalidMetadata,
    MetadataTooLarge,
    NoEndpoint,
    PolicyError,
    UsageError,
    UsageTypeError,
    UsageValueError,
)
from kit.policy import IdempotencyKeyPolicy, IdempotencyLevel, OutlierPolicy, RatePolicy
from kitapi.v1 import policy_pb2
from tests.conformance.dropin.served import ECHO, Served, Stub
from tests.unit.policy.declared import NO_SIDE_EFFECTS, Rpc, declare

RETRIED = kit.MethodPolicy(idempotency_level=IdempotencyLevel.IDEMPOTENT, retry=kit.RetryPolicy(max_attempts=3))
MAKERS: dict[str, Any] = {
    "kit.channel": lambda address, **options: kit.channel(address, warm_up=False, **options),
    "kit.channel, retried": lambda address, **options: kit.channel(address, warm_up=False, policy=RETRIED, **options),
    "stock": lambda address: grpc.aio.insecure_channel(address, interceptors=kit.client_interceptors()),
    "stock, retried": lambda address: grpc.aio.insecure_channel(
        address, interceptors=kit.client_interceptors(policy=RETRIED)
    ),
}
ONE_REQUEST, MANY_REQUESTS = ("Echo", "Words"), ("Join", "Relay")


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    calls = Served()
    server = await calls.start()
    yield calls
    calls.release.set()
    await server.stop(0)


class Client:
    """A channel of some kind, and what happened on it."""

    def __init__(self, kind: str, channel: grpc.aio.Channel, served: Served) -> None:
        self.kind = kind
        self.channel = channel
        self.served = served
        self.stub = Stub(channel)

    async def call(self, method: str, *given: Any, **options: Any) -> Any:
        """Makes a call and waits for what comes of it, for at most a few seconds."""
        if not given:
            given = (b"a b",) if method in ONE_REQUEST else ([b"a", b"b"],)
        async with asyncio.timeout(10):
            call = getattr(self.stub, method)(*given, **options)
            return await call if hasattr(call, "__await__") else [message async for message in call]

    async def serves(self) -> bool:
        """Whether nothing has reached the server, and a call does now."""
        sent = len(self.served.seen)
        return sent == 0 and await self.call("Echo", b"well", timeout=10, metadata=(("key", "value"),)) == b"well"


@pytest.fixture(params=list(MAKERS))
async def client(request: pytest.FixtureRequest, served: Served) -> AsyncIterator[Client]:
    async with MAKERS[request.param](served.address) as channel:
        yield Client(request.param, channel, served)


@pytest.fixture
async def open_to(served: Served) -> AsyncIterator[Any]:
    """Opens channels of the kit to the server, and closes them."""
    async with AsyncExitStack() as stack:

        def opened(target: Any = None, **arguments: Any) -> Any:
            channel = kit.channel(served.address if target is None else target, warm_up=False, **arguments)
            stack.push_async_callback(channel.close)
            return channel

        yield opened


# What goes along with a call

SECONDS: list[tuple[Any, type[Exception], str]] = [
    ("5", UsageTypeError, "'5' is no number of seconds; give an int or a float"),
    ([5], UsageTypeError, "no number of seconds"),
    (decimal.Decimal(5), UsageTypeError, "no number of seconds"),
    (datetime.timedelta(seconds=5), UsageTypeError, r"is a timedelta; give its .total_seconds\(\)"),
    (math.nan, UsageValueError, "nan is no number of seconds"),
    (1e300, UsageValueError, "longer than gRPC can count; give at most 3e[+]09, or math.inf"),
    (10**400, UsageValueError, "longer than gRPC can count"),
    (sys.maxsize, UsageValueError, "longer than gRPC can count"),
]


@pytest.mark.parametrize("method", [*ONE_REQUEST, *MANY_REQUESTS])
@pytest.mark.parametrize(("timeout", "error", "words"), SECONDS, ids=lambda value: str(value)[:20])
async def test_a_timeout_that_is_no_number_of_seconds_is_refused(
    client: Client, method: str, timeout: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=f"timeout=.*{words}") as raised:
        await client.call(method, timeout=timeout)
    # grpc.aio raises a TypeError where it raises anything at all.
    assert isinstance(raised.value, TypeError if error is UsageTypeError else ValueError)
    assert await client.serves()


@pytest.mark.parametrize("timeout", [None, 10, 10.5, math.inf, fractions.Fraction(21, 2), LONGEST - 1])
async def test_what_is_a_number_of_seconds_is_one(client: Client, timeout: Any) -> None:
    assert await client.call("Echo", timeout=timeout) == b"a b"


@pytest.mark.parametrize("method", [*ONE_REQUEST, *MANY_REQUESTS])
@pytest.mark.parametrize("timeout", [0, -1, -0.5, -math.inf])
async def test_a_timeout_that_leaves_no_time_says_so(client: Client, method: str, timeout: float) -> None:
    with pytest.raises(DeadlineExpired, match=f"timeout={timeout:g} leaves no time; give more than 0") as refusal:
        await client.call(method, timeout=timeout)
    assert refusal.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert await client.serves()


async def test_a_call_after_the_deadline_around_it_says_whose_that_was(client: Client) -> None:
    with kit.timeout(-1), pytest.raises(DeadlineExpired, match=r"of the call that is served here or of kit.timeout"):
        await client.call("Echo", timeout=5)
    assert await client.serves()


BAD_METADATA: list[tuple[Any, str]] = [
    (5, r'metadata is int 5; give a sequence of pairs: \(\("key", "value"\),\)'),
    ({"key": "value"}, r"is a mapping; give its pairs: tuple\(metadata.items\(\)\)"),
    (object(), "give a sequence of pairs"),
    ([("key", 7)], "the value of 'key' is int 7; give a str"),
    ([("key", ["a"])], "the value of 'key' is list"),
    ([(7, "value")], "the key int 7 is no text"),
    ([(None, "value")], "the key NoneType None is no text"),
    ([("Key", "value")], "the key 'Key' is none: lower-case letters.*; write 'key'"),
    ([("a key", "value")], "the key 'a key' is none: lower-case letters"),
    ([("schlüssel", "value")], "'schlüssel' is none"),
    ([("", "value")], "the key '' is none"),
    ([(":path", "/x")], "what begins with ':' is gRPC's own"),
    ([(b"Key", b"value")], "the key 'Key' is none"),
    ([("key", "wörter")], "not visible ASCII; give it as bytes under the key 'key-bin'"),
    ([("key", "two\nlines")], "not visible ASCII"),
    ([("key", "\udc80")], "not visible ASCII"),
    ([("key", b"\xff")], "not visible ASCII"),
    ([("key-bin", "text")], "keys in -bin hold bytes: encode it, or rename it"),
    ([("key-bin", None)], "keys in -bin hold bytes"),
    ([("grpc-timeout", "1S")], "gRPC's own; give timeout= instead"),
    ([("grpc-encoding", "gzip")], "gRPC's own; give compression= instead"),
    ([("grpc-status", "5")], "a status is the server's to send"),
]


@pytest.mark.parametrize(("metadata", "words"), BAD_METADATA, ids=lambda value: str(value)[:30])
@pytest.mark.parametrize("method", [*ONE_REQUEST, *MANY_REQUESTS])
async def test_metadata_that_cannot_be_sent_is_refused(client: Client, method: str, metadata: Any, words: str) -> None:
    for _ in range(2):  # a key that was found bad is not taken for one that was found good
        with pytest.raises(InvalidMetadata, match=words) as raised:
            await client.call(method, metadata=metadata)
    # Which of these grpc.aio raises depends on what is wrong.
    assert isinstance(raised.value, UsageError)
    assert isinstance(raised.value, (TypeError))
    assert isinstance(raised.value, (ValueError))
    assert isinstance(raised.value, grpc.aio.InternalError)
    assert await client.serves()


@pytest.mark.parametrize("metadata", ["text", [("key",)], [("key", "value", "more")], ["key", "value"]])
async def test_metadata_of_which_no_pairs_can_be_made_is_a_value_error(client: Client, metadata: Any) -> None:
    # A stock channel raises it, before it asks interceptors.
    with pytest.raises(ValueError, match=r"no pair|sequence of pairs|values to unpack") as raised:
        await client.call("Echo", metadata=metadata)
    assert client.kind.startswith("stock") or isinstance(raised.value, InvalidMetadata)
    assert await client.serves()


def pairs() -> Iterator[tuple[str, str]]:
    yield "key", "value"


@pytest.mark.parametrize(
    "metadata",
    [
        (("key", "value"),),
        [["key", "value"]],
        grpc.aio.Metadata(("key", "value")),
        pairs,
        ((b"key", b"value"),),
        (("key", b"value"),),
    ],
    ids=str,
)
async def test_metadata_is_taken_in_every_form_in_which_grpc_takes_it(client: Client, metadata: Any) -> None:
    for _ in range(2):
        await client.call("Echo", metadata=metadata() if callable(metadata) else metadata)
        assert client.served.header("key") == "value"


@pytest.mark.parametrize("metadata", [None, (), [], {}, ""])
async def test_nothing_is_no_metadata(client: Client, metadata: Any) -> None:
    assert await client.call("Echo", metadata=metadata) == b"a b"


LARGE = (("small", "x"), ("large", "x" * METADATA_LIMIT))
LARGE_BYTES = (("small", "x"), ("large-bin", b"\xff" * METADATA_LIMIT))


@pytest.mark.parametrize("method", [*ONE_REQUEST, *MANY_REQUESTS])
@pytest.mark.parametrize("metadata", [LARGE, LARGE_BYTES], ids=["text", "bytes"])
async def test_metadata_over_the_limit_is_refused_with_its_size_and_its_largest_key(
    client: Client, method: str, metadata: Any
) -> None:
    key = metadata[1][0]
    size = 32 * 2 + len("small") + 1 + len(key) + METADATA_LIMIT
    with kit.reports() as seen, pytest.raises(MetadataTooLarge) as refusal:
        await client.call(method, metadata=metadata)
    error = refusal.value
    assert isinstance(error, CallRefused)
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (error.size, error.limit, error.key) == (size, METADATA_LIMIT, key)
    assert f"{size} bytes and {METADATA_LIMIT} are allowed; the largest is {key!r} with {METADATA_LIMIT}" in str(error)
    assert "nothing was sent" in str(error)
    assert "max_metadata_size" in str(error)
    [report] = seen
    assert (report.attempts, report.code) == ((), grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert kit.report(error).method == f"/dropin.Calls/{method}"
    assert await client.serves()


async def test_a_bare_channel_sends_it_and_the_server_refuses(served: Served) -> None:
    async with grpc.aio.insecure_channel(served.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError, match="received metadata size exceeds hard limit"):
            await Stub(channel).Echo(b"x", metadata=LARGE)
        assert await Stub(channel).Echo(b"x") == b"x"
    assert len(served.seen) == 1


@pytest.mark.parametrize("option", ["grpc.max_metadata_size", "grpc.absolute_max_metadata_size"])
async def test_who_says_that_the_server_takes_more_may_send_more(option: str) -> None:
    generous = Served()
    server = await generous.start(
        options=(("grpc.max_metadata_size", 1 << 17), ("grpc.absolute_max_metadata_size", 1 << 17))
    )
    interceptors = kit.client_interceptors(max_metadata_size=1 << 16)
    async with (
        kit.channel(generous.address, options=((option, 1 << 16),)) as channel,
        grpc.aio.insecure_channel(generous.address, interceptors=interceptors) as stock,
    ):
        for each in (channel, stock):
            assert await Stub(each).Echo(b"x", metadata=LARGE) == b"x"
            with pytest.raises(MetadataTooLarge, match="65536 are allowed"):
                await Stub(each).Echo(b"x", metadata=LARGE * 4)
    await server.stop(0)


async def test_what_is_within_the_limit_is_the_servers_to_judge(client: Client) -> None:
    # gRPC's servers refuse from half of the limit on, the more the nearer.
    with pytest.raises(CallFailed, match="exceeds hard limit"):
        await client.call("Echo", metadata=(("large", "x" * (METADATA_LIMIT - 40)),))


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"credentials": "token"}, UsageTypeError, "are not those of a call; make them with grpc.access_token"),
        ({"credentials": grpc.ssl_channel_credentials()}, UsageTypeError, "those of a channel go to kit.channel"),
        ({"wait_for_ready": "no"}, UsageTypeError, "'no' is a text, which is always true; give True or False"),
        ({"compression": "gzip"}, UsageValueError, "give grpc.Compression.NoCompression, .*, or None"),
        ({"compression": 99}, UsageValueError, "is none that gRPC has"),
        ({"compression": [1]}, UsageValueError, "is none that gRPC has"),
    ],
    ids=str,
)
@pytest.mark.parametrize("method", [*ONE_REQUEST, *MANY_REQUESTS])
async def test_other_options_of_a_call_are_refused_at_once(
    open_to: Any, served: Served, method: str, given: Any, error: type[Exception], words: str
) -> None:
    client = Client("kit.channel", open_to(), served)
    with pytest.raises(error, match=words):
        getattr(client.stub, method)(**({"request": b"x"} if method in ONE_REQUEST else {}), **given)
    assert await client.serves()


# Requests


@pytest.mark.parametrize("method", ONE_REQUEST)
@pytest.mark.parametrize("request_", ["text", 5, object()], ids=str)
async def test_a_request_that_cannot_be_serialised_is_named(client: Client, method: str, request_: Any) -> None:
    kind = type(request_).__name__
    with pytest.raises(UsageTypeError, match=f"/dropin.Calls/{method}: the request, {kind} .* cannot be serialised"):
        await client.call(method, request_)
    assert await client.serves()


async def test_an_error_of_a_serializers_own_stays_what_it_is(open_to: Any, served: Served) -> None:
    class OwnError(Exception):
        pass

    def serialize(request: Any) -> bytes:
        raise OwnError("not today")

    with pytest.raises(OwnError, match="not today"):
        await open_to().unary_unary(ECHO, serialize)(b"x")
    with pytest.raises(UsageValueError, match=r"cannot be serialised \(invalid literal") as raised:
        await open_to().unary_unary(ECHO, lambda request: bytes([int(request)]))("x")
    assert isinstance(raised.value.__cause__, ValueError)
    assert served.seen == []


async def test_a_message_of_another_type_than_the_methods_is_not_sent(open_to: Any, served: Served) -> None:
    # Protobuf serialises any message, and the server would take it for what it is not.
    check: Any = open_to().unary_unary("/grpc.health.v1.Health/Check", health_pb2.HealthCheckRequest.SerializeToString)
    with pytest.raises(UsageTypeError, match=r"it is a kitapi\.v1\.MethodPolicy\); .*HealthCheckRequest"):
        await check(policy_pb2.MethodPolicy())
    with pytest.raises(UsageTypeError, match=r"the request, str 'text', .*takes grpc\.health\.v1\.HealthCheckRequest"):
        await check("text")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(health_pb2.DESCRIPTOR.serialized_pb)
    same = message_factory.GetMessageClass(pool.FindMessageTypeByName("grpc.health.v1.HealthCheckRequest"))
    for request in (health_pb2.HealthCheckRequest(), same()):
        with pytest.raises(CallFailed, match="Method not found"):
            await check(request)


@pytest.mark.parametrize("method", MANY_REQUESTS)
@pytest.mark.parametrize("kind", ["kit.channel", "kit.channel, retried"])
async def test_a_message_that_cannot_be_serialised_is_not_written(served: Served, kind: str, method: str) -> None:
    async with MAKERS[kind](served.address) as channel:
        make: Any = getattr(channel, "stream_unary" if method == "Join" else "stream_stream")
        call = make(f"/dropin.Calls/{method}", lambda request: bytes([int(request)]))()

        async def written() -> None:
            await call.write("x")
            await call.done_writing()
            await (call if method == "Join" else call.read())

        with pytest.raises((UsageValueError, asyncio.CancelledError)):
            await written()
        call.cancel()


async def forgotten() -> list[bytes]:
    return [b"a"]


async def requests() -> AsyncIterator[bytes]:
    yield b"a"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (lambda: 5, r"int 5, which cannot be iterated; .* a single request goes into a list: \[request\]"),
        (lambda: b"one", "a single request goes into a list"),
        (lambda: "one", "a single request goes into a list"),
        (lambda: {"a": 1}, "a single request goes into a list"),
        (policy_pb2.MethodPolicy, "a single request goes into a list"),
        (lambda: requests, "call it, and give what that returns"),
        (forgotten, "await it and give what it returns"),
    ],
    ids=["number", "bytes", "text", "mapping", "message", "function", "coroutine"],
)
@pytest.mark.parametrize("method", MANY_REQUESTS)
async def test_what_is_no_stream_of_requests_is_refused(client: Client, method: str, given: Any, words: str) -> None:
    # A bare channel cancels such calls, and says why in a debug line.
    with pytest.raises(UsageTypeError, match=words):
        await client.call(method, given())
    assert await client.serves()


class Indexed:
    """What could be iterated before there were iterators."""

    def __getitem__(self, at: int) -> bytes:
        return [b"a", b"b"][at]


@pytest.mark.parametrize("given", [lambda: [b"a"], lambda: iter([b"a"]), requests, lambda: (b"a",), Indexed, list])
@pytest.mark.parametrize("method", MANY_REQUESTS)
async def test_whatever_can_be_iterated_is_a_stream_of_requests(client: Client, method: str, given: Any) -> None:
    answer = await client.call(method, given())
    assert set(b"".join(answer) if isinstance(answer, list) else answer) <= {*b"ab"}


async def test_refused_calls_leave_nothing_behind(client: Client) -> None:
    class Request:
        """One that can be asked whether it is still there."""

    client.stub.Echo = client.channel.unary_unary(ECHO, lambda request: b"x")
    tasks = asyncio.all_tasks()
    held: weakref.WeakSet[Request] = weakref.WeakSet()
    for given in ({"timeout": "x"}, {"timeout": -1}, {"metadata": LARGE}, {"metadata": [("A", "b")]}) * 5:
        request = Request()
        held.add(request)
        with pytest.raises((UsageError, CallRefused)):
            await client.call("Echo", request, **given)
    del request
    await asyncio.sleep(0)  # grpc.aio lets go of a call in a callback
    gc.collect()
    assert not held
    assert asyncio.all_tasks() <= tasks
    assert not getattr(client.channel, "_active_calls", ())


def test_keys_that_were_found_good_are_kept_up_to_a_number() -> None:
    for number in range(1100):
        metadata = ((f"key-{number}", "value"), (f"key-{number}-bin", b"value"))
        assert checked_metadata(metadata, METADATA_LIMIT) == (metadata, None)
    with pytest.raises(InvalidMetadata):
        checked_metadata((("key-1-bin", "value"),), METADATA_LIMIT)
    with pytest.raises(InvalidMetadata):
        checked_metadata((("key-1099-bin", "value"),), METADATA_LIMIT)
    assert checked_metadata((("key-1", b"value"),), METADATA_LIMIT)[1] is None


# What a channel is opened with


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("", 'write "host:port"'),
        (" ", 'write "host:port"'),
        ("host", 'write "host:port"'),
        ("host:99999", 'write "host:port"'),
        ("host:port", 'write "host:port"'),
        ("h:1 h:2", 'write "host:port"'),
        ("h:1,", "'' is not an address"),
        ("host:1/path", 'write "host:port"'),
        ("http://host", 'a target is no URL; write "host:port"$'),
        ("http://host:1/path", 'a target is no URL; write "host:1"$'),
        ("https://host:1", 'write "host:1" and credentials=grpc.ssl_channel_credentials'),
        ("tcp://host:1", 'a target is no URL; write "host:1"'),
        ("dns:///", 'write "dns:///host:port"'),
        ("dns:///host:0", 'write "dns:///host:port"'),
        ("dns://8.8.8.8/host:1", "names a DNS server"),
        ("local:///", 'write "local:///name"'),
        ("local:///No Name", "not a service name"),
        ("local:///a,h:1", "not a service name"),
        ("h:1,local:///a", "stands alone"),
        (["local:///a"], "stands alone"),
        ("unix:", 'write "unix:/path/to/socket"'),
        ("ipv4:1.2.3.4", 'write "ipv4:1.2.3.4:port"'),
        ("ipv6:[::1]:99999", 'write "ipv6:'),
        ([], "at least one address"),
        ([""], "'' is not an address"),
        ([None], r'None in \[None\] is not an address; write each as "host:port"'),
        ([b"h:1"], 'write each as "host:port"'),
        (("127.0.0.1", 50051), 'write "127.0.0.1:50051"'),
        (["h:1", ["h:2"]], 'write each as "host:port"'),
        (None, 'cannot be opened to None; write an address, "host:port"'),
        (5, "cannot be opened to 5"),
        (b"h:1", "cannot be opened to b'h:1'"),
        ({"h:1": 1}, "cannot be opened to {'h:1': 1}"),
        (Path("h:1"), "cannot be opened to"),
    ],
    ids=str,
)
async def test_what_is_no_target_is_refused(target: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        kit.channel(target)


@pytest.mark.parametrize("make", [grpc.insecure_channel, grpc.aio.insecure_channel])
async def test_a_channel_is_no_target(make: Any) -> None:
    given = make("h:1")
    with pytest.raises(UsageError, match="takes an address, not a channel"):
        kit.channel(given)
    if isinstance(given, grpc.aio.Channel):
        await given.close()
    else:
        given.close()


@pytest.mark.parametrize(
    "target",
    ["unix:/run/a.sock", "ipv4:1.2.3.4:5", "ipv4:///1.2.3.4:5", "ipv6:[::1]:5", "xds:///a", "vsock:1:2", "a.b:1"],
)
async def test_whatever_grpc_resolves_is_a_target(open_to: Any, target: str) -> None:
    assert open_to(target).target == target


ARGUMENTS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"credentials": "x"}, UsageTypeError, r"credentials are 'x'; a channel takes kit.TlsFiles\(...\)"),
    ({"credentials": True}, UsageTypeError, "credentials are True"),
    ({"credentials": kit.TlsFiles}, UsageTypeError, "a channel takes kit.TlsFiles"),
    ({"credentials": grpc.access_token_call_credentials("x")}, UsageTypeError, "go along with it: stub.Method"),
    ({"options": None}, UsageTypeError, r"options=None is no sequence of pairs; give .*, or \(\)"),
    ({"options": 5}, UsageTypeError, "no sequence of pairs"),
    ({"options": "grpc.x"}, UsageTypeError, "no sequence of pairs"),
    ({"options": {"grpc.x": 1}}, UsageTypeError, r"give tuple\(options.items\(\)\)"),
    ({"options": ["grpc.x"]}, UsageTypeError, r"options\[0\] is 'grpc.x', and no pair; give \(name, value\)"),
    ({"options": [("grpc.x", 1, 2)]}, UsageTypeError, "and no pair"),
    ({"options": [(1, 1)]}, UsageTypeError, "the name 1 is no text"),
    ({"options": [("grpc.x", None)]}, UsageTypeError, "'grpc.x' is None; grpc takes whole numbers and texts"),
    ({"options": [("grpc.x", [1])]}, UsageTypeError, "grpc takes whole numbers and texts"),
    ({"options": [("grpc.x", 2**40)]}, UsageValueError, "grpc takes whole numbers of 32 bits, up to 2147483647"),
    ({"options": [("grpc.service_config", "{")]}, UsageValueError, "is no JSON .*; every call would fail"),
    ({"options": [("grpc.service_config", "[]")]}, UsageValueError, "no JSON object"),
    ({"compression": "gzip"}, UsageValueError, "give grpc.Compression.NoCompression"),
    ({"compression": 99}, UsageValueError, "is none that gRPC has"),
    ({"registry": "/tmp"}, UsageTypeError, r"give kit.discovery.Registry\(folder\)"),
    ({"breaker_listeners": 5}, UsageTypeError, "give a list of listeners"),
    ({"on_event": 5}, UsageTypeError, "on_event=5 cannot be called; give a function of one argument"),
    ({"on_event": forgotten}, UsageTypeError, "nobody would await it"),
    ({"warm_up": "no"}, UsageTypeError, "warm_up='no' is neither True nor False"),
    ({"health": True}, UsageTypeError, r"health=True says nothing; give kit.HealthCheck\(\)"),
]


@pytest.mark.parametrize(("arguments", "error", "words"), ARGUMENTS, ids=str)
async def test_arguments_of_a_channel_that_cannot_work_are_refused(
    arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words) as raised:
        kit.channel("127.0.0.1:1", **arguments)
    assert isinstance(raised.value, UsageError)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"breaker_listeners": 5}, UsageTypeError, "give a list of listeners"),
        ({"on_event": 5}, UsageTypeError, "cannot be called"),
        ({"max_metadata_size": "1k"}, UsageTypeError, "no number of bytes"),
        ({"max_metadata_size": -1}, UsageValueError, "give 0 or more"),
        ({"policy": 5}, PolicyError, "must be a MethodPolicy"),
    ],
    ids=str,
)
def test_arguments_of_interceptors_that_cannot_work_are_refused(
    arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        kit.client_interceptors(**arguments)


@pytest.mark.parametrize("path", [5, None, object()], ids=str)
@pytest.mark.parametrize("shape", ["unary_unary", "unary_stream", "stream_unary", "stream_stream"])
async def test_a_method_is_named_by_its_path(open_to: Any, shape: str, path: Any) -> None:
    with pytest.raises(UsageTypeError, match=r'give its path: "/package\.Service/Method"'):
        getattr(open_to(), shape)(path)


async def test_a_path_may_be_bytes_as_with_grpc(open_to: Any) -> None:
    assert await open_to().unary_unary(ECHO.encode())(b"x") == b"x"


# What surrounds calls


@pytest.mark.parametrize(("seconds", "error", "words"), SECONDS, ids=lambda value: str(value)[:20])
async def test_seconds_are_looked_at_wherever_they_are_given(
    open_to: Any, seconds: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=f"seconds=.*{words}"), kit.timeout(seconds):
        pass
    assert kit.deadline().expires_at == math.inf
    with pytest.raises(error, match=f"timeout=.*{words}"):
        await open_to().wait_for_healthy(seconds)


async def test_waiting_for_no_time_gives_up_at_once(open_to: Any) -> None:
    with pytest.raises(NoEndpoint, match="healthy after -1 s"):
        await open_to().wait_for_healthy(-1)


@pytest.mark.parametrize("address", ["", "nobody:1", 5, b"h:1", ["h:1"]], ids=str)
async def test_an_address_that_the_channel_has_not_cannot_be_reconnected(
    open_to: Any, served: Served, address: Any
) -> None:
    with pytest.raises(UsageError, match=f"has no endpoint .*; it has {served.address}"):
        open_to().force_reconnect(address)


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("interval", 0, ValueError),
        ("interval", -1, ValueError),
        ("interval", math.nan, ValueError),
        ("interval", math.inf, ValueError),
        ("interval", "30s", TypeError),
        ("interval", None, TypeError),
        ("timeout", datetime.timedelta(seconds=1), TypeError),
        ("slow", True, TypeError),
        ("unhealthy_after", 0, ValueError),
        ("unhealthy_after", 1.5, TypeError),
        ("service", None, TypeError),
    ],
)
def test_a_health_check_that_cannot_be_meant_names_its_field(field: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"^{field} must be"):
        kit.HealthCheck(**{field: value})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"root_certificates": b"-----BEGIN CERTIFICATE-----"}, "of type bytes; give the path of a PEM file"),
        ({"root_certificates": "-----BEGIN CERTIFICATE-----\n"}, "is a PEM text; write it to a file"),
        ({"root_certificates": 5}, "of type int; give the path"),
        ({"root_certificates": ""}, "is empty; give the path"),
        ({"root_certificates": "/nowhere"}, "root_certificates: /nowhere cannot be read: No such file"),
        ({"private_key": "key.pem"}, "private_key is given without certificate_chain"),
        ({"server_name": 5}, "server_name is 5; give a host name, or None"),
        ({"server_name": ""}, "server_name is ''"),
    ],
    ids=str,
)
async def test_tls_files_that_are_none_are_named(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^tls: .*{words}"):
        kit.channel("127.0.0.1:1", credentials=kit.TlsFiles(**given))


# Policies

IN_CODE: list[tuple[Any, str, str]] = [
    (5, "", "must be a MethodPolicy, a mapping .*, the path of a TOML file, or None, not 5"),
    (b"policy.toml", "", "the path of a TOML file"),
    ("", "", "the path is empty"),
    ("nowhere.toml", "", "nowhere.toml: No such file or directory"),
    ([kit.MethodPolicy()], "", "must be a MethodPolicy, a mapping"),
    (kit.MethodPolicy, "", "must be a MethodPolicy, a mapping"),
    (kit.RetryPolicy(max_attempts=2), "", r"; write MethodPolicy\(retry=...\)"),
    ({"x": kit.MethodPolicy()}, "", 'a key is "/package.Service/Method", "/package.Service/[*]" or "[*]"'),
    ({"a.B/C": kit.MethodPolicy()}, "", "; write '/a.B/C'"),
    ({5: kit.MethodPolicy()}, "", "^5: a key is"),
    ({"*": {"timeout": 1}}, "", "must be a MethodPolicy, not {'timeout': 1}"),
    ({"*": None}, "", "must be a MethodPolicy, not None"),
    ({"*": kit.RetryPolicy()}, "", r"; write MethodPolicy\(retry=...\)"),
    (kit.MethodPolicy(timeout=-1), "timeout", "must be longer than 0 seconds, not -1"),
    (kit.MethodPolicy(timeout=0), "timeout", "must be longer than 0 seconds, not 0"),
    (kit.MethodPolicy(timeout=math.nan), "timeout", "must be longer than 0 seconds, not nan"),
    (kit.MethodPolicy(timeout=1e300), "timeout", "must be at most 3e[+]09 seconds, or inf for no limit"),
    (kit.MethodPolicy(timeout=10**400), "timeout", "must be at most 3e[+]09 seconds"),
    (kit.MethodPolicy(timeout="5"), "timeout", "must be a number, not '5'"),  # type: ignore[arg-type]
    (kit.MethodPolicy(timeout=True), "timeout", "must be a number, not True"),
    (
        kit.MethodPolicy(per_try_timeout=datetime.timedelta(seconds=1)),  # type: ignore[arg-type]
        "per_try_timeout",
        r"must be a number, not .*; write its .total_seconds\(\)",
    ),
    (kit.MethodPolicy(retry=3), "retry", "must be a RetryPolicy, not 3"),  # type: ignore[arg-type]
    (kit.MethodPolicy(retry={"max_attempts": 3}), "retry", "must be a RetryPolicy, not {"),  # type: ignore[arg-type]
    (kit.MethodPolicy(preset="production"), "preset", "must be one of .*Preset.PRODUCTION"),  # type: ignore[arg-type]
    (
        kit.MethodPolicy(idempotency_level="IDEMPOTENT"),  # type: ignore[arg-type]
        "idempotency_level",
        "must be one of .*IdempotencyLevel.IDEMPOTENT",
    ),
    (kit.MethodPolicy(downstream="x"), "downstream", "must be a tuple of DownstreamCall"),  # type: ignore[arg-type]
    (
        kit.MethodPolicy(downstream=(kit.policy.DownstreamCall(method=5),)),  # type: ignore[arg-type]
        "downstream",
        "method must be a text, not 5",
    ),
    (kit.MethodPolicy(rate=RatePolicy(cost="x")), "rate.cost", "must be a whole number"),  # type: ignore[arg-type]
    (kit.MethodPolicy(retry=kit.RetryPolicy(max_attempts=9)), "retry.max_attempts", "must be 1 to 5"),
    (kit.MethodPolicy(retry=kit.RetryPolicy(initial_backoff=-1)), "retry.initial_backoff", "0 or more seconds"),
    (kit.MethodPolicy(retry=kit.RetryPolicy(backoff_multiplier=0.5)), "retry.backoff_multiplier", "must be at least 1"),
    (
        kit.MethodPolicy(breaker=kit.BreakerPolicy(window="10s")),  # type: ignore[arg-type]
        "breaker.window",
        "must be a number, not '10s'",
    ),
]


@pytest.mark.parametrize(("policy", "field", "words"), IN_CODE, ids=lambda value: str(value)[:40])
async def test_a_policy_in_code_that_cannot_be_meant_is_refused(policy: Any, field: str, words: str) -> None:
    for make in (lambda: kit.channel("127.0.0.1:1", policy=policy), lambda: kit.client_interceptors(policy=policy)):
        with pytest.raises(PolicyError, match=words) as refusal:
            make()
        assert refusal.value.field == field


@pytest.mark.parametrize(
    ("make", "field", "error"),
    [
        (lambda: kit.RetryPolicy(max_attempts="3"), "max_attempts", TypeError),  # type: ignore[arg-type]
        (lambda: kit.RetryPolicy(max_attempts=2.5), "max_attempts", TypeError),  # type: ignore[arg-type]
        (lambda: kit.RetryPolicy(max_backoff="1s"), "max_backoff", TypeError),  # type: ignore[arg-type]
        (lambda: kit.RetryPolicy(jitter="full"), "jitter", TypeError),  # type: ignore[arg-type]
        (lambda: kit.RetryPolicy(retryable_status_codes="UNAVAILABLE"), "retryable_status_codes", TypeError),
        (lambda: kit.RetryPolicy(retryable_status_codes=["NOPE"]), "retryable_status_codes", ValueError),
        (lambda: kit.HedgingPolicy(hedging_delay="1s"), "hedging_delay", TypeError),  # type: ignore[arg-type]
        (lambda: kit.HedgingPolicy(max_attempts=0), "max_attempts", ValueError),
        (lambda: kit.RetryThrottling(max_tokens="x"), "max_tokens", TypeError),  # type: ignore[arg-type]
        (lambda: kit.RetryBudget(ratio=-1), "ratio", ValueError),
        (lambda: OutlierPolicy(interval="1s"), "interval", TypeError),  # type: ignore[arg-type]
        (lambda: kit.BalancePolicy(kind="p2c"), "kind", TypeError),  # type: ignore[arg-type]
        (lambda: kit.policy.ConcurrencyPolicy(adaptive=1), "adaptive", TypeError),  # type: ignore[arg-type]
        (lambda: IdempotencyKeyPolicy(ttl="1h"), "ttl", TypeError),  # type: ignore[arg-type]
        (lambda: kit.policy.FallbackPolicy(cached_for="1m"), "cached_for", TypeError),  # type: ignore[arg-type]
        (lambda: kit.MethodPolicy(timeot=1), ".*timeot", TypeError),  # type: ignore[call-arg]
    ],
)
def test_options_that_cannot_be_meant_name_their_field(make: Any, field: str, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"^{field}"):
        make()


#: The lines of a table, the field that is named, and words.
IN_TOML: list[tuple[str, str, str]] = [
    ("timeot = 1", "timeot", "did you mean timeout"),
    ("retry = { max_atempts = 2 }", "retry.max_atempts", "did you mean retry.max_attempts"),
    ("auth = { scopes = 'x' }", "auth.scopes", "must be a list of texts"),
    ("cache = { max_entries = 1 }", "cache", "no layer enforces this; remove it"),
    ("timeout = -1", "timeout", "must be longer than 0 seconds"),
    ("timeout = '-1s'", "timeout", "a number of seconds, or a time such as"),
    ("timeout = nan", "timeout", "must be longer than 0 seconds"),
    ("timeout = 1e300", "timeout", "must be at most 3e[+]09 seconds"),
    ("timeout = true", "timeout", "a number of seconds"),
    ("timeout = 2024-01-01", "timeout", "a number of seconds"),
    ("retry = 3", "retry", "must be a table of its fields"),
    ("retry.max_attempts = 9", "retry.max_attempts", "must be 1 to 5"),
    ("retry.max_attempts = 2.5", "retry.max_attempts", "must be a whole number, not 2.5"),
    ("retry.retryable_status_codes = ['NOPE']", "retry.retryable_status_codes", "not a status code"),
    ("retry.retryable_status_codes = 'UNAVAILABLE'", "retry.retryable_status_codes", "a list of names"),
    ("retry.jitter = 'loud'", "retry.jitter", "one of none, full"),
    ("preset = 'nope'", "preset", "one of development, production, critical"),
    ("downstream = ['x']", "downstream", "a list of { method, times, parallel }"),
    ("downstream = [{ method = 5 }]", "downstream", "method must be a text"),
    ("downstream = [{ method = 'a.B/D', times = 'x' }]", "downstream", "times must be a whole number"),
    ("downstream = [{ method = 'a.B/D', times = -1 }]", "downstream", "times must be 0 or more"),
    ("hedging.max_attempts = 0", "hedging.max_attempts", "must be 1 to 5"),
    ("retry_budget.ratio = -1", "retry_budget.ratio", "must be 0 to 4"),
    ("concurrency.max_concurrent = -1", "concurrency.max_concurrent", "must be at least 1"),
]


@pytest.mark.parametrize(("lines", "field", "words"), IN_TOML, ids=lambda value: value[:30])
async def test_a_policy_in_a_file_that_cannot_be_meant_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: str, field: str, words: str
) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(f'["/a.B/C"]\n{lines}\n', "utf-8")
    for named in (str(file), file, None):
        if named is None:
            monkeypatch.setenv("KIT_POLICY", str(file))
        with pytest.raises(PolicyError, match=words) as refusal:
            kit.channel("127.0.0.1:1", policy=named)
        assert (refusal.value.method, refusal.value.field) == ("/a.B/C", field)
        with pytest.raises(PolicyError, match=words):
            kit.client_interceptors(policy=named)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'["a.B/C"]\ntimeout = 1\n', "a table"),
        (b"timeout = 1\n", "a table"),
        (b'["/a.B/C"\n', "not a TOML file"),
        (b"\xff\xfe", "not a TOML file"),
    ],
    ids=["no slash", "no table", "broken", "not text"],
)
async def test_a_file_that_is_no_policy_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "policy.toml"
    file.write_bytes(content)
    with pytest.raises(PolicyError, match=f"policy.toml: {words}"):
        kit.channel("127.0.0.1:1", policy=file)


async def test_a_preset_in_the_environment_that_there_is_none_of_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIT_PRESET", "nope")
    async with kit.channel("127.0.0.1:1", warm_up=False) as channel:
        with pytest.raises(PolicyError, match="KIT_PRESET must be one of development, production, critical"):
            channel.unary_unary("/a.B/C")


@pytest.mark.parametrize(
    ("policy", "field", "words"),
    [
        (policy_pb2.MethodPolicy(timeout=Duration(seconds=-1)), "timeout", "must be longer than 0"),
        (policy_pb2.MethodPolicy(timeout=Duration(seconds=4_000_000_000)), "timeout", "must be at most"),
        (policy_pb2.MethodPolicy(retry=policy_pb2.RetryPolicy(max_attempts=9)), "retry.max_attempts", "must be 1 to 5"),
        (policy_pb2.MethodPolicy(auth=policy_pb2.AuthPolicy(scopes=["x"], public=True)), "auth.public", "contradicts"),
        (policy_pb2.MethodPolicy(cache=policy_pb2.CachePolicy(max_entries=1)), "cache", "no layer enforces this"),
    ],
)
async def test_a_policy_in_a_proto_that_cannot_be_meant_is_refused_with_the_stub(
    policy: policy_pb2.MethodPolicy, field: str, words: str
) -> None:
    path = f"{declare(Rpc(name='Get', level=NO_SIDE_EFFECTS, policy=policy))}/Get"
    async with kit.channel("127.0.0.1:1", warm_up=False) as channel:
        with pytest.raises(PolicyError, match=words) as refusal:
            channel.unary_unary(path)
    assert (refusal.value.method, refusal.value.field.partition(".")[0]) == (path, field.partition(".")[0])


# The command


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kit.cli", *map(str, arguments)], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("lines", ["timeot = 1", "downstream = [{ method = 'a.B/D', times = 'x' }]", "timeout = nan"])
def test_the_command_says_it_in_a_line(tmp_path: Path, lines: str) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(f'["/a.B/C"]\n{lines}\n', "utf-8")
    for arguments in (("check", file), ("explain", "a.B/C", file)):
        done = command(*arguments)
        assert done.returncode == 1
        [line] = (done.stdout + done.stderr).splitlines()
        assert line.startswith("Error: /a.B/C: ")


@pytest.mark.parametrize("method", ["", "/", "nonsense", "a.B/*", "a b/c d"])
def test_what_is_no_method_cannot_be_explained(method: str) -> None:
    done = command("explain", method)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith('is not the name of a method; write "package.Service/Method"')
