"""Which port is taken."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from kit.discovery import find_port, is_available


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_port_that_somebody_listens_on_is_not_available(taken: int) -> None:
    assert not is_available(taken)


def test_the_preferred_port_is_taken_when_it_is_free() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert find_port(port) == port


def test_a_taken_port_is_passed_over(taken: int) -> None:
    assert find_port(taken) != taken


def test_when_no_try_is_left_the_system_picks(taken: int) -> None:
    port = find_port(taken, tries=1)
    assert port != taken
    assert is_available(port)


def test_no_port_beyond_the_last_is_tried(taken: int) -> None:
    assert find_port(taken, last=taken) != taken + 1 or is_available(taken + 1)
