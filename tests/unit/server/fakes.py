"""A servicer context that only remembers."""

from __future__ import annotations

from typing import Any

import grpc
import grpc.aio


class FakeContext:
    """As much of grpc.aio.ServicerContext as the layers use."""

    def __init__(self, *, remaining: float | None = None, metadata: tuple[tuple[str, str], ...] = ()) -> None:
        self.remaining = remaining
        self.metadata = metadata
        self.aborted: tuple[grpc.StatusCode, str, tuple[Any, ...]] | None = None
        self.trailing: tuple[Any, ...] = ()

    def time_remaining(self) -> float | None:
        return self.remaining

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return self.metadata

    def trailing_metadata(self) -> tuple[Any, ...]:
        return self.trailing

    def done(self) -> bool:
        return self.aborted is not None

    def code(self) -> grpc.StatusCode | int:
        return self.aborted[0] if self.aborted else 0

    def details(self) -> str:
        return self.aborted[1] if self.aborted else ""

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: tuple[Any, ...] = ()) -> None:
        self.aborted = (code, details, trailing_metadata)
        raise grpc.aio.AbortError("aborted")
