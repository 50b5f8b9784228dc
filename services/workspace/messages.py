"""Rows as protobuf messages."""

from __future__ import annotations

from google.longrunning import operations_pb2
from google.protobuf import empty_pb2, timestamp_pb2

from loganalyzer.workspace.v1 import workspace_pb2
from services.workspace.names import operation_name, workspace_name
from services.workspace.store import Operation, Workspace


def to_workspace(row: Workspace) -> workspace_pb2.Workspace:
    """The resource."""
    return workspace_pb2.Workspace(
        name=workspace_name(row.id),
        display_name=row.display_name,
        create_time=_timestamp(row.create_time),
        update_time=_timestamp(row.update_time),
        deleting=row.operation is not None,
    )


def to_operation(row: Operation) -> operations_pb2.Operation:
    """The long-running operation; its response is google.protobuf.Empty."""
    message = operations_pb2.Operation(name=operation_name(row.id), done=row.end_time is not None)
    message.metadata.Pack(
        workspace_pb2.DeleteWorkspaceMetadata(
            workspace=workspace_name(row.workspace), create_time=_timestamp(row.create_time)
        )
    )
    if row.end_time is not None:
        message.response.Pack(empty_pb2.Empty())
    return message


def _timestamp(microseconds: int) -> timestamp_pb2.Timestamp:
    stamp = timestamp_pb2.Timestamp()
    stamp.FromMicroseconds(microseconds)
    return stamp
