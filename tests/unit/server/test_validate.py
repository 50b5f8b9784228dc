"""Requests are held against the rules in their .proto, and only where there are some."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import pytest

from kit.errors import ConfigurationError, InvalidArgument, details_of
from kit.pipeline import Shape
from kit.policy import policy_for
from kit.server._answers import MAX_STATUS, answer_to
from kit.server._call import Handler, ServerCall, ServerMethod, Undecodable
from kit.server._validate import ValidateLayer, has_rules
from tests.compiled import messages
from tests.unit.server.fakes import FakeContext

PROTO = """
syntax = "proto3";
package rules.v1;
import "buf/validate/validate.proto";
import "google/protobuf/any.proto";

message Plain { string text = 1; Plain below = 2; }
message Named { string name = 1 [(buf.validate.field).string.min_len = 2]; }
message Holder { Plain plain = 1; repeated Wrapper wrappers = 2; }
message Wrapper { map<string, Named> names = 1; }
message Either { oneof which { option (buf.validate.oneof).required = true; string a = 1; string b = 2; } }
message Whole {
  string first = 1;
  string last = 2;
  option (buf.validate.message).cel = {
    id: "whole.first" message: "a last name needs a first one" expression: "this.last == '' || this.first != ''"
  };
}
message Order {
  repeated Named lines = 1 [(buf.validate.field).repeated.max_items = 3];
  map<string, int64> tags = 2 [(buf.validate.field).map = {keys: {string: {max_len: 3}} values: {int64: {gte: 0}}}];
  map<bool, Named> flags = 3;
  uint32 count = 4 [(buf.validate.field).uint32.lt = 9];
}
message Many { repeated string items = 1 [(buf.validate.field).repeated.items.string.min_len = 1]; }
message Broken { string text = 1 [(buf.validate.field).cel = {id: "x" expression: "this.nowhere"}]; }
message HasBroken { Broken broken = 1; }
"""
MESSAGES = messages(PROTO)


async def handled(call: ServerCall) -> Any:
    if hasattr(call.request, "__aiter__"):
        return [message async for message in call.request]
    return call.request


def wrapped(name: str, shape: Shape = Shape.UNARY_UNARY, *, inner: Handler = handled, wanted: bool = True) -> Handler:
    """The layer around a handler whose request is the message `name`."""
    path = f"/rules.v1.Service/{name}"
    method = ServerMethod(path, shape, policy_for(path), MESSAGES[name].FromString)
    return ValidateLayer(wanted).wrap(method, inner)


def call_of(request: Any) -> ServerCall:
    return ServerCall("/rules.v1.Service/M", request, FakeContext())  # type: ignore[arg-type]  # a fake


async def refusal(name: str, **fields: Any) -> InvalidArgument:
    with pytest.raises(InvalidArgument) as refused:
        await wrapped(name)(call_of(MESSAGES[name](**fields)))
    return refused.value


@pytest.mark.parametrize(
    ("name", "found"),
    [("Plain", False), ("Named", True), ("Holder", True), ("Either", True), ("Whole", True), ("Order", True)],
)
def test_rules_are_found_in_fields_oneofs_messages_and_whatever_is_below(name: str, found: bool) -> None:
    assert has_rules(MESSAGES[name].DESCRIPTOR) is found


def test_a_method_without_rules_is_left_alone() -> None:
    assert wrapped("Plain") is handled
    assert wrapped("Named") is not handled


def test_nothing_is_checked_where_nobody_wants_it() -> None:
    assert wrapped("Named", wanted=False) is handled


def test_a_method_of_which_nothing_is_known_is_left_alone() -> None:
    method = ServerMethod("/no.Where/M", Shape.UNARY_UNARY, policy_for("/no.Where/M"), lambda raw: raw)
    assert ValidateLayer().wrap(method, handled) is handled


async def test_a_request_that_keeps_the_rules_reaches_the_handler() -> None:
    request = MESSAGES["Named"](name="ab")
    assert await wrapped("Named")(call_of(request)) is request


async def test_each_violation_is_named_with_its_field() -> None:
    named = MESSAGES["Named"]
    error = await refusal(
        "Order",
        lines=[named(name="ab"), named(name="c")],
        tags={"long key": -1},
        flags={True: named(name="ab"), False: named()},
        count=9,
    )
    assert {violation.field for violation in error.violations} == {
        "lines[1].name",
        'tags["long key"]',
        "flags[false].name",
        "count",
    }
    by_field = {violation.field: violation.description for violation in error.violations if violation.field != "tags"}
    assert by_field["count"] == "must be less than 9"
    assert any(violation.description.startswith("key: ") for violation in error.violations)
    assert error.message.endswith(f"(and {len(error.violations) - 1} more)")
    assert (error.reason, error.domain) == ("INVALID_REQUEST", "rules.v1.Service")


async def test_a_rule_of_the_whole_message_names_no_field() -> None:
    error = await refusal("Whole", last="x")
    assert error.message == "a last name needs a first one"
    assert [violation.field for violation in error.violations] == [""]


async def test_a_oneof_that_has_to_be_set_is_named() -> None:
    assert [violation.field for violation in (await refusal("Either")).violations] == ["which"]


async def test_what_could_not_be_parsed_is_left_to_be_refused_further_in() -> None:
    broken = Undecodable("cut off")
    assert await wrapped("Named")(call_of(broken)) is broken


async def test_a_large_request_is_told_its_first_violation_only() -> None:
    error = await refusal("Many", items=["", *["x" * 100] * 1000, ""])
    assert len(error.violations) == 1
    assert len((await refusal("Many", items=["", "x", ""])).violations) == 2


async def test_what_is_sent_fits_into_a_status_however_much_is_wrong() -> None:
    error = await refusal("Many", items=[""] * 1000)
    status = dict(answer_to(error, lambda: "").trailing)["grpc-status-details-bin"]
    assert len(status) < MAX_STATUS
    failed = grpc.aio.AioRpcError(
        error.code, grpc.aio.Metadata(), grpc.aio.Metadata(("grpc-status-details-bin", status))
    )
    assert len(details_of(failed).violations) == 16


async def test_each_message_of_a_stream_is_checked_when_it_is_read() -> None:
    seen: list[Any] = []

    async def inner(call: ServerCall) -> Any:
        async for message in call.request:
            seen.append(message.name)  # noqa: PERF401 - what was read before the error counts

    async def requests() -> AsyncIterator[Any]:
        for name in ("ab", "cd", "e", "fg"):
            yield MESSAGES["Named"](name=name)

    handler = wrapped("Named", Shape.STREAM_UNARY, inner=inner)
    with pytest.raises(InvalidArgument, match="name: must be at least 2 characters"):
        await handler(call_of(requests()))
    assert seen == ["ab", "cd"]


async def test_a_message_that_the_handler_reads_from_the_context_is_checked_too() -> None:
    class Context(FakeContext):
        def __init__(self) -> None:
            super().__init__(remaining=7)
            self.waiting = [MESSAGES["Named"](name="ab"), MESSAGES["Named"](name="a")]

        async def read(self) -> Any:
            return self.waiting.pop(0) if self.waiting else grpc.aio.EOF

    async def inner(call: ServerCall) -> Any:
        first = await call.context.read()
        assert first.name == "ab"
        assert call.context.time_remaining() == 7
        return await call.context.read()

    handler = wrapped("Named", Shape.STREAM_STREAM, inner=inner)
    with pytest.raises(InvalidArgument):
        await handler(ServerCall("/m", None, Context()))  # type: ignore[arg-type]  # a fake


def test_rules_that_make_no_sense_are_refused_at_the_start() -> None:
    with pytest.raises(ConfigurationError, match=r"the rules of rules\.v1\.Broken cannot be used"):
        wrapped("HasBroken")


def test_without_the_extra_the_start_is_refused_and_the_extra_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(ConfigurationError, match=r"/rules.v1.Service/Named: .* grpc-service-kit\[validate\]"):
        wrapped("Named")
    assert wrapped("Plain") is handled
