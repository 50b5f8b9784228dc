"""The methods of WorkspaceService that keep saved queries."""

# ruff: noqa: N802 - gRPC names the methods

from __future__ import annotations

from collections.abc import Callable
from typing import Any, assert_never

from google.protobuf import empty_pb2

from kit.clock import Clock
from kit.errors import AlreadyExists, NotFound, StatusError
from loganalyzer.workspace.v1 import workspace_pb2
from services.workspace import messages, names, pages
from services.workspace.deletion import now_us
from services.workspace.refusals import being_deleted, check_mask, not_found
from services.workspace.saved import Refusal, SavedQueries, SavedQuery

#: Fields that a caller may change, and how each is checked.
CHECKS: dict[str, Callable[[str, str], str]] = {
    "display_name": names.check_display_name,
    "query": names.check_query,
    "order_by": names.check_order,
}


class SavedQueryMethods:
    """`random(n)` gives n random bytes, for the names that are made up."""

    def __init__(self, saved: SavedQueries, clock: Clock, random: Callable[[int], bytes]) -> None:
        self._saved = saved
        self._saved_clock = clock
        self._saved_random = random

    async def CreateSavedQuery(
        self, request: workspace_pb2.CreateSavedQueryRequest, context: Any
    ) -> workspace_pb2.SavedQuery:
        workspace = names.workspace_id(request.parent, "parent")
        fields = _checked(request.saved_query, CHECKS)
        now = now_us(self._saved_clock)
        while True:
            made = SavedQuery(
                workspace=workspace,
                id=names.made_up_id(self._saved_random(8)),
                **fields,
                create_time=now,
                update_time=now,
            )
            refusal = await self._saved.create(made)
            if refusal is None:
                return messages.to_saved_query(made)
            if refusal is not Refusal.ID_TAKEN:
                raise _refused(refusal, request.parent, "", fields["display_name"])

    async def GetSavedQuery(
        self, request: workspace_pb2.GetSavedQueryRequest, context: Any
    ) -> workspace_pb2.SavedQuery:
        workspace, identifier = names.saved_query_ids(request.name)
        found = await self._saved.get(workspace, identifier)
        if found is None:
            raise _absent(request.name)
        return messages.to_saved_query(found)

    async def ListSavedQueries(
        self, request: workspace_pb2.ListSavedQueriesRequest, context: Any
    ) -> workspace_pb2.ListSavedQueriesResponse:
        workspace = names.workspace_id(request.parent, "parent")
        size = pages.page_size(request.page_size)
        rows = await self._saved.page(workspace, size + 1, pages.from_name_token(request.page_token))
        if rows is None:
            raise not_found(request.parent)
        return workspace_pb2.ListSavedQueriesResponse(
            saved_queries=[messages.to_saved_query(row) for row in rows[:size]],
            next_page_token=pages.to_name_token(rows[size - 1].display_name) if len(rows) > size else "",
        )

    async def UpdateSavedQuery(
        self, request: workspace_pb2.UpdateSavedQueryRequest, context: Any
    ) -> workspace_pb2.SavedQuery:
        name = request.saved_query.name
        workspace, identifier = names.saved_query_ids(name, "saved_query.name")
        paths = check_mask(request.update_mask.paths, CHECKS, request.saved_query)
        wanted = CHECKS if not paths or "*" in paths else {path: CHECKS[path] for path in paths}
        changes = _checked(request.saved_query, wanted)
        changed = await self._saved.change(workspace, identifier, changes, now_us(self._saved_clock))
        if isinstance(changed, Refusal):
            raise _refused(changed, names.workspace_name(workspace), name, changes.get("display_name", ""))
        return messages.to_saved_query(changed)

    async def DeleteSavedQuery(self, request: workspace_pb2.DeleteSavedQueryRequest, context: Any) -> empty_pb2.Empty:
        workspace, identifier = names.saved_query_ids(request.name)
        if not await self._saved.delete(workspace, identifier):
            raise _absent(request.name)
        return empty_pb2.Empty()


def _checked(message: workspace_pb2.SavedQuery, checks: dict[str, Callable[[str, str], str]]) -> dict[str, str]:
    return {field: check(getattr(message, field), f"saved_query.{field}") for field, check in checks.items()}


def _absent(name: str) -> NotFound:
    return NotFound(f"there is no {name}", reason="SAVED_QUERY_NOT_FOUND", domain=names.DOMAIN, metadata={"name": name})


def _refused(refusal: Refusal, parent: str, name: str, display_name: str) -> StatusError:
    match refusal:
        case Refusal.NO_WORKSPACE:
            return not_found(parent)
        case Refusal.DELETING:
            return being_deleted(parent)
        case Refusal.NOT_FOUND:
            return _absent(name)
        case Refusal.NAME_TAKEN | Refusal.ID_TAKEN:
            return AlreadyExists(
                f'{parent} has a saved query "{display_name}" already',
                reason="SAVED_QUERY_EXISTS",
                domain=names.DOMAIN,
                metadata={"parent": parent, "displayName": display_name},
            )
        case _:
            assert_never(refusal)
