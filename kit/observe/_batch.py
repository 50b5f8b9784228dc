"""Gathers what has ended on the path of calls, and hands it on in batches, on a thread of its own.

Nobody who adds ever waits. The list is bounded: what comes while it is full is dropped and counted.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from kit.errors import ConfigurationError

__all__ = ["Batch", "BatchRules", "HandingOn"]

log = logging.getLogger("kit.observe")


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRules:
    """`delay` is seconds; `size` and `most` are numbers of calls: in a batch, and that wait to be sent."""

    delay: float = 1.0
    size: int = 2048
    most: int = 16_384

    def __post_init__(self) -> None:
        if not (self.delay > 0 and 0 < self.size <= self.most):
            raise ConfigurationError(f"a batch of spans needs a delay, a size, and room for it: {self}")

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> BatchRules:
        """What the OTEL_BSP_* variables say, as for the SDK's own batches. Raises ConfigurationError."""
        try:
            return cls(
                delay=float(environ.get("OTEL_BSP_SCHEDULE_DELAY") or 1000) / 1000,
                size=int(environ.get("OTEL_BSP_MAX_EXPORT_BATCH_SIZE") or 2048),
                most=int(environ.get("OTEL_BSP_MAX_QUEUE_SIZE") or 16_384),
            )
        except ValueError as error:
            raise ConfigurationError(f"OTEL_BSP_*: {error}") from None


class Batch:
    """What waits to be exported."""

    def __init__(self, export: Callable[[list[Any]], object], rules: BatchRules) -> None:
        self._export = export
        self._rules = rules
        self._waiting: list[Any] = []
        #: Set: there is enough for a batch, or somebody wants what there is.
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._closed = False
        #: How many were not taken because the list was full.
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="kit-telemetry", daemon=True)
        self._thread.start()

    def add(self, item: Any) -> None:
        """Takes what has ended; drops it where there is no room."""
        waiting = self._waiting
        count = len(waiting)
        if count >= self._rules.most:
            self.dropped += 1
            return
        waiting.append(item)
        if count + 1 == self._rules.size:
            self._wake.set()

    def flush(self) -> None:
        """Exports what there is, on the thread of whoever asks."""
        with self._lock:
            while self._waiting:
                # Whoever adds at the same time adds at the end.
                taken = self._waiting[: self._rules.size]
                del self._waiting[: len(taken)]
                try:
                    self._export(taken)
                except Exception:
                    log.exception("spans could not be exported")

    def close(self) -> None:
        """Exports what there is and ends the thread. What comes afterwards is dropped when the process ends."""
        self._closed = True
        self._wake.set()
        self.flush()

    def _run(self) -> None:
        while not self._closed:
            self._wake.wait(self._rules.delay)
            self._wake.clear()
            self.flush()


class HandingOn(SpanProcessor):
    """Puts the spans of plain OpenTelemetry code into the same batches."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Nothing is to be done yet."""

    def on_end(self, span: ReadableSpan) -> None:
        if span.context is not None and span.context.trace_flags.sampled:
            self._batch.add(span)

    def shutdown(self) -> None:
        self._batch.close()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        self._batch.flush()
        return True
