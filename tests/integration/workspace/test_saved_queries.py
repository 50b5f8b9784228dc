"""Saved queries and retention over real gRPC, with a stock client."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf import duration_pb2, field_mask_pb2

from loganalyzer.workspace.v1 import workspace_pb2 as pb
from tests.integration.workspace.conftest import Client, Neighbours
from tests.integration.workspace.test_deletion import delete, waited_for
from tests.integration.workspace.test_workspaces import create, refused

TEAM_A = "workspaces/team-a"


async def save(
    client: Client, name: str = "Slow calls", parent: str = TEAM_A, query: str = "", order_by: str = ""
) -> pb.SavedQuery:
    made: pb.SavedQuery = await client.workspaces.CreateSavedQuery(
        pb.CreateSavedQueryRequest(
            parent=parent, saved_query=pb.SavedQuery(display_name=name, query=query, order_by=order_by)
        )
    )
    return made


async def test_a_saved_query_can_be_made_got_listed_changed_and_deleted(client: Client) -> None:
    await create(client, "team-a")
    made = await save(client, query="latency:>500")
    assert made.name.startswith(f"{TEAM_A}/savedQueries/")
    assert (made.display_name, made.query, made.order_by) == ("Slow calls", "latency:>500", "timestamp desc")
    assert made.create_time.seconds == made.update_time.seconds == 1_700_000_000
    get = pb.GetSavedQueryRequest(name=made.name)
    assert await client.workspaces.GetSavedQuery(get) == made
    listed = await client.workspaces.ListSavedQueries(pb.ListSavedQueriesRequest(parent=TEAM_A))
    assert list(listed.saved_queries) == [made]
    changed = await client.workspaces.UpdateSavedQuery(
        pb.UpdateSavedQueryRequest(
            saved_query=pb.SavedQuery(name=made.name, query="latency:>900"),
            update_mask=field_mask_pb2.FieldMask(paths=["query"]),
        )
    )
    assert (changed.display_name, changed.query) == ("Slow calls", "latency:>900")
    await client.workspaces.DeleteSavedQuery(pb.DeleteSavedQueryRequest(name=made.name))
    for call in (
        client.workspaces.GetSavedQuery(get),
        client.workspaces.DeleteSavedQuery(pb.DeleteSavedQueryRequest(name=made.name)),
        client.workspaces.UpdateSavedQuery(
            pb.UpdateSavedQueryRequest(saved_query=pb.SavedQuery(name=made.name, display_name="x"))
        ),
    ):
        details = await refused(call)
        assert (details.code, details.reason) == (grpc.StatusCode.NOT_FOUND, "SAVED_QUERY_NOT_FOUND")


async def test_a_display_name_that_is_there_is_told(client: Client) -> None:
    await create(client, "team-a")
    await save(client)
    other = await save(client, "Other")
    details = await refused(save(client))
    assert (details.code, details.reason) == (grpc.StatusCode.ALREADY_EXISTS, "SAVED_QUERY_EXISTS")
    assert '"Slow calls"' in details.message
    rename = pb.UpdateSavedQueryRequest(
        saved_query=pb.SavedQuery(name=other.name, display_name="Slow calls"),
        update_mask=field_mask_pb2.FieldMask(paths=["display_name"]),
    )
    assert (await refused(client.workspaces.UpdateSavedQuery(rename))).code == grpc.StatusCode.ALREADY_EXISTS


async def test_a_workspace_that_is_not_there_has_none(client: Client) -> None:
    for call in (
        save(client, parent="workspaces/nope"),
        client.workspaces.ListSavedQueries(pb.ListSavedQueriesRequest(parent="workspaces/nope")),
    ):
        details = await refused(call)
        assert (details.code, details.reason) == (grpc.StatusCode.NOT_FOUND, "WORKSPACE_NOT_FOUND")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "saved_query.display_name"),
        ({"name": "x" * 201}, "saved_query.display_name"),
        ({"name": "a\nb"}, "saved_query.display_name"),
        ({"query": "x" * 4097}, "saved_query.query"),
        ({"order_by": "size"}, "saved_query.order_by"),
        ({"parent": "team-a"}, "parent"),
    ],
)
async def test_a_wrong_field_of_a_saved_query_is_named(client: Client, fields: dict[str, str], field: str) -> None:
    await create(client, "team-a")
    details = await refused(save(client, **fields))
    assert details.code == grpc.StatusCode.INVALID_ARGUMENT
    assert [violation.field for violation in details.violations] == [field]


async def test_the_longest_that_is_allowed_is_taken(client: Client) -> None:
    await create(client, "team-a")
    made = await save(client, "ü" * 200, query="ü" * 4096, order_by="timestamp")
    assert await client.workspaces.GetSavedQuery(pb.GetSavedQueryRequest(name=made.name)) == made


async def test_pages_lead_through_all_saved_queries_by_name(client: Client) -> None:
    await create(client, "team-a")
    for name in ("e", "c", "a", "d", "b"):
        await save(client, name)
    found: list[str] = []
    token = ""
    while True:
        page = await client.workspaces.ListSavedQueries(
            pb.ListSavedQueriesRequest(parent=TEAM_A, page_size=2, page_token=token)
        )
        found += [one.display_name for one in page.saved_queries]
        if not (token := page.next_page_token):
            break
    assert found == ["a", "b", "c", "d", "e"]


async def test_they_are_gone_with_the_workspace(client: Client, neighbours: Neighbours) -> None:
    await create(client, "team-a")
    made = await save(client)
    operation = await delete(client)
    details = await refused(save(client, "more"))
    assert (details.code, details.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "WORKSPACE_DELETING")
    neighbours.open.set()
    assert (await waited_for(client, operation)).done
    details = await refused(client.workspaces.GetSavedQuery(pb.GetSavedQueryRequest(name=made.name)))
    assert details.code == grpc.StatusCode.NOT_FOUND


def retention(days: float = 0, gigabytes: int = 0) -> pb.Retention:
    age = duration_pb2.Duration(seconds=round(days * 86400)) if days else None
    return pb.Retention(max_age=age, max_bytes=gigabytes * 10**9)


async def test_retention_is_kept_as_it_was_given_at_the_creation(client: Client) -> None:
    made = await client.workspaces.CreateWorkspace(
        pb.CreateWorkspaceRequest(
            workspace=pb.Workspace(display_name="A", retention=retention(30, 5)), workspace_id="team-a"
        )
    )
    assert made.retention == retention(30, 5)
    assert await client.workspaces.GetWorkspace(pb.GetWorkspaceRequest(name=TEAM_A)) == made
    assert not (await create(client, "team-b")).HasField("retention")


@pytest.mark.parametrize(
    ("paths", "given", "expected"),
    [
        (["retention"], retention(7), retention(7)),
        (["retention.max_age"], retention(7), retention(7, 5)),
        (["retention.max_bytes"], retention(7, 9), retention(30, 9)),
        (["retention.max_age"], None, retention(0, 5)),
        (["retention"], None, None),
        (["display_name"], retention(7), retention(30, 5)),
        ([], None, None),
        (["*"], retention(1), retention(1)),
    ],
)
async def test_a_mask_says_what_of_the_retention_is_changed(
    client: Client, paths: list[str], given: pb.Retention | None, expected: pb.Retention | None
) -> None:
    await client.workspaces.CreateWorkspace(
        pb.CreateWorkspaceRequest(
            workspace=pb.Workspace(display_name="A", retention=retention(30, 5)), workspace_id="team-a"
        )
    )
    changed = await client.workspaces.UpdateWorkspace(
        pb.UpdateWorkspaceRequest(
            workspace=pb.Workspace(name=TEAM_A, display_name="A", retention=given),
            update_mask=field_mask_pb2.FieldMask(paths=paths),
        )
    )
    assert (changed.retention if changed.HasField("retention") else None) == expected
    assert await client.workspaces.GetWorkspace(pb.GetWorkspaceRequest(name=TEAM_A)) == changed


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (pb.Retention(max_bytes=-1), "workspace.retention.max_bytes"),
        (pb.Retention(max_age=duration_pb2.Duration(seconds=-1)), "workspace.retention.max_age"),
        (pb.Retention(max_age=duration_pb2.Duration(nanos=-1)), "workspace.retention.max_age"),
        (pb.Retention(max_age=duration_pb2.Duration()), "workspace.retention.max_age"),
        (pb.Retention(max_age=duration_pb2.Duration(seconds=2**62)), "workspace.retention.max_age"),
        (pb.Retention(max_age=duration_pb2.Duration(seconds=1, nanos=-1)), "workspace.retention.max_age"),
    ],
)
async def test_a_retention_that_makes_no_sense_is_refused(client: Client, wrong: pb.Retention, field: str) -> None:
    await create(client, "team-a")
    request = pb.UpdateWorkspaceRequest(
        workspace=pb.Workspace(name=TEAM_A, retention=wrong),
        update_mask=field_mask_pb2.FieldMask(paths=["retention"]),
    )
    details = await refused(client.workspaces.UpdateWorkspace(request))
    assert details.code == grpc.StatusCode.INVALID_ARGUMENT
    assert [violation.field for violation in details.violations] == [field]
