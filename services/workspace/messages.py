"""Rows as protobuf messages."""

from __future__ import annotations

from google.longrunning import operations_pb2
from google.protobuf import empty_pb2, timestamp_pb2

from loganalyzer.workspace.v1 import workspace_pb2
from services.workspace.names import operation_name, saved_query_name, workspace_name
from services.workspace.saved import SavedQuery
from services.workspace.store import Operation, Workspace


def to_workspace(row: Workspace) -> workspace_pb2.Workspace:
    """The resource."""
    message = workspace_pb2.Workspace(
        name=workspace_name(row.id),
        display_name=row.display_name,
        create_time=_timestamp(row.create_time),
        update_time=_timestamp(row.update_time),
        deleting=row.operation is not None,
    )
    if row.max_age is not None or row.max_bytes:
        message.retention.max_bytes = row.max_bytes
        if row.max_age is not None:
            message.retention.max_age.FromMicroseconds(row.max_age)
    return message


def to_saved_query(row: SavedQuery) -> workspace_pb2.SavedQuery:
    """The resource."""
    return workspace_pb2.SavedQuery(
        name=saved_query_name(row.workspace, row.id),
        display_name=row.display_name,
        query=row.query,
        order_by=row.order_by,
        create_time=_timestamp(row.create_time),
        update_time=_timestamp(row.update_time),
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
