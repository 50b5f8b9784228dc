"""Calls under every policy at once, while servers fail and come again and channels are closed, redialled and reloaded.

Nothing is said of what becomes of a single call: only that it ends, that everything which tells of it tells the same,
and that nothing is left when all have ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.wrappers_pb2 import StringValue

import kit
from kit.client.channel import Channel
from kit.resilience.breaker import Breaker
from kit.resilience.limiter import Limiter
from kit.resilience.picks import Member

_SERVICE = "kit.tests.servers.v1.Storm"
CALLS = 1_500
IN_FLIGHT = 40
#: Turns of the loop after which a call is given up, polled, looked at.
_TURNS = (0, 0, 1, 2, 3, 5, 8, 12, 20)
_CODES = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.NOT_FOUND,
)
_ASKED = (
    "echo",
    "echo",
    "echo",
    "echo",
    "fail sometimes",
    "fail sometimes",
    "hang",
    "come late",
    "fail",
    "fail for good",
)

_UNARY = ("Plain", "Bare", "Hedged", "Limited", "Fallen", "Keyed", "Broken", "Tight")
_DOWN, _UP, _BOTH = ("Down", "DownHedged", "DownLimited"), ("Up", "UpKept"), ("Both", "BothKept")
_USUAL = """
["/{service}/*"]
timeout = "5s"
idempotency_level = "IDEMPOTENT"
retry.max_attempts = {attempts}
retry.initial_backoff = "2ms"
retry.max_backoff = "10ms"
retry_throttling.max_tokens = 100
retry_throttling.token_ratio = 0.5
retry_budget.ratio = 2.0
["/{service}/Bare"]
retry.max_attempts = 1
["/{service}/Hedged"]
retry.max_attempts = 1
hedging.max_attempts = 3
hedging.hedging_delay = "2ms"
["/{service}/DownHedged"]
retry.max_attempts = 1
hedging.max_attempts = 2
hedging.hedging_delay = "2ms"
["/{service}/Limited"]
concurrency.max_concurrent = {places}
concurrency.max_queued = 4
["/{service}/DownLimited"]
concurrency.max_concurrent = {places}
concurrency.max_queued = 4
["/{service}/Fallen"]
fallback.method = "Plain"
["/{service}/Keyed"]
idempotency_key.mode = "OPTIONAL"
["/{service}/Broken"]
breaker.failure_threshold = {failures}
breaker.open_for = "20ms"
["/{service}/Tight"]
timeout = "20ms"
per_try_timeout = "8ms"
["/{service}/UpKept"]
retry.replay_buffer_bytes = 4096
["/{service}/BothKept"]
retry.replay_buffer_bytes = 4096
"""


def policy_text(rng: random.Random) -> str:
    """A file of policies."""
    return _USUAL.format(
        service=_SERVICE, attempts=rng.choice([2, 4]), places=rng.choice([2, 3, 8]), failures=rng.choice([4, 8])
    )


class Service:
    """Does what a request says, and counts how often each call was executed."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.executed: Counter[str] = Counter()
        self.alive = 0
        self.never = asyncio.Event()

    @contextlib.contextmanager
    def _running(self, context: Any) -> Iterator[None]:
        self.executed[dict(context.invocation_metadata())["call"]] += 1
        self.alive += 1
        try:
            yield
        finally:
            self.alive -= 1

    async def _act(self, asked: str, context: Any) -> None:
        if asked == "hang":
            await self.never.wait()
        if asked == "come late":
            await context.abort(_CODES[0], "", (("grpc-retry-pushback-ms", self._rng.choice(["1", "30000", "-1"])),))
        if asked == "fail for good":
            await context.abort(_CODES[3], "")
        if asked == "fail" or (asked == "fail sometimes" and self._rng.random() < 0.5):
            await context.abort(self._rng.choice(_CODES[:3]), "")

    async def unary(self, request: StringValue, context: Any) -> StringValue:
        with self._running(context):
            await self._act(request.value, context)
            return request

    async def down(self, request: StringValue, context: Any) -> None:
        with self._running(context):
            if self._rng.random() < 0.5:
                await self._act(request.value, context)
            for _ in range(3):
                await context.write(request)
            await self._act(request.value, context)

    async def up(self, requests: AsyncIterator[StringValue], context: Any) -> StringValue:
        with self._running(context):
            number = 0
            async for request in requests:
                number += 1
                if number == 2:
                    await self._act(request.value, context)
            return StringValue()

    async def both(self, requests: AsyncIterator[StringValue], context: Any) -> None:
        with self._running(context):
            number = 0
            async for request in requests:
                number += 1
                if number == 2:
                    await self._act(request.value, context)
                await context.write(request)


