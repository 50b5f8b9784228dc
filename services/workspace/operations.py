"""google.longrunning.Operations for the deletions of workspaces."""

# ruff: noqa: N802 - gRPC names the methods

from __future__ import annotations

import math
from typing import Any

from google.longrunning import operations_pb2, operations_pb2_grpc
from google.protobuf import empty_pb2

import kit
from kit.errors import FailedPrecondition, NotFound, Unimplemented
from services.workspace import messages, names, pages
from services.workspace.deletion import Deletions
from services.workspace.store import Operation, Store

#: Seconds that WaitOperation waits at most, and that it leaves of the caller's deadline for the answer's way back.
LONGEST_WAIT = 600.0
WAY_BACK = 0.25


class OperationsService(operations_pb2_grpc.OperationsServicer):  # type: ignore[misc] # google ships no types for it
    """Operations are kept for a week after they ended."""

    def __init__(self, store: Store, deletions: Deletions) -> None:
        self._store = store
        self._deletions = deletions

    async def GetOperation(self, request: operations_pb2.GetOperationRequest, context: Any) -> operations_pb2.Operation:
        return messages.to_operation(await self._get(request.name))

    async def ListOperations(
        self, request: operations_pb2.ListOperationsRequest, context: Any
    ) -> operations_pb2.ListOperationsResponse:
        if request.name not in {"", "operations", "operations/"}:
            raise names.invalid("name", 'must be "operations"')
        if request.filter:
            raise names.invalid("filter", "is not supported: leave it empty")
        size = pages.page_size(request.page_size)
        rows = await self._store.list_operations(size + 1, pages.from_token(request.page_token))
        return operations_pb2.ListOperationsResponse(
            operations=[messages.to_operation(row) for row in rows[:size]],
            next_page_token=pages.to_token(rows[size - 1].position) if len(rows) > size else "",
        )

    async def WaitOperation(
        self, request: operations_pb2.WaitOperationRequest, context: Any
    ) -> operations_pb2.Operation:
        operation = await self._get(request.name)
        if operation.end_time is None:
            wanted = request.timeout.ToNanoseconds() / 1e9 if request.HasField("timeout") else math.inf
            left = kit.deadline().remaining() - WAY_BACK
            await self._deletions.wait(operation.id, max(0.0, min(wanted, left, LONGEST_WAIT)))
            operation = await self._get(request.name)
        return messages.to_operation(operation)

    async def DeleteOperation(self, request: operations_pb2.DeleteOperationRequest, context: Any) -> empty_pb2.Empty:
        found = await self._store.forget_operation(names.operation_id(request.name))
        if found is None:
            raise not_found(request.name)
        if found.end_time is None:
            raise FailedPrecondition(f"{request.name} is not done yet", reason="OPERATION_RUNNING", domain=names.DOMAIN)
        return empty_pb2.Empty()

    async def CancelOperation(self, request: operations_pb2.CancelOperationRequest, context: Any) -> empty_pb2.Empty:
        operation = await self._get(request.name)
        if operation.end_time is not None:
            raise FailedPrecondition(f"{request.name} is done", reason="OPERATION_DONE", domain=names.DOMAIN)
        raise Unimplemented(
            "the deletion of a workspace cannot be taken back", reason="NOT_CANCELLABLE", domain=names.DOMAIN
        )

    async def _get(self, name: str) -> Operation:
        found = await self._store.get_operation(names.operation_id(name))
        if found is None:
            raise not_found(name)
        return found


def not_found(name: str) -> NotFound:
    """The error for an operation that is not known (any more)."""
    return NotFound(
        f"there is no {name}; operations are forgotten a week after they ended",
        reason="OPERATION_NOT_FOUND",
        domain=names.DOMAIN,
        metadata={"name": name},
    )
