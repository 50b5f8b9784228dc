"""WorkspaceService: translates between protobuf and the store."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from google.longrunning import operations_pb2

from kit.clock import SYSTEM, Clock
from kit.errors import AlreadyExists, FailedPrecondition, FieldViolation, InvalidArgument, NotFound
from loganalyzer.workspace.v1 import workspace_pb2, workspace_pb2_grpc
from services.workspace import messages, names, pages
from services.workspace.deletion import Deletions, now_us
from services.workspace.store import Store

#: Fields that a caller may change; "*" stands for all of them.
CHANGEABLE = ("display_name",)


class WorkspaceService(workspace_pb2_grpc.WorkspaceServiceServicer):
    """`random(n)` gives n random bytes, for the names that are made up."""

    def __init__(
        self,
        store: Store,
        deletions: Deletions,
        *,
        clock: Clock = SYSTEM,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._store = store
        self._deletions = deletions
        self._clock = clock
        self._random = random

    async def CreateWorkspace(
        self, request: workspace_pb2.CreateWorkspaceRequest, context: Any
    ) -> workspace_pb2.Workspace:
        display_name = names.check_display_name(request.workspace.display_name, "workspace.display_name")
        now = now_us(self._clock)
        if request.workspace_id:
            wanted = names.check_workspace_id(request.workspace_id, "workspace_id")
            made = await self._store.create(wanted, display_name, now)
            if made is None:
                raise AlreadyExists(
                    f"{names.workspace_name(wanted)} exists",
                    reason="WORKSPACE_EXISTS",
                    domain=names.DOMAIN,
                    metadata={"name": names.workspace_name(wanted)},
                )
            return messages.to_workspace(made)
        while (made := await self._store.create(names.made_up_id(self._random(8)), display_name, now)) is None:
            continue
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
        check_mask(list(request.update_mask.paths))
        display_name = names.check_display_name(request.workspace.display_name, "workspace.display_name")
        changed = await self._store.rename(identifier, display_name, now_us(self._clock))
        if changed is None:
            raise not_found(request.workspace.name)
        if changed.operation is not None:
            raise FailedPrecondition(
                f"{request.workspace.name} is being deleted",
                reason="WORKSPACE_DELETING",
                domain=names.DOMAIN,
                metadata={"name": request.workspace.name, "operation": names.operation_name(changed.operation)},
            )
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


def check_mask(paths: list[str]) -> None:
    """Refuses paths that do not exist or cannot be changed. An empty mask means every field that can be."""
    fields = workspace_pb2.Workspace.DESCRIPTOR.fields_by_name
    violations = [
        FieldViolation(
            "update_mask", f'"{path}" cannot be changed' if path in fields else f'there is no field "{path}"'
        )
        for path in paths
        if path not in CHANGEABLE and path != "*"
    ]
    if violations:
        sentence = "; ".join(violation.description for violation in violations)
        raise InvalidArgument(f"update_mask: {sentence}", violations=violations)


def not_found(name: str) -> NotFound:
    """The error for a workspace that is not there."""
    return NotFound(f"there is no {name}", reason="WORKSPACE_NOT_FOUND", domain=names.DOMAIN, metadata={"name": name})
