"""A TOML file of policy is followed by a server, too: real files and calls, virtual time between the looks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from google.protobuf.wrappers_pb2 import StringValue

import kit
from kit import events
from kit.errors import PolicyError
from kit.policy.followed import INTERVAL
from kit.server._interceptor import KitServerInterceptor
from kit.server._pipeline import ServerPipeline, server_pipeline
from kit.testing import VirtualClock
from kitapi.v1 import events_pb2
from tests.integration.server.echo import SERVICE, Echo, add_echo
from tests.integration.server.echo import call as echoed

#: One call, and then none for a quarter of an hour.
ONE = f'["/{SERVICE}/*"]\nrate.per_second = 0.001\n'
MANY = f'["/{SERVICE}/*"]\nrate.per_second = 1000\n'


@dataclass
class Followed:
    """A stock server with the kit's interceptor, whose policy stands in a file."""

    file: Path
    clock: VirtualClock
    call: Any

    async def code(self) -> grpc.StatusCode:
        code: grpc.StatusCode = await self.call(StringValue(value="x")).code()
        return code

    async def write(self, content: str) -> None:
        """Puts another file in the place of the file, and lets the time pass in which it is taken."""
        new = self.file.with_suffix(".new")
        new.write_text(content, "utf-8")
        new.replace(self.file)
        await self.clock.advance(2 * INTERVAL)


@pytest_asyncio.fixture
async def followed(tmp_path: Path) -> AsyncIterator[Followed]:
    file, clock = tmp_path / "policy.toml", VirtualClock()
    file.write_text(ONE, "utf-8")
    pipeline = ServerPipeline(server_pipeline().layers, file, clock=clock)
    server = grpc.aio.server(interceptors=[KitServerInterceptor(pipeline)])
    add_echo(Echo(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = channel.unary_unary(
                f"/{SERVICE}/UnaryUnary",
                request_serializer=StringValue.SerializeToString,
                response_deserializer=StringValue.FromString,
            )
            yield Followed(file, clock, call)
    finally:
        await server.stop(None)


async def test_another_rate_holds_from_the_next_call_on(followed: Followed) -> None:
    assert [await followed.code() for _ in range(2)] == [grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED]
    await followed.write(MANY)
    assert [await followed.code() for _ in range(3)] == [grpc.StatusCode.OK] * 3


async def test_the_same_rate_goes_on_counting(followed: Followed) -> None:
    assert await followed.code() is grpc.StatusCode.OK
    await followed.write(f"{ONE}# a comment\n")
    assert await followed.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("bad", ["nonsense", '["*"]\nrate.per_second = -1\n', '["*"]\nauth.scopes = "x"\n'])
async def test_a_bad_file_is_refused_and_told_and_the_old_one_stays(followed: Followed, bad: str) -> None:
    assert await followed.code() is grpc.StatusCode.OK
    before = events.bus().last
    await followed.write(bad)
    assert await followed.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    reloaded = events_pb2.PolicyReloaded()
    async with asyncio.timeout(10), aclosing(events.bus().watch(before)) as told:
        async for event in told:
            if event.payload.Unpack(reloaded):
                break
    assert (reloaded.path, reloaded.accepted) == (str(followed.file), False)
    await followed.write(MANY)
    assert await followed.code() is grpc.StatusCode.OK


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (f'["/{SERVICE}/UnaryStream"]\nidempotency_key.mode = "REQUIRED"\n', "set it to NONE for this stream"),
        (f'["/{SERVICE}/UnaryUnary"]\nidempotency_key.mode = "REQUIRED"\n', "start the server again"),
    ],
)
async def test_what_would_not_have_let_the_server_start_is_refused_while_it_runs(
    tmp_path: Path, bad: str, why: str
) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(MANY, "utf-8")
    server = kit.Server("reload", policy=file, register=False, grace=0).add(Echo(), add_echo)
    async with server, grpc.aio.insecure_channel(server.address) as channel:
        before = events.bus().last
        # No method has been called yet: what is served counts, not what is in use.
        file.write_text(bad, "utf-8")
        for _ in range(2):
            server._pipeline.policies.look()
        reloaded = events_pb2.PolicyReloaded()
        async with asyncio.timeout(10), aclosing(events.bus().watch(before)) as told:
            async for event in told:
                if event.payload.Unpack(reloaded):
                    break
        assert (reloaded.path, reloaded.accepted) == (str(file), False)
        assert why in reloaded.error
        for method in ("UnaryUnary", "UnaryStream"):
            assert await echoed(channel, method, "x")


def test_a_file_that_is_wrong_at_the_start_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text("nonsense", "utf-8")
    with pytest.raises(PolicyError, match="not a TOML file"):
        server_pipeline(policy=file)
