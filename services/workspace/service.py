"""WorkspaceService: translates between protobuf and the store."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection
from typing import Any

from google.longrunning import operations_pb2

from kit.clock import SYSTEM, Clock
from kit.errors import AlreadyExists
from loganalyzer.workspace.v1 import workspace_pb2, workspace_pb2_grpc
from services.workspace import messages, names, pages
from services.workspace.deletion import Deletions, now_us
from services.workspace.refusals import being_deleted, check_mask, not_found
from services.workspace.saved import SavedQueries
from services.workspace.saved_methods import SavedQueryMethods
from services.workspace.store import Store

#: Seconds that a protobuf duration may have: 10,000 years.
LONGEST_AGE = 315_576_000_000
#: Fields that a caller may change; "*" and an empty mask stand for the first two.
CHANGEABLE = ("display_name", "retention", "retention.max_age", "retention.max_bytes")


class WorkspaceService(SavedQueryMethods, workspace_pb2_grpc.WorkspaceServiceServicer):
    """`random(n)` gives n random bytes, for the names that are made up."""

    def __init__(
        self,
        store: Store,
        deletions: Deletions,
        *,
        clock: Clock = SYSTEM,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        super().__init__(SavedQueries(store), clock, random)
        self._store = store
        self._deletions = deletions
        self._clock = clock
        self._random = random

    async def CreateWorkspace(
        self, request: workspace_pb2.CreateWorkspaceRequest, context: Any
    ) -> workspace_pb2.Workspace:
        display_name = names.check_display_name(request.workspace.display_name, "workspace.display_name")
        max_age, max_bytes = check_retention(request.workspace.retention)
        now = now_us(self._clock)
        if request.workspace_id:
            wanted = names.check_workspace_id(request.workspace_id, "workspace_id")
            made = await self._store.create(wanted, display_name, now, max_age=max_age, max_bytes=max_bytes)
            if made is None:
                raise AlreadyExists(
                    f"{names.workspace_name(wanted)} exists",
                    reason="WORKSPACE_EXISTS",
                    domain=names.DOMAIN,
                    metadata={"name": names.workspace_name(wanted)},
                )
            return messages.to_workspace(made)
        while True:
            identifier = names.made_up_id(self._random(8))
            made = await self._store.create(identifier, display_name, now, max_age=max_age, max_bytes=max_bytes)
            if made is not None:
                return messages.to_workspace(made)

    async def GetWorkspace(self, request: workspace_pb2.GetWorkspaceRequest, context: Any) -> workspace_pb2.Workspace:
        found = await self._store.get(names.workspace_id(request.name))
        if found is None:
            raise not_found(request.name)
        return messages.to_workspace(found)

    async def ListWorkspaces(
        self, request: workspace_pb2.ListWorkspacesRequest, context: Any
    ) -> workspace_pb2.ListWorkspacesResponse:
        size = pages.page_size(request.page_size)
        rows = await self._store.list_workspaces(size + 1, pages.from_token(request.page_token))
        return workspace_pb2.ListWorkspacesResponse(
            workspaces=[messages.to_workspace(row) for row in rows[:size]],
            next_page_token=pages.to_token(rows[size - 1].position) if len(rows) > size else "",
        )

    async def UpdateWorkspace(
        self, request: workspace_pb2.UpdateWorkspaceRequest, context: Any
    ) -> workspace_pb2.Workspace:
        identifier = names.workspace_id(request.workspace.name, "workspace.name")
        changes = changes_of(request.workspace, check_mask(request.update_mask.paths, CHANGEABLE, request.workspace))
        changed = await self._store.change(identifier, changes, now_us(self._clock))
        if changed is None:
            raise not_found(request.workspace.name)
        if changed.operation is not None:
            raise being_deleted(request.workspace.name, operation=names.operation_name(changed.operation))
        return messages.to_workspace(changed)

    async def DeleteWorkspace(
        self, request: workspace_pb2.DeleteWorkspaceRequest, context: Any
    ) -> operations_pb2.Operation:
        identifier = names.workspace_id(request.name)
        operation = await self._store.begin_deletion(identifier, self._random(10).hex(), now_us(self._clock))
        if operation is None:
            raise not_found(request.name)
        self._deletions.submit(operation)
        return messages.to_operation(operation)


def changes_of(wanted: workspace_pb2.Workspace, paths: Collection[str]) -> dict[str, Any]:
    """Fields of the store's Workspace and their new values, for the paths of a checked mask."""
    whole = not paths or "*" in paths
    changes: dict[str, Any] = {}
    if whole or "display_name" in paths:
        changes["display_name"] = names.check_display_name(wanted.display_name, "workspace.display_name")
    max_age, max_bytes = check_retention(wanted.retention)
    if whole or "retention" in paths or "retention.max_age" in paths:
        changes["max_age"] = max_age
    if whole or "retention" in paths or "retention.max_bytes" in paths:
        changes["max_bytes"] = max_bytes
    return changes


def check_retention(retention: workspace_pb2.Retention) -> tuple[int | None, int]:
    """Microseconds, or None for ever; and bytes, 0 for no limit. Raises InvalidArgument."""
    if retention.max_bytes < 0:
        raise names.invalid("workspace.retention.max_bytes", "must not be negative")
    if not retention.HasField("max_age"):
        return None, retention.max_bytes
    seconds, nanos = retention.max_age.seconds, retention.max_age.nanos
    if not -LONGEST_AGE <= seconds <= LONGEST_AGE or abs(nanos) > 999_999_999 or seconds * nanos < 0:
        raise names.invalid("workspace.retention.max_age", "is no duration")
    if seconds < 0 or nanos < 0:
        raise names.invalid("workspace.retention.max_age", "must not be negative")
    if seconds == 0:
        raise names.invalid("workspace.retention.max_age", "must be 1 s at least; leave it out to keep logs for ever")
    return seconds * 1_000_000 + nanos // 1000, retention.max_bytes
