"""How late the event loop is, in virtual time where it can be late on command."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kit.observe import metrics
from kit.observe.loop import LoopLag


class Loop:
    """A loop whose timers come when the test says."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[tuple[Any, tuple[Any, ...]]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, function: Any, *arguments: Any, context: Any = None) -> Loop:
        self.timers.append((function, arguments))
        return self

    def cancel(self) -> None:
        self.timers.clear()

    def fire(self, after: float) -> None:
        self.now += after
        [(function, arguments)] = self.timers
        self.timers.clear()
        function(*arguments)


def test_what_a_timer_is_late_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_instruments", {})
    loop = Loop()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
    lag = LoopLag(0.25)
    loop.fire(0.25)
    loop.fire(0.25 + 0.3)
    lag.close()
    lag.close()
    assert loop.timers == []
    [series] = metrics.histogram("kit.event_loop.lag", "x").family()["series"]
    assert sum(series["counts"]) == 2
    assert series["sum"] == pytest.approx(0.3)
