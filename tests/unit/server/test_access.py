"""The access log has a line for each call that it should have one for, and costs nothing where it is off."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from kit.call import set_deadline
from kit.errors import ConfigurationError
from kit.observe import configure_logging
from kit.pipeline import Shape
from kit.policy import policy_for
from kit.server._access import AccessLayer, AccessLog, access_log, peer_of
from kit.server._call import Handler, Serialized, ServerCall, ServerMethod
from kit.server.auth import Principal
from kit.testing import VirtualClock
from tests.unit.server.fakes import FakeContext

PATH = "/shop.v1.Shop/Buy"


class Context(FakeContext):
    def peer(self) -> str:
        return "ipv4:10.0.0.7:50051"


def call_of(metadata: tuple[tuple[str, str | bytes], ...] = ()) -> ServerCall:
    return ServerCall(PATH, StringValue(value="abc"), Context(), metadata)  # type: ignore[arg-type]  # a fake


def method_of(path: str = PATH) -> ServerMethod:
    return ServerMethod(path, Shape.UNARY_UNARY, policy_for(path))


def served(
    layer: AccessLayer, clock: VirtualClock, *, takes: float = 0.0, code: grpc.StatusCode | None = None
) -> Handler:
    """The layer around a handler that takes so long and ends so."""

    async def inner(call: ServerCall) -> Any:
        await clock.advance(takes)
        if code is not None:
            call.code, call.details = code, "no Bearer abcdefgh12345678 for you"
            raise grpc.aio.AbortError("aborted")
        return Serialized(b"12345")

    return layer.wrap(method_of(), inner)


@pytest.mark.parametrize(
    ("asked", "environ", "wanted"),
    [
        (None, {}, None),
        (None, {"KIT_LOG_ACCESS": "off"}, None),
        (None, {"KIT_LOG_ACCESS": "on"}, AccessLog()),
        (None, {"KIT_LOG_ACCESS": "/var/log/access.jsonl"}, AccessLog()),
        (None, {"KIT_LOG_ACCESS": "on", "KIT_LOG_ACCESS_SAMPLE": "0.1"}, AccessLog(sample=0.1)),
        (None, {"KIT_LOG_ACCESS": "on", "KIT_LOG_ACCESS_SLOW": "0.5"}, AccessLog(slow=0.5)),
        (True, {}, AccessLog()),
        (True, {"KIT_LOG_ACCESS_SAMPLE": "0"}, AccessLog(sample=0)),
        (True, {"KIT_LOG_ACCESS": "off"}, None),
        (False, {"KIT_LOG_ACCESS": "on"}, None),
        (AccessLog(sample=0.5), {"KIT_LOG_ACCESS": "off"}, AccessLog(sample=0.5)),
    ],
)
def test_what_is_written_is_said_by_the_argument_and_the_environment(
    asked: AccessLog | bool | None, environ: dict[str, str], wanted: AccessLog | None
) -> None:
    assert access_log(asked, environ) == wanted


@pytest.mark.parametrize(
    ("environ", "said"),
    [({"KIT_LOG_ACCESS_SAMPLE": "2"}, "sample"), ({"KIT_LOG_ACCESS_SLOW": "x"}, "KIT_LOG_ACCESS_SLOW")],
)
def test_settings_that_make_no_sense_are_refused(environ: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        access_log(True, environ)


def test_where_it_is_off_and_for_health_checks_the_layer_is_not_there() -> None:
    async def inner(_call: ServerCall) -> None: ...

    assert AccessLayer(None).wrap(method_of(), inner) is inner
    assert AccessLayer(AccessLog()).wrap(method_of("/grpc.health.v1.Health/Check"), inner) is inner
    assert AccessLayer(AccessLog()).wrap(method_of(), inner) is not inner


async def test_a_line_says_what_was_called_by_whom_and_how_it_ended(caplog: pytest.LogCaptureFixture) -> None:
    clock = VirtualClock()
    call = call_of((("x-request-id", "r1"), ("authorization", "Bearer abcdefgh12345678")))
    call.principal = Principal("alice")
    caplog.set_level(logging.INFO)
    await served(AccessLayer(AccessLog(), clock), clock, takes=0.25)(call)
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("kit.access", "INFO")
    said = record.getMessage()
    for field in (
        f"method='{PATH}'",
        "code='OK'",
        "duration_ms=250.0",
        "peer='10.0.0.7:50051'",
        "principal='alice'",
        "request_id='r1'",
        "request_bytes=5",
        "response_bytes=5",
    ):
        assert field in said
    assert "deadline_left_ms" not in said
    assert "abcdefgh" not in said


async def test_the_peer_of_a_call_that_was_ended_from_outside_is_told(caplog: pytest.LogCaptureFixture) -> None:
    call = call_of()
    caplog.set_level(logging.INFO)

    async def inner(_: ServerCall) -> None:
        # As grpc's: the stream is gone, and who was at its other end with it.
        call.context.peer = lambda: ""  # type: ignore[method-assign]
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await AccessLayer(AccessLog()).wrap(method_of(), inner)(call)
    assert "peer='10.0.0.7:50051'" in caplog.text


async def test_a_call_that_failed_has_its_details_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    clock = VirtualClock()
    handler = served(AccessLayer(AccessLog(), clock), clock, code=grpc.StatusCode.UNAVAILABLE)
    with pytest.raises(grpc.aio.AbortError):
        await handler(call_of())
    assert "code='UNAVAILABLE'" in caplog.text
    assert "details='no Bearer [redacted] for you'" in caplog.text
    assert caplog.records[0].levelname == "WARNING"


async def test_the_time_that_was_left_is_told(caplog: pytest.LogCaptureFixture) -> None:
    clock = VirtualClock()
    caplog.set_level(logging.INFO)
    layer = AccessLayer(AccessLog(), clock)

    async def inner(_call: ServerCall) -> None:
        set_deadline(1e9)

    await layer.wrap(method_of(), inner)(call_of())
    assert "deadline_left_ms=" in caplog.text


@pytest.mark.parametrize(
    ("wanted", "takes", "code", "chance", "lines"),
    [
        (AccessLog(sample=0.5), 0.0, None, 0.4, 1),
        (AccessLog(sample=0.5), 0.0, None, 0.6, 0),
        (AccessLog(sample=0.0), 0.0, None, 0.0, 0),
        (AccessLog(sample=0.0), 0.0, grpc.StatusCode.NOT_FOUND, 0.9, 1),
        (AccessLog(sample=0.0, slow=1.0), 1.5, None, 0.9, 1),
        (AccessLog(sample=0.0, slow=1.0), 0.5, None, 0.9, 0),
    ],
)
async def test_of_the_calls_that_ended_well_a_share_and_the_slow_ones_are_written(
    caplog: pytest.LogCaptureFixture,
    wanted: AccessLog,
    takes: float,
    code: grpc.StatusCode | None,
    chance: float,
    lines: int,
) -> None:
    clock = VirtualClock()
    caplog.set_level(logging.INFO)
    handler = served(AccessLayer(wanted, clock, lambda: chance), clock, takes=takes, code=code)
    try:
        await handler(call_of())
    except grpc.aio.AbortError:
        assert code is not None
    assert len(caplog.records) == lines


async def test_the_fast_way_writes_the_same_fields(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "access.jsonl"
    root = logging.getLogger()
    kept, level = list(root.handlers), root.level
    monkeypatch.setenv("KIT_LOG_ACCESS", str(path))
    try:
        with (tmp_path / "log").open("w") as stream:
            configure_logging("shop", console=False, stream=stream)
            clock = VirtualClock()
            await served(AccessLayer(AccessLog(), clock), clock, takes=0.25)(call_of((("x-request-id", "r1"),)))
            logging.getLogger("kit.access").handlers[0].flush()
            monkeypatch.delenv("KIT_LOG_ACCESS")
            configure_logging("", console=False, stream=stream)
    finally:
        root.handlers[:] = kept
        root.setLevel(level)
    line = json.loads(path.read_text())
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "served",
        "level": "info",
        "logger": "kit.access",
        "channel": "access",
        "service": "shop",
        "method": PATH,
        "code": "OK",
        "duration_ms": 250.0,
        "peer": "10.0.0.7:50051",
        "request_id": "r1",
        "request_bytes": 5,
        "response_bytes": 5,
    }


@pytest.mark.parametrize(
    ("grpcs", "ours"),
    [("ipv4:1.2.3.4:5", "1.2.3.4:5"), ("ipv6:%5B::1%5D:5", "[::1]:5"), ("unix:/run/a", "unix:/run/a")],
)
def test_peers_are_written_as_addresses(grpcs: str, ours: str) -> None:
    assert peer_of(grpcs) == ours
