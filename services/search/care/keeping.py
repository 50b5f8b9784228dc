"""What workspaces keep: the workspace service knows, and is asked rarely."""

from __future__ import annotations

import math

import grpc
import grpc.aio

from kit.clock import SYSTEM, Clock
from loganalyzer.workspace.v1 import workspace_pb2, workspace_pb2_grpc
from services.search.care.policy import Keep

__all__ = ["ASKED_SECONDS", "Keeping"]

#: How long an answer, or that there was none, counts.
ASKED_SECONDS = 60.0
_TIMEOUT = 5.0


class Keeping:
    """Asks for the retention of workspaces. While the service does not answer, everything of all of them is kept."""

    def __init__(self, stub: workspace_pb2_grpc.WorkspaceServiceAsyncStub, *, clock: Clock = SYSTEM) -> None:
        self._stub = stub
        self._clock = clock
        self._resume = -math.inf
        self._answers: dict[str, tuple[float, Keep | None]] = {}

    async def of(self, workspace: str) -> Keep | None:
        """What a workspace keeps; None where it has no limits, is not there, is being deleted, or nobody can say."""
        if self._resume > self._clock.now():
            return None
        until, keep = self._answers.get(workspace, (-math.inf, None))
        if until <= self._clock.now():
            keep = await self._ask(workspace)
            self._answers[workspace] = (self._clock.now() + ASKED_SECONDS, keep)
        return keep

    async def _ask(self, workspace: str) -> Keep | None:
        request = workspace_pb2.GetWorkspaceRequest(name=f"workspaces/{workspace}")
        try:
            found = await self._stub.GetWorkspace(request, timeout=_TIMEOUT)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                # Its retries take seconds: not every workspace shall go through them.
                self._resume = self._clock.now() + ASKED_SECONDS
            return None
        retention = found.retention
        age = retention.max_age.ToMicroseconds() / 1_000_000 if retention.HasField("max_age") else 0.0
        if found.deleting or (age <= 0 and retention.max_bytes <= 0):
            return None
        return Keep(age if age > 0 else None, retention.max_bytes if retention.max_bytes > 0 else None)
