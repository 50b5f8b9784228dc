"""A stuck event loop is noticed by a thread beside it."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator

import pytest

from kit.health import Health, LoopWatch


class Heard(logging.Handler):
    """Sets an event for each line that it knows."""

    def __init__(self) -> None:
        super().__init__()
        self.stuck, self.turning = threading.Event(), threading.Event()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = str(record.msg)
        self.lines.append(text)
        if "the event loop is stuck" in text:
            self.stuck.set()
        if "the event loop turns again" in text:
            self.turning.set()


class Rounds(threading.Event):
    """Counts how often the thread has begun to wait."""

    began = 0

    def wait(self, timeout: float | None = None) -> bool:
        self.began += 1
        return super().wait(timeout)


@pytest.fixture
def heard() -> Iterator[Heard]:
    handler = Heard()
    logger = logging.getLogger("kit.health")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "kit loop watch"]


async def test_a_stuck_loop_is_logged_once_with_the_stack_of_its_thread_and_its_end_too(heard: Heard) -> None:
    def where_it_is_stuck(until: threading.Event) -> None:
        assert until.wait(30)
        # Two more rounds of the thread: it would say it again if it could.
        rounds.began = 0
        while rounds.began < 3:
            assert not threading.Event().wait(0.01)

    before, rounds = threads(), Rounds()
    watch = LoopWatch(stuck=0.3)
    watch._ended = rounds
    watch.start()
    try:
        where_it_is_stuck(heard.stuck)
        async with asyncio.timeout(30):
            while not heard.turning.is_set():  # noqa: ASYNC110 - a thread sets it
                await asyncio.sleep(0.01)
        finding = watch.finding()
    finally:
        watch.stop()
    assert threads() == before
    said = [line for line in heard.lines if "is stuck" in line]
    assert len(said) == 1
    assert "where_it_is_stuck" in said[0]
    assert finding.status is Health.DEGRADED
    assert float(finding.details["worst_lag_ms"]) > 500


async def test_a_loop_that_turns_is_healthy_and_watching_it_leaves_nothing_behind(heard: Heard) -> None:
    watch = LoopWatch()
    before, tasks = threads(), asyncio.all_tasks()
    for _ in range(3):
        watch.start()
        watch.start()
        assert len(threads()) == len(before) + 1
        watch.stop()
        watch.stop()
        assert threads() == before
    assert watch.finding().status is Health.HEALTHY
    assert asyncio.all_tasks() == tasks
    assert heard.lines == []