async def serve(service: Service, address: str = "127.0.0.1:0") -> tuple[grpc.aio.Server, str]:
    """A server that runs, and its address."""
    coders: dict[str, Any] = {
        "request_deserializer": StringValue.FromString,
        "response_serializer": StringValue.SerializeToString,
    }
    kinds: list[tuple[Callable[..., Any], Any, tuple[str, ...]]] = [
        (grpc.unary_unary_rpc_method_handler, service.unary, _UNARY),
        (grpc.unary_stream_rpc_method_handler, service.down, _DOWN),
        (grpc.stream_unary_rpc_method_handler, service.up, _UP),
        (grpc.stream_stream_rpc_method_handler, service.both, _BOTH),
    ]
    handlers = {name: handler(act, **coders) for handler, act, names in kinds for name in names}
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, handlers),))
    port = server.add_insecure_port(address)
    await server.start()
    return server, f"127.0.0.1:{port}"


class Client:
    """A channel that may be closed at any moment."""

    def __init__(self, channel: Channel, file: Path) -> None:
        self.channel, self.file, self.closed = channel, file, False

    def start(self, name: str, request: Any, **options: Any) -> Any:
        kind = {**dict.fromkeys(_UNARY, "unary_unary"), **dict.fromkeys(_DOWN, "unary_stream")}.get(
            name, "stream_unary" if name in _UP else "stream_stream"
        )
        stub = getattr(self.channel, kind)(
            f"/{_SERVICE}/{name}",
            request_serializer=StringValue.SerializeToString,
            response_deserializer=StringValue.FromString,
        )
        return stub(request, **options)


