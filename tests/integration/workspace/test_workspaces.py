"""WorkspaceService over real gRPC, with a stock client."""

from __future__ import annotations

from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf import field_mask_pb2

from kit.errors import ErrorDetails, details_of
from loganalyzer.workspace.v1 import workspace_pb2 as pb
from tests.integration.workspace.conftest import Client


async def refused(call: Any) -> ErrorDetails:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return details_of(caught.value)


async def create(client: Client, identifier: str = "", display_name: str = "Team A") -> pb.Workspace:
    made: pb.Workspace = await client.workspaces.CreateWorkspace(
        pb.CreateWorkspaceRequest(workspace=pb.Workspace(display_name=display_name), workspace_id=identifier)
    )
    return made


async def test_a_created_workspace_can_be_got(client: Client) -> None:
    made = await create(client, "team-a")
    assert (made.name, made.display_name, made.deleting) == ("workspaces/team-a", "Team A", False)
    assert made.create_time == made.update_time
    assert made.create_time.seconds == 1_700_000_000
    assert await client.workspaces.GetWorkspace(pb.GetWorkspaceRequest(name="workspaces/team-a")) == made


async def test_ids_are_made_up_when_none_is_wanted(client: Client) -> None:
    first, second = await create(client), await create(client)
    assert first.name != second.name
    assert len(first.name) == len("workspaces/") + 8


async def test_an_id_that_is_taken_is_told(client: Client) -> None:
    await create(client, "team-a")
    details = await refused(create(client, "team-a"))
    assert (details.code, details.reason) == (grpc.StatusCode.ALREADY_EXISTS, "WORKSPACE_EXISTS")


@pytest.mark.parametrize(
    ("identifier", "display_name", "field"),
    [("A", "x", "workspace_id"), ("abcd", "", "workspace.display_name"), ("", "x" * 201, "workspace.display_name")],
)
async def test_a_wrong_field_is_named(client: Client, identifier: str, display_name: str, field: str) -> None:
    details = await refused(create(client, identifier, display_name))
    assert details.code == grpc.StatusCode.INVALID_ARGUMENT
    assert [violation.field for violation in details.violations] == [field]


async def test_an_unknown_workspace_is_not_found_with_a_reason(client: Client) -> None:
    name = "workspaces/nope"
    for call in (
        client.workspaces.GetWorkspace(pb.GetWorkspaceRequest(name=name)),
        client.workspaces.UpdateWorkspace(
            pb.UpdateWorkspaceRequest(workspace=pb.Workspace(name=name, display_name="x"))
        ),
        client.workspaces.DeleteWorkspace(pb.DeleteWorkspaceRequest(name=name)),
    ):
        details = await refused(call)
        assert (details.code, details.reason) == (grpc.StatusCode.NOT_FOUND, "WORKSPACE_NOT_FOUND")
        assert (details.domain, details.metadata) == ("loganalyzer", {"name": name})


async def test_pages_lead_through_all_workspaces_oldest_first(client: Client) -> None:
    for number in range(5):
        await create(client, f"team-{number}")
    found: list[str] = []
    token = ""
    sizes = []
    while True:
        page = await client.workspaces.ListWorkspaces(pb.ListWorkspacesRequest(page_size=2, page_token=token))
        found += [workspace.name for workspace in page.workspaces]
        sizes.append(len(page.workspaces))
        token = page.next_page_token
        if not token:
            break
    assert found == [f"workspaces/team-{number}" for number in range(5)]
    assert sizes == [2, 2, 1]


async def test_a_full_last_page_has_no_token(client: Client) -> None:
    await create(client, "team-a")
    page = await client.workspaces.ListWorkspaces(pb.ListWorkspacesRequest(page_size=1))
    assert page.next_page_token == ""


async def test_a_wrong_page_is_refused(client: Client) -> None:
    for request in (pb.ListWorkspacesRequest(page_token="?"), pb.ListWorkspacesRequest(page_size=-1)):
        assert (await refused(client.workspaces.ListWorkspaces(request))).code == grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("paths", [[], ["display_name"], ["*"]])
async def test_the_display_name_can_be_changed(client: Client, paths: list[str]) -> None:
    await create(client, "team-a")
    changed = await client.workspaces.UpdateWorkspace(
        pb.UpdateWorkspaceRequest(
            workspace=pb.Workspace(name="workspaces/team-a", display_name="Team B"),
            update_mask=field_mask_pb2.FieldMask(paths=paths),
        )
    )
    assert changed.display_name == "Team B"
    assert await client.workspaces.GetWorkspace(pb.GetWorkspaceRequest(name="workspaces/team-a")) == changed


@pytest.mark.parametrize("path", ["name", "create_time", "deleting", "nope", "display_name.x", ""])
async def test_a_mask_of_what_cannot_be_changed_is_refused(client: Client, path: str) -> None:
    await create(client, "team-a")
    request = pb.UpdateWorkspaceRequest(
        workspace=pb.Workspace(name="workspaces/team-a", display_name="Team B"),
        update_mask=field_mask_pb2.FieldMask(paths=["display_name", path]),
    )
    details = await refused(client.workspaces.UpdateWorkspace(request))
    assert details.code == grpc.StatusCode.INVALID_ARGUMENT
    assert [violation.field for violation in details.violations] == ["update_mask"]
    found = await client.workspaces.GetWorkspace(pb.GetWorkspaceRequest(name="workspaces/team-a"))
    assert found.display_name == "Team A"
