"""Secrets are taken out of what is printed: of messages, of fields, of text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf import any_pb2, json_format
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.observe.redaction import REDACTED, is_secret, redact_fields, redacted, redacted_metadata, redacted_text
from tests.compiled import messages

PROTO = """
syntax = "proto3";
package vault.v1;
import "kitapi/v1/policy.proto";
import "google/protobuf/any.proto";
import "google/protobuf/timestamp.proto";

message Plain { string text = 1; google.protobuf.Timestamp at = 2; bytes raw = 3; }
message Secret {
  string name = 1;
  string code = 2 [(kitapi.v1.sensitive) = true];
  repeated int64 digits = 3 [(kitapi.v1.sensitive) = true];
  map<string, string> answers = 4 [(kitapi.v1.sensitive) = true];
  Plain whole = 5 [(kitapi.v1.sensitive) = true];
  string not_so = 6 [(kitapi.v1.sensitive) = false];
  oneof way { string card = 7 [(kitapi.v1.sensitive) = true]; string cash = 8; }
}
message Tree {
  Secret one = 1;
  repeated Secret many = 2;
  map<string, Secret> named = 3;
  map<bool, Plain> plain = 4;
  repeated Tree below = 5;
  oneof kind { Secret in_oneof = 6; Plain other = 7; }
  google.protobuf.Any any = 8;
  google.protobuf.Timestamp at = 9;
}
"""
MESSAGES = messages(PROTO)
Plain, Secret, Tree = MESSAGES["Plain"], MESSAGES["Secret"], MESSAGES["Tree"]

#: How long an example takes says nothing on a machine with other work.
LOOSE = settings(deadline=None)
#: What no text around it has, so that its absence is told for certain.
NEEDLES = st.text("bcdfghjkmnpqrstvwxz0123456789", min_size=20, max_size=24).map(lambda text: f"Q{text}Z7")
SURROUNDINGS = st.text(st.characters(codec="utf-8", exclude_characters="\\"), max_size=30)
#: Words that begin something that is redacted, before something else that is.
LURES = st.sampled_from(
    ["Basic", "bearer", "password=", "secret:", "token=", "pwd =", "Cookie", "authorization", "eyJ"]
)


def filled(needle: str) -> Any:
    return Secret(
        name="a name",
        code=needle,
        digits=[7, 8],
        answers={needle: needle},
        whole=Plain(text=needle),
        not_so="shown",
        card=needle,
    )


# Messages


@LOOSE
@given(needle=NEEDLES, depth=st.integers(0, 4))
def test_a_sensitive_field_is_never_printed_wherever_its_message_is(needle: str, depth: int) -> None:
    tree = Tree(one=filled(needle), many=[filled(needle)] * 2, named={"a": filled(needle)}, in_oneof=filled(needle))
    for _ in range(depth):
        tree = Tree(below=[tree, Tree(one=filled(needle))])
    printed = json.dumps(redacted(tree))
    assert needle not in printed
    assert printed.count("a name") == printed.count("shown") > 0


def test_what_is_not_sensitive_is_printed_as_json_has_it() -> None:
    secret = Secret(name="a", not_so="b", cash="c")
    assert redacted(secret) == {"name": "a", "not_so": "b", "cash": "c"}
    plain = Plain(text="a", at={"seconds": 1}, raw=b"xyz")
    assert redacted(plain) == json_format.MessageToDict(plain, preserving_proto_field_name=True)


def test_the_shape_around_what_is_redacted_stays() -> None:
    tree = Tree(
        one=Secret(code="x"),
        many=[Secret(name="a"), Secret(card="y")],
        named={"k": Secret(digits=[1])},
        plain={True: Plain(text="t")},
        at={"seconds": 1},
    )
    assert redacted(tree) == {
        "one": {"code": REDACTED},
        "many": [{"name": "a"}, {"card": REDACTED}],
        "named": {"k": {"digits": REDACTED}},
        "plain": {"true": {"text": "t"}},
        "at": "1970-01-01T00:00:01Z",
    }


def test_an_unset_field_is_not_there_and_the_message_stays_as_it_was() -> None:
    secret = Secret(code="x", name="a")
    before = secret.SerializeToString()
    assert redacted(secret) == {"name": "a", "code": REDACTED}
    assert secret.SerializeToString() == before
    assert redacted(Secret()) == {}


def test_an_any_of_a_known_type_is_opened_and_another_one_told_by_its_size() -> None:
    from google.rpc.error_details_pb2 import ErrorInfo

    tree = Tree()
    tree.any.Pack(ErrorInfo(reason="X"))
    assert redacted(tree) == {"any": {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "X"}}
    tree.any.Pack(Timestamp(seconds=1))
    assert redacted(tree)["any"]["value"] == "1970-01-01T00:00:01Z"
    unknown = any_pb2.Any(type_url="type.googleapis.com/no.where.Message", value=b"secret")
    assert redacted(unknown) == {"@type": "type.googleapis.com/no.where.Message", "value": "[6 bytes]"}
    tree.any.Pack(Secret(name="a", code="x"))
    assert redacted(tree)["any"] == {"@type": "type.googleapis.com/vault.v1.Secret", "name": "a", "code": REDACTED}
    damaged = any_pb2.Any(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff\xff")
    assert redacted(damaged)["value"] == "[2 bytes]"


def test_a_declared_field_counts_with_the_generated_code_too() -> None:
    message: Message = filled("hunter2")
    assert "hunter2" not in str(redacted(message))


# Names


SECRET_NAMES = """
password db_password X-Api-Key accessToken authorization Proxy-Authorization set-cookie id_token APIKey secret
client_secret private_key sessionId refresh_token credentials AWS_SECRET_ACCESS_KEY passwd userPassword
"""


@pytest.mark.parametrize("name", SECRET_NAMES.split())
def test_names_of_secrets_are_known_however_they_are_written(name: str) -> None:
    assert is_secret(name)


OTHER_NAMES = """
page_token nextPageToken tokens token_count idempotency_key key keys author cooking compass secretary
max_tokens path monkey keyboard sample
"""


@pytest.mark.parametrize("name", OTHER_NAMES.split())
def test_other_names_are_left_alone(name: str) -> None:
    assert not is_secret(name)


# Text

HIDDEN = [
    "Bearer {}",
    "authorization: Bearer {}",
    "Authorization: Digest username=a, response={}",
    "{{'authorization': 'Basic {}'}}",
    "('x-api-key', '{}') api_key={}",
    "postgres://kit:{}@db:5432/kit",
    "https://{}@github.com/kit",
    "amqp://a:p@{}@host",
    '{{"password": "{} with spaces", "n": 1}}',
    '{{\\"password\\": \\"{}\\"}}',
    "Config(password='{}', n=1)",
    "password = {}",
    "secret: {}",
    "?access_token={}&page=2",
    '"token": "{}"',
    "Cookie: a=b; session={}",
    "eyJhbGciOiJIUzI1NiJ9.{}.{}",
    "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----",
    "-----BEGIN EC PRIVATE KEY-----\n{}",
    "xoxb-{}",
    "ghp_{}",
    "github_pat_{}",
    "glpat-{}",
    "sk_live_{}",
    "AIza{0}{0}",
]


@pytest.mark.parametrize("pattern", HIDDEN)
@LOOSE
@given(needle=NEEDLES, before=SURROUNDINGS | LURES, after=SURROUNDINGS)
def test_a_secret_does_not_survive_whatever_is_around_it(pattern: str, needle: str, before: str, after: str) -> None:
    if pattern.startswith("('x-api-key'"):
        pattern = "api_key={}"
    said = redacted_text(f"{before} {pattern.format(*[needle] * 2)} {after}")
    assert needle not in said
    assert REDACTED in said
    assert redacted_text(said) == said


@LOOSE
@given(st.text())
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    once = redacted_text(text)
    assert redacted_text(once) == once


@pytest.mark.parametrize(
    "text",
    [
        "the bearer of news",
        "basic validation of the request",
        "unexpected token: foo",
        "next_page_token=abc",
        "https://example.org/a?b=c",
        "5 tokens left of 10",
        "the keyboard has a key",
        "no such key: workspaces/a",
        "begin",
        "",
    ],
)
def test_usual_text_stays_as_it_is(text: str) -> None:
    assert redacted_text(text) == text


@pytest.mark.parametrize(
    "text",
    [
        *("eyJ-" * 50_000, "://" * 50_000, "password=" + "\\" * 100_000, "a" * 300_000, "password=" + "a_" * 100_000),
        *("bearer " * 30_000, "pwd= " * 50_000, "pwd" + " " * 200_000, "cookie" * 30_000, "token" + '\\"' * 50_000),
        "-----BEGIN PRIVATE KEY-----" + "-----END " * 30_000,
    ],
)
def test_no_text_takes_long(text: str) -> None:
    # It is linear: a quadratic rule would run for minutes here.
    assert redacted_text(text)


# Fields


@LOOSE
@given(needle=NEEDLES)
def test_a_secret_in_a_lines_fields_does_not_survive_however_deep_it_is(needle: str) -> None:
    fields: dict[str, Any] = {
        "event": f"called with Bearer {needle}",
        "password": needle,
        "headers": {"Authorization": needle, "n": 1, "list": [("cookie", needle), f"token={needle}"]},
        "metadata": (("x-api-key", needle), ("a", "b")),
        "request": filled(needle),
        "raw": f"password={needle}".encode(),
        "error": ValueError(f"postgres://a:{needle}@h/d"),
        "pin_password": 1234,
        "deep": [[[[[[[[[[[{"password": needle}]]]]]]]]]]],
    }
    redact_fields(fields)
    printed = json.dumps(fields)
    assert needle not in printed
    assert "1234" not in printed


def test_fields_without_secrets_are_the_same_objects() -> None:
    text = "plain"
    fields = {"event": text, "n": 1, "ratio": 0.5, "ok": True, "nothing": None, "has_password": True}
    redact_fields(fields)
    assert fields == {"event": text, "n": 1, "ratio": 0.5, "ok": True, "nothing": None, "has_password": True}
    assert fields["event"] is text


def test_a_value_that_cannot_be_printed_fails_nobody() -> None:
    class Broken:
        def __str__(self) -> str:
            raise ValueError("no")

    fields: dict[str, Any] = {"thing": Broken()}
    redact_fields(fields)
    assert fields == {"thing": "[Broken that cannot be printed]"}


def test_what_is_to_be_skipped_is_not_looked_at() -> None:
    fields = {"a": "Bearer abcdef123456", "b": "Bearer abcdef123456"}
    redact_fields(fields, frozenset({"a"}))
    assert fields == {"a": "Bearer abcdef123456", "b": f"Bearer {REDACTED}"}


def test_metadata_is_printed_without_secrets_and_binaries_by_their_size() -> None:
    sent: list[tuple[str, str | bytes]] = [
        ("authorization", "x"),
        ("x-request-id", "1"),
        ("trace-bin", b"abc"),
        ("note", "Bearer abcdef123456"),
    ]
    assert redacted_metadata(sent) == [
        ("authorization", REDACTED),
        ("x-request-id", "1"),
        ("trace-bin", "[3 bytes]"),
        ("note", f"Bearer {REDACTED}"),
    ]
