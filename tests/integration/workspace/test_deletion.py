"""Deleting a workspace over real gRPC: the operation, neighbours that fail, restarts."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from google.longrunning import operations_pb2
from google.protobuf import duration_pb2, empty_pb2

from loganalyzer.workspace.v1 import workspace_pb2 as pb
from tests.integration.workspace.conftest import Client, Neighbours, workspace_process
from tests.integration.workspace.test_workspaces import create, refused

TEAM_A = "workspaces/team-a"


async def delete(client: Client, name: str = TEAM_A) -> operations_pb2.Operation:
    return await client.workspaces.DeleteWorkspace(pb.DeleteWorkspaceRequest(name=name))


async def waited_for(client: Client, operation: operations_pb2.Operation) -> operations_pb2.Operation:
    return await client.operations.WaitOperation(operations_pb2.WaitOperationRequest(name=operation.name), timeout=20)


async def test_a_deleted_workspace_is_emptied_and_gone_when_the_operation_is_done(
    client: Client, neighbours: Neighbours
) -> None:
    await create(client, "team-a")
    operation = await delete(client)
    assert operation.name.startswith("operations/")
    assert not operation.done
    metadata = pb.DeleteWorkspaceMetadata()
    assert operation.metadata.Unpack(metadata)
    assert metadata.workspace == TEAM_A
    assert (await client.workspaces.GetWorkspace(pb.GetWorkspaceRequest(name=TEAM_A))).deleting
    neighbours.open.set()
    done = await waited_for(client, operation)
    assert done.done
    assert done.response.Is(empty_pb2.Empty.DESCRIPTOR)
    assert neighbours.calls == [f"imports {TEAM_A}", f"logs {TEAM_A}"]
    details = await refused(client.workspaces.GetWorkspace(pb.GetWorkspaceRequest(name=TEAM_A)))
    assert details.code == grpc.StatusCode.NOT_FOUND


async def test_deleting_twice_gives_the_same_operation(client: Client, neighbours: Neighbours) -> None:
    await create(client, "team-a")
    first, second = await delete(client), await delete(client)
    assert first == second
    neighbours.open.set()
    done = await waited_for(client, first)
    assert await delete(client) == done


async def test_it_is_tried_until_the_neighbours_work(client: Client, neighbours: Neighbours) -> None:
    neighbours.failures = 5
    neighbours.open.set()
    await create(client, "team-a")
    assert (await waited_for(client, await delete(client))).done
    assert neighbours.calls[-2:] == [f"imports {TEAM_A}", f"logs {TEAM_A}"]


async def test_a_deletion_goes_on_in_the_next_process(tmp_path: Path, neighbours: Neighbours) -> None:
    async with workspace_process(tmp_path, neighbours) as client:
        await create(client, "team-a")
        operation = await delete(client)
        await neighbours.asked.wait()
    neighbours.open.set()
    async with workspace_process(tmp_path, neighbours) as client:
        assert (await waited_for(client, operation)).done
        details = await refused(client.workspaces.GetWorkspace(pb.GetWorkspaceRequest(name=TEAM_A)))
        assert details.code == grpc.StatusCode.NOT_FOUND


async def test_a_workspace_that_is_being_deleted_cannot_be_changed_or_made_again(client: Client) -> None:
    await create(client, "team-a")
    await delete(client)
    request = pb.UpdateWorkspaceRequest(workspace=pb.Workspace(name=TEAM_A, display_name="x"))
    details = await refused(client.workspaces.UpdateWorkspace(request))
    assert (details.code, details.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "WORKSPACE_DELETING")
    assert (await refused(create(client, "team-a"))).code == grpc.StatusCode.ALREADY_EXISTS


async def test_the_id_is_free_again_afterwards(client: Client, neighbours: Neighbours) -> None:
    neighbours.open.set()
    await create(client, "team-a")
    first = await delete(client)
    await waited_for(client, first)
    await create(client, "team-a")
    second = await delete(client)
    assert second.name != first.name
    assert (await waited_for(client, second)).done


async def test_waiting_gives_up_in_time_and_answers_with_what_is(client: Client) -> None:
    await create(client, "team-a")
    operation = await delete(client)
    wait = operations_pb2.WaitOperationRequest(name=operation.name, timeout=duration_pb2.Duration(nanos=1))
    assert not (await client.operations.WaitOperation(wait)).done
    # The caller's deadline cuts the wait as well, and leaves time for the answer.
    wait = operations_pb2.WaitOperationRequest(name=operation.name)
    assert not (await client.operations.WaitOperation(wait, timeout=0.4)).done


async def test_operations_are_listed_page_by_page(client: Client) -> None:
    names = []
    for number in range(3):
        await create(client, f"team-{number}")
        names.append((await delete(client, f"workspaces/team-{number}")).name)
    first = await client.operations.ListOperations(operations_pb2.ListOperationsRequest(name="operations", page_size=2))
    second = await client.operations.ListOperations(
        operations_pb2.ListOperationsRequest(name="operations", page_size=2, page_token=first.next_page_token)
    )
    assert sorted(one.name for one in [*first.operations, *second.operations]) == sorted(names)
    assert second.next_page_token == ""


@pytest.mark.parametrize(
    "request_", [operations_pb2.ListOperationsRequest(name="x"), operations_pb2.ListOperationsRequest(filter="done")]
)
async def test_other_lists_of_operations_are_refused(
    client: Client, request_: operations_pb2.ListOperationsRequest
) -> None:
    assert (await refused(client.operations.ListOperations(request_))).code == grpc.StatusCode.INVALID_ARGUMENT


async def test_only_an_operation_that_is_done_can_be_deleted(client: Client, neighbours: Neighbours) -> None:
    await create(client, "team-a")
    operation = await delete(client)
    forget = operations_pb2.DeleteOperationRequest(name=operation.name)
    assert (await refused(client.operations.DeleteOperation(forget))).code == grpc.StatusCode.FAILED_PRECONDITION
    neighbours.open.set()
    await waited_for(client, operation)
    await client.operations.DeleteOperation(forget)
    details = await refused(client.operations.GetOperation(operations_pb2.GetOperationRequest(name=operation.name)))
    assert (details.code, details.reason) == (grpc.StatusCode.NOT_FOUND, "OPERATION_NOT_FOUND")


async def test_a_deletion_cannot_be_cancelled(client: Client, neighbours: Neighbours) -> None:
    await create(client, "team-a")
    operation = await delete(client)
    cancel = operations_pb2.CancelOperationRequest(name=operation.name)
    assert (await refused(client.operations.CancelOperation(cancel))).code == grpc.StatusCode.UNIMPLEMENTED
    neighbours.open.set()
    await waited_for(client, operation)
    assert (await refused(client.operations.CancelOperation(cancel))).code == grpc.StatusCode.FAILED_PRECONDITION
    cancel = operations_pb2.CancelOperationRequest(name="operations/none")
    assert (await refused(client.operations.CancelOperation(cancel))).code == grpc.StatusCode.NOT_FOUND
