"""A collector, and telemetry that goes there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kit.observe import Telemetry, setup
from tests.integration.observe.collector import Collector

SetUp = Callable[..., Telemetry]


@pytest.fixture(autouse=True)
def nothing_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tests have counted is left out: ports come again."""
    monkeypatch.setattr("kit.observe.calls._served", {})
    monkeypatch.setattr("kit.observe.calls._called", {})


@pytest.fixture
def collector() -> Iterator[Collector]:
    one = Collector()
    yield one
    one.close()


@pytest.fixture
def set_up(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> Iterator[SetUp]:
    """Turns telemetry on; batches are sent when they are flushed."""
    for name, value in (("OTEL_BSP_SCHEDULE_DELAY", "60000"), ("OTEL_METRIC_EXPORT_INTERVAL", "60000")):
        monkeypatch.setenv(name, value)
    started: list[Telemetry] = []

    def start(**arguments: Any) -> Telemetry:
        telemetry = setup("shop", otlp_endpoint=collector.endpoint, **arguments)
        assert telemetry is not None
        started.append(telemetry)
        return telemetry

    yield start
    for telemetry in started:
        telemetry.shutdown()
