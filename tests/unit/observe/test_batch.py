"""Batches: bounded, in order, nothing lost, and an exporter that fails harms nobody."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from kit.errors import ConfigurationError
from kit.observe._batch import Batch, BatchRules


@pytest.fixture
def exported() -> list[list[Any]]:
    return []


def test_it_exports_in_order_and_in_batches(exported: list[list[Any]]) -> None:
    batch = Batch(exported.append, BatchRules(delay=60, size=4, most=100))
    # Not by the thread.
    batch._wake.set = lambda: None  # type: ignore[method-assign]
    for number in range(10):
        batch.add(number)
    batch.flush()
    assert exported == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert batch.dropped == 0


def test_it_exports_by_itself_as_soon_as_there_is_a_batch() -> None:
    come = threading.Event()
    batch = Batch(lambda _: come.set(), BatchRules(delay=60, size=2, most=100))
    batch.add(1)
    batch.add(2)
    assert come.wait(20)
    batch.close()


def test_it_exports_by_itself_after_the_delay() -> None:
    come = threading.Event()
    batch = Batch(lambda _: come.set(), BatchRules(delay=0.01, size=2, most=100))
    batch.add(1)
    assert come.wait(20)
    batch.close()


def test_what_comes_while_it_is_full_is_dropped_and_counted(exported: list[list[Any]]) -> None:
    entered, go = threading.Event(), threading.Event()

    def export(items: list[Any]) -> None:
        entered.set()
        go.wait(20)
        exported.append(items)

    batch = Batch(export, BatchRules(delay=60, size=2, most=3))
    batch.add(1)
    batch.add(2)
    assert entered.wait(20)
    for number in range(3, 8):
        batch.add(number)
    assert batch.dropped == 2
    go.set()
    batch.close()
    assert sorted(number for items in exported for number in items) == [1, 2, 3, 4, 5]


def test_nothing_is_lost_while_others_add(exported: list[list[Any]]) -> None:
    batch = Batch(exported.append, BatchRules(delay=0.001, size=7, most=100_000))

    def add(first: int) -> None:
        for number in range(first, first + 5000):
            batch.add(number)

    threads = [threading.Thread(target=add, args=(first,)) for first in (0, 5000, 10_000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    batch.close()
    assert sorted(number for items in exported for number in items) == list(range(15_000))


def test_an_exporter_that_fails_is_logged_and_the_next_batch_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    def export(items: list[Any]) -> None:
        if items == [1]:
            raise ValueError("broken")
        seen.extend(items)

    seen: list[Any] = []
    batch = Batch(export, BatchRules(delay=60, size=10, most=100))
    batch.add(1)
    batch.flush()
    batch.add(2)
    batch.close()
    assert seen == [2]
    assert "could not be exported" in caplog.text


def test_the_rules_come_from_the_environment_in_the_words_of_the_sdk() -> None:
    found = BatchRules.from_env({"OTEL_BSP_SCHEDULE_DELAY": "250", "OTEL_BSP_MAX_QUEUE_SIZE": "4096"})
    assert found == BatchRules(delay=0.25, size=2048, most=4096)
    assert BatchRules.from_env({}) == BatchRules()
    for wrong in ({"OTEL_BSP_SCHEDULE_DELAY": "x"}, {"OTEL_BSP_MAX_QUEUE_SIZE": "1"}, {"OTEL_BSP_SCHEDULE_DELAY": "0"}):
        with pytest.raises(ConfigurationError):
            BatchRules.from_env(wrong)
