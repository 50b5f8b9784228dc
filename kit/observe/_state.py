"""What of telemetry is on in this process. Read on the path of every call, written by `kit.observe.setup`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry import trace

    from kit.observe.recorder import Recorder

__all__ = ["STATE"]


class State:
    """At most one of `recorder` and `tracer` is there: spans are records of our own, or the SDK's."""

    __slots__ = ("metrics", "on", "recorder", "tracer")

    def __init__(self) -> None:
        self.recorder: Recorder | None = None
        self.tracer: trace.Tracer | None = None
        self.metrics = False
        #: Whether any of them is.
        self.on = False

    def trace(self, *, recorder: Recorder | None = None, tracer: trace.Tracer | None = None) -> None:
        """Makes spans with one of them; with neither, none."""
        self.recorder, self.tracer = recorder, tracer
        self._noted()

    def count(self, metrics: bool) -> None:
        """Counts calls, or does not."""
        self.metrics = metrics
        self._noted()

    def _noted(self) -> None:
        self.on = self.metrics or self.recorder is not None or self.tracer is not None


STATE = State()
