"""Which workspaces there are: the workspace service knows, and is asked once in a while for each."""

from __future__ import annotations

import math
from collections.abc import Callable

import grpc

from kit.clock import SYSTEM, Clock
from kit.errors import FailedPrecondition, NotFound, Unavailable
from loganalyzer.workspace.v1 import workspace_pb2, workspace_pb2_grpc
from services.search.requests import DOMAIN

__all__ = ["Workspaces"]

#: How long a workspace that was there is taken to be there, in seconds.
TRUSTED_SECONDS = 5.0
#: How long the workspace service is left alone after a failure, where it can be done without.
PAUSE_SECONDS = 5.0
_NOT_NOW = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


class Workspaces:
    """Asks the workspace service, and remembers good answers for a few seconds. `connect` gives its stub."""

    def __init__(
        self, connect: Callable[[], workspace_pb2_grpc.WorkspaceServiceAsyncStub], *, clock: Clock = SYSTEM
    ) -> None:
        self._connect = connect
        self._clock = clock
        self._trusted: dict[str, float] = {}
        self._resume = -math.inf

    async def require(self, workspace: str, *, has_logs: bool) -> None:
        """Returns if the workspace can be searched.

        NotFound where there is none, FailedPrecondition while it is being deleted. While the workspace service cannot
        be reached, a workspace that has logs counts as there; Unavailable for any other.
        """
        now = self._clock.now()
        if self._trusted.get(workspace, -math.inf) > now or (has_logs and self._resume > now):
            return
        name = f"workspaces/{workspace}"
        try:
            found = await self._connect().GetWorkspace(workspace_pb2.GetWorkspaceRequest(name=name))
        except grpc.aio.AioRpcError as error:
            self._trusted.pop(workspace, None)
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise NotFound(
                    f"there is no {name}", reason="WORKSPACE_NOT_FOUND", domain=DOMAIN, metadata={"name": name}
                ) from error
            if error.code() not in _NOT_NOW:
                raise
            # Its retries take seconds: not every search shall go through them.
            self._resume = self._clock.now() + PAUSE_SECONDS
            if not has_logs:
                raise Unavailable("the workspace service cannot be reached", retry_after=1.0) from error
            return
        if found.deleting:
            raise FailedPrecondition(
                f"{name} is being deleted", reason="WORKSPACE_DELETING", domain=DOMAIN, metadata={"name": name}
            )
        if len(self._trusted) > 10_000:
            self._trusted = {known: until for known, until in self._trusted.items() if until > now}
        self._trusted[workspace] = now + TRUSTED_SECONDS

    def forget(self, workspace: str) -> None:
        """The next one asks again."""
        self._trusted.pop(workspace, None)