class Storm:
    """Makes calls, and trouble. `wrong` is what no call may do, with an example."""

    def __init__(self, rng: random.Random, folder: Path) -> None:
        self.rng = rng
        self.service = Service(rng)
        self.servers: list[tuple[grpc.aio.Server, str]] = []
        self.clients: list[Client] = []
        self.wrong: dict[str, str] = {}
        self.ended: Counter[str] = Counter()
        self.attempts: dict[str, int] = {}
        self._closing: list[asyncio.Future[None]] = []
        self._folder = folder
        self._number = 0

    async def start(self) -> None:
        self.servers = [await serve(self.service) for _ in range(2)]
        self.clients = [self._open() for _ in range(3)]

    def _open(self) -> Client:
        self._number += 1
        file = self._folder / f"{self._number}.toml"
        file.write_text(policy_text(self.rng), "utf-8")
        addresses = [address for _, address in self.servers]
        way = self.rng.random()
        if way < 0.3:

            async def resolver(_host: str, _port: int) -> list[str]:
                return self.rng.choice([addresses, addresses[:1], addresses[1:]])

            return Client(Channel("dns:///storm.test:1", policy=file, resolver=resolver), file)
        return Client(Channel(addresses if way < 0.6 else addresses[0], policy=file), file)

    async def trouble(self, while_running: asyncio.Future[Any]) -> None:
        """Something goes wrong every few milliseconds."""
        rng = self.rng
        while not while_running.done():
            await asyncio.wait([while_running], timeout=rng.uniform(0.005, 0.03))
            number, what = rng.randrange(len(self.clients)), rng.random()
            client = self.clients[number]
            if what < 0.3:
                client.closed, self.clients[number] = True, self._open()
                self._closing.append(asyncio.ensure_future(client.channel.close(rng.choice([None, 0.0, 0.02]))))
            elif what < 0.45:
                number = rng.randrange(2)
                server, address = self.servers[number]
                await server.stop(0)
                self.servers[number] = await serve(self.service, address)
            elif what < 0.65:
                client.channel.force_reconnect()
            elif what < 0.8:
                for breaker in client.channel.breakers:
                    rng.choice([breaker.open, breaker.half_open, breaker.close])()
            else:
                client.file.write_text(policy_text(rng) if rng.random() < 0.9 else "[", "utf-8")
                for _ in range(2):
                    client.channel._policies.look()

    async def stop(self) -> None:
        await asyncio.gather(*self._closing, *(client.channel.close() for client in self.clients))
        for server, _ in self.servers:
            await server.stop(0)
        self.clients, self.servers, self._closing = [], [], []

    async def calls(self, count: int) -> None:
        for _ in range(count):
            await self._one()

    def _say(self, what: str, about: object) -> None:
        self.wrong.setdefault(what, str(about))

    async def _turns(self) -> None:
        for _ in range(self.rng.choice(_TURNS)):
            await asyncio.sleep(0)

    async def _one(self) -> None:
        rng = self.rng
        client, asked = rng.choice(self.clients), rng.choice(_ASKED)
        name = rng.choice([*_UNARY, *_UNARY, *_DOWN, *_UP, *_BOTH])
        number = str(len(self.attempts))
        self.attempts[number] = 99
        timeout = rng.choice([None, 2.0, 0.02, 0.004]) if asked != "hang" else rng.choice([0.02, 0.004])
        written = name in (*_UP, *_BOTH) and rng.random() < 0.5
        request: Any = StringValue(value=asked)
        if name in (*_UP, *_BOTH):
            request = None if written else _repeated(request)
        try:
            call = client.start(name, request, timeout=timeout, metadata=(("call", number),))
        except grpc.aio.UsageError:
            if not client.closed:
                self._say("refused", name)
            return
        told: list[object] = []
        about = f"{name} {asked!r} timeout={timeout} written={written}"
        call.add_done_callback(told.append)
        act = rng.choice(
            [self._awaits, self._awaits, self._cancels, self._is_cancelled, self._two, self._asks, self._late]
        )
        use = _use(call, name, StringValue(value=asked) if written else None)
        try:
            async with asyncio.timeout(15):
                outcome = await act(call, use, name in _UNARY)
        except TimeoutError:
            self._say("never ended", f"{about} {act.__name__}")
            call.cancel()
            return
        about += f" {act.__name__} {outcome!r}"
        self.ended[type(outcome).__name__] += 1
        given_up = act in (self._cancels, self._is_cancelled, self._two, self._late)
        if not call.done():
            # A task may have been cancelled before it began, and who reads or writes a stream may stop in its middle.
            if name in _UNARY and not given_up:
                self._say("not done", about)
            call.cancel()
        async with asyncio.timeout(15):
            code, _ = await call.code(), await call.trailing_metadata()
        report = kit.report(call)
        self.attempts[number] = 99 if report.degraded or name == "Fallen" else len(report.attempts)
        if isinstance(outcome, grpc.aio.UsageError):
            self._say("misuse", about)
        if isinstance(outcome, grpc.aio.AioRpcError) and outcome.code() is not code:
            self._say("another code than was raised", f"{about} {code}")
        if report.code is not code or not report.stop_reason:
            self._say("another code in the report", f"{about} {code} {report}")
        if any(attempt.code is None for attempt in report.attempts):
            self._say("an attempt that runs on", f"{about} {report}")
        if len(told) != 1:
            self._say(f"called back {len(told)} times", about)
        if isinstance(outcome, asyncio.CancelledError) and not given_up and not client.closed:
            self._say("cancelled by nobody", about)

    # What callers do

    async def _awaits(self, _call: Any, use: Any, _unary: bool) -> object:
        return await _outcome(use)

    async def _cancels(self, call: Any, use: Any, unary: bool) -> object:
        using = asyncio.ensure_future(_outcome(use))
        await self._turns()
        was_done = call.done()
        cancelled = call.cancel()
        outcome = await using
        if was_done and cancelled:
            self._say("cancelled when it was done", call)
        if unary and cancelled != isinstance(outcome, asyncio.CancelledError) and not call.cancelled():
            self._say("cancel() said another thing than came", f"{cancelled} {outcome!r}")
        return outcome

    async def _is_cancelled(self, _call: Any, use: Any, _unary: bool) -> object:
        using = asyncio.ensure_future(use)
        await self._turns()
        using.cancel()
        return await _outcome(using)

    async def _two(self, call: Any, use: Any, unary: bool) -> object:
        if not unary:
            return await _outcome(use)
        one = asyncio.ensure_future(_outcome(use))
        other = asyncio.ensure_future(_awaited(call))
        await self._turns()
        cancelled = self.rng.random() < 0.3 and other.cancel()
        outcome, second = await one, await _outcome(other)
        if not cancelled and type(outcome) is not type(second):
            self._say("two who await it do not see the same", f"{outcome!r} {second!r}")
        return outcome

    async def _asks(self, call: Any, use: Any, _unary: bool) -> object:
        await self._turns()
        call.time_remaining()
        call.cancelled()
        kit.report(call)
        asking = [asyncio.ensure_future(ask()) for ask in (call.code, call.details, call.initial_metadata)]
        outcome = await _outcome(use)
        asking[0].cancel()
        if not call.done():
            call.cancel()
        await asyncio.wait(asking)
        return outcome

    async def _late(self, _call: Any, use: Any, _unary: bool) -> object:
        using = asyncio.ensure_future(_outcome(use))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(using), self.rng.choice([0.0, 0.001, 0.004]))
        if self.rng.random() < 0.5:
            using.cancel()
        return await _outcome(using)


