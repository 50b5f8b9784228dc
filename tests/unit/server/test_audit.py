"""The line that is written for a call that may change something."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, field_mask_pb2, message_factory
from google.protobuf.wrappers_pb2 import StringValue

import kit
from kit import errors
from kit.auth import Principal
from kit.call import set_deadline
from kit.clock import SYSTEM
from kit.pipeline import Shape
from kit.policy import policy_for
from kit.server._audit import AuditLayer, resource_in
from kit.server._authorise import AuthoriseLayer
from kit.server._call import ServerCall, ServerMethod, compose
from kit.testing import VirtualClock
from kitapi.v1 import policy_pb2
from tests.unit.server.fakes import FakeContext

DELETE = "/shop.v1.Orders/Delete"


class Context(FakeContext):
    def peer(self) -> str:
        return "ipv4:10.0.0.7:1234"


def method(level: kit.IdempotencyLevel | None = None, path: str = DELETE, **policy: Any) -> ServerMethod:
    given = {path: kit.MethodPolicy(idempotency_level=level, **policy)}
    return ServerMethod(path, Shape.UNARY_UNARY, policy_for(path, given))


def call(request: Any = None, *metadata: tuple[str, str], who: Principal | None = None) -> ServerCall:
    made = ServerCall(DELETE, request, Context(), metadata)  # type: ignore[arg-type]  # a fake
    made.principal = who
    return made


class Lines:
    """What has been written, by field."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.all: list[dict[str, Any]] = []
        monkeypatch.setattr("kit.server._audit.write", lambda **fields: self.all.append(fields))


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Lines:
    return Lines(monkeypatch)


async def test_a_line_says_who_did_what_and_how_it_ended(lines: Lines) -> None:
    clock = VirtualClock()

    async def inner(_: ServerCall) -> str:
        await clock.advance(0.25)
        return "done"

    made = call(_requests()["Delete"](name="orders/7"), ("idempotency-key", "k-1"), who=Principal("ann", method="jwt"))
    assert await AuditLayer(clock).wrap(method(), inner)(made) == "done"
    assert lines.all == [
        {
            "method": DELETE,
            "principal": "ann",
            "authenticated_by": "jwt",
            "peer": "ipv4:10.0.0.7:1234",
            "resource": "orders/7",
            "code": "OK",
            "duration_ms": 250.0,
            "idempotency_key_sha256": hashlib.sha256(b"k-1").hexdigest()[:16],
        }
    ]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.NotFound("no"), "NOT_FOUND"),
        (ValueError("defect"), "INTERNAL"),
        (asyncio.CancelledError(), "CANCELLED"),
        (grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata()), "UNAVAILABLE"),
        (grpc.aio.AioRpcError(grpc.StatusCode.NOT_FOUND, grpc.aio.Metadata(), grpc.aio.Metadata()), "INTERNAL"),
    ],
)
async def test_a_call_that_fails_is_written_down_with_what_the_client_gets(
    lines: Lines, error: BaseException, code: str
) -> None:
    async def inner(_: ServerCall) -> None:
        raise error

    with pytest.raises(type(error)):
        await AuditLayer().wrap(method(), inner)(call())
    assert [line["code"] for line in lines.all] == [code]


async def test_a_call_that_its_deadline_ended_has_that_status_and_its_peer(lines: Lines) -> None:
    made = call()

    async def inner(_: ServerCall) -> None:
        set_deadline(SYSTEM.now())
        # As grpc's: the stream is gone, and who was at its other end with it.
        made.context.peer = lambda: ""  # type: ignore[method-assign]
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await asyncio.ensure_future(AuditLayer().wrap(method(), inner)(made))
    [line] = lines.all
    assert (line["code"], line["peer"]) == ("DEADLINE_EXCEEDED", "ipv4:10.0.0.7:1234")


async def test_a_status_that_the_handler_set_itself_is_written_down(lines: Lines) -> None:
    async def inner(made: ServerCall) -> None:
        await made.context.abort(grpc.StatusCode.ABORTED, "again")

    with pytest.raises(grpc.aio.AbortError):
        await AuditLayer().wrap(method(), inner)(call())
    assert [line["code"] for line in lines.all] == ["ABORTED"]


