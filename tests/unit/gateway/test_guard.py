"""Host and Origin."""

from __future__ import annotations

import pytest

from gateway.guard import Guard, is_loopback
from gateway.problem import RefusedError


def _status(guard: Guard, host: str, origin: str | None = None) -> int:
    try:
        guard.check(host, origin)
    except RefusedError as error:
        return error.problem.status
    return 200


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1:8080", "[::1]:8080", "LocalHost:8080"])
def test_loopback_answers_under_its_own_names(host: str) -> None:
    assert _status(Guard("127.0.0.1", 8080), host) == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8080", "localhost", "localhost:81", "127.0.0.1.evil:8080", "", "127.0.0.2:8080"],
)
def test_loopback_answers_under_no_other_name(host: str) -> None:
    assert _status(Guard("127.0.0.1", 8080), host) == 421


def test_the_port_may_be_left_out_where_it_is_the_usual_one() -> None:
    assert _status(Guard("::1", 80), "localhost") == 200


def test_a_name_may_be_allowed() -> None:
    assert _status(Guard("localhost", 8080, hosts=["Logs.lan:9000"]), "logs.lan:9000") == 200


def test_elsewhere_any_host_is_answered() -> None:
    assert _status(Guard("0.0.0.0", 8080), "logs.example") == 200


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 200),
        ("http://localhost:8080", 200),
        ("https://localhost:8080", 200),
        ("http://127.0.0.1:8080", 403),
        ("http://localhost:81", 403),
        ("http://evil.example", 403),
        ("null", 403),
        ("", 403),
        ("http://[", 403),
        ("file://localhost:8080", 403),
    ],
)
def test_only_pages_of_the_same_origin_may_ask(origin: str | None, status: int) -> None:
    assert _status(Guard("127.0.0.1", 8080), "localhost:8080", origin) == status


def test_origins_are_compared_everywhere_and_may_be_allowed() -> None:
    guard = Guard("0.0.0.0", 8080, origins=["https://logs.example/"])
    assert _status(guard, "gateway:8080", "https://evil.example") == 403
    assert _status(guard, "gateway:8080", "https://logs.example") == 200


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("[::1]", True), ("localhost", True), ("0.0.0.0", False)],
)
def test_loopback_is_known(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
