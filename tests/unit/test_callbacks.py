"""Callbacks that users hand in."""

from __future__ import annotations

import functools
import logging

import pytest

from kit.callbacks import run_callback


class Clock:
    """Shows what it is set to."""

    time = 0.0

    def now(self) -> float:
        return self.time


class Slow:
    """A callback that is an object, and takes its time."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds

    def __call__(self, *_: object) -> None:
        self._clock.time += self._seconds


def test_a_callback_that_blocks_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()

    def dawdles(call: object) -> None:
        assert call == "call"
        clock.time += 0.25

    for _ in range(3):
        run_callback(dawdles, "call", now=clock.now)
    run_callback(functools.partial(dawdles, "call"), now=clock.now)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "test_a_callback_that_blocks_is_named_once.<locals>.dawdles" in record.getMessage()
    assert "test_callbacks.py:" in record.getMessage()
    assert "250 ms" in record.getMessage()


def test_objects_are_named_by_their_class_and_a_tenth_of_a_second_is_allowed(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    run_callback(Slow(clock, 0.1), now=clock.now)
    assert not caplog.records
    run_callback(Slow(clock, 0.2), now=clock.now)
    assert "Slow" in caplog.text


def test_what_a_callback_raises_is_passed_on() -> None:
    def fails() -> None:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        run_callback(fails)