@pytest.mark.parametrize(
    ("level", "path", "written"),
    [
        (kit.IdempotencyLevel.NO_SIDE_EFFECTS, DELETE, False),
        (kit.IdempotencyLevel.IDEMPOTENT, DELETE, True),
        (kit.IdempotencyLevel.UNKNOWN, DELETE, True),
        (None, DELETE, True),
        (None, "/grpc.health.v1.Health/Watch", False),
        (None, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", False),
    ],
)
async def test_only_what_may_change_something_is_written_down(
    lines: Lines, level: kit.IdempotencyLevel | None, path: str, written: bool
) -> None:
    async def inner(_: ServerCall) -> str:
        return "done"

    handle = AuditLayer().wrap(method(level, path), inner)
    assert (handle is not inner) is written
    await handle(call())
    assert len(lines.all) == written


@pytest.mark.parametrize("level", [kit.IdempotencyLevel.IDEMPOTENT, kit.IdempotencyLevel.NO_SIDE_EFFECTS])
async def test_a_denied_change_is_written_down_too(lines: Lines, level: kit.IdempotencyLevel) -> None:
    audit = AuditLayer()

    async def inner(_: ServerCall) -> None:
        raise AssertionError("it was served")

    given = method(level, auth=kit.AuthPolicy(scopes=("orders.write",)))
    with pytest.raises(errors.PermissionDenied):
        await compose([AuthoriseLayer(audit.denials), audit], given, inner)(call(who=Principal("ann")))
    changes = level is kit.IdempotencyLevel.IDEMPOTENT
    assert [(line["principal"], line["code"]) for line in lines.all] == [("ann", "PERMISSION_DENIED")] * changes


def test_the_resource_is_the_name_or_the_parent_or_inside_of_an_update() -> None:
    made = _requests()
    assert resource_in(made["Delete"](name="orders/7", parent="shops/1")) == "orders/7"
    assert resource_in(made["Delete"](parent="shops/1")) == "shops/1"
    assert resource_in(made["Delete"]()) == ""
    assert resource_in(made["Delete"](name="x" * 999)) == "x" * 256
    assert resource_in(made["Update"](order=made["Order"](name="orders/8"))) == "orders/8"
    assert resource_in(made["Update"]()) == ""


def test_a_name_that_is_sensitive_or_no_text_is_not_written() -> None:
    made = _requests()
    assert resource_in(made["Secret"](name="a person", parent="shops/1")) == "shops/1"
    assert resource_in(made["Number"](name=7)) == ""
    assert resource_in(StringValue(value="x")) == ""
    for other in (b"bytes", None, iter(())):
        assert resource_in(other) == ""


async def test_lines_go_to_the_audit_log_as_fields(caplog: pytest.LogCaptureFixture) -> None:
    async def inner(_: ServerCall) -> str:
        return "done"

    with caplog.at_level(logging.INFO):
        await AuditLayer().wrap(method(), inner)(call(who=Principal("ann")))
    assert [record.name for record in caplog.records] == ["kit.audit"]
    assert "ann" in caplog.text


def _requests() -> dict[str, Any]:
    """Messages such as services have."""
    text, kind = descriptor_pb2.FieldDescriptorProto.TYPE_STRING, descriptor_pb2.FieldDescriptorProto.TYPE_INT32
    whole = descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE
    file = descriptor_pb2.FileDescriptorProto(
        name="test/audit.proto",
        package="test.audit",
        syntax="proto3",
        dependency=[field_mask_pb2.DESCRIPTOR.name, policy_pb2.DESCRIPTOR.name],
    )
    for name in ("Delete", "Order", "Secret"):
        message = file.message_type.add(name=name)
        field = message.field.add(name="name", number=1, type=text, label=1)
        if name == "Secret":
            field.options.Extensions[policy_pb2.sensitive] = True
        message.field.add(name="parent", number=2, type=text, label=1)
    file.message_type.add(name="Number").field.add(name="name", number=1, type=kind, label=1)
    update = file.message_type.add(name="Update")
    update.field.add(name="update_mask", number=1, type=whole, label=1, type_name=".google.protobuf.FieldMask")
    update.field.add(name="order", number=2, type=whole, label=1, type_name=".test.audit.Order")
    pool = descriptor_pool.Default()
    try:
        found = pool.FindFileByName(file.name)
    except KeyError:
        pool.AddSerializedFile(file.SerializeToString())
        found = pool.FindFileByName(file.name)
    return {name: message_factory.GetMessageClass(kind) for name, kind in found.message_types_by_name.items()}