async def _repeated(request: StringValue) -> AsyncIterator[StringValue]:
    for _ in range(4):
        yield request
        await asyncio.sleep(0)


async def _awaited(call: Any) -> object:
    return await call


async def _use(call: Any, name: str, written: StringValue | None) -> object:
    """Everything that a caller would do."""
    if written is not None:
        for _ in range(4):
            await call.write(written)
        await call.done_writing()
    if name in _UNARY or name in _UP:
        return await call
    return [message async for message in call]


async def _outcome(awaitable: Any) -> object:
    try:
        return await awaitable
    except (grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.CancelledError, asyncio.InvalidStateError) as error:
        return error


@pytest.mark.parametrize("seed", [1, 2])
async def test_every_call_ends_and_is_told_of_alike_and_nothing_is_left(
    seed: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    loop = asyncio.get_running_loop()
    complaints: list[object] = []
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    tasks = len(asyncio.all_tasks())
    storm = Storm(random.Random(seed), tmp_path)
    try:
        await storm.start()
        making = asyncio.gather(*(storm.calls(CALLS // IN_FLIGHT) for _ in range(IN_FLIGHT)))
        await storm.trouble(making)
        await making
    finally:
        await storm.stop()
    try:
        async with asyncio.timeout(10):
            while storm.service.alive or len(asyncio.all_tasks()) > tasks:
                await asyncio.wait([asyncio.ensure_future(asyncio.sleep(0))])
        gc.collect()
        await asyncio.sleep(0)
    finally:
        loop.set_exception_handler(before)

    assert storm.wrong == {}
    assert complaints == []
    assert not [record for record in caplog.records if record.name == "asyncio"]
    # Each of the ends was met.
    assert {"StringValue", "CallFailed", "CancelledError"} <= storm.ended.keys(), storm.ended
    executed = storm.service.executed
    assert {number: executed[number] for number, most in storm.attempts.items() if executed[number] > most} == {}
    held = [
        found
        for found in gc.get_objects()
        if (isinstance(found, Limiter) and (found.running or found.queued))
        or (isinstance(found, Member) and found.in_flight)
        or (isinstance(found, Breaker) and found._probes)
    ]
    assert held == []
