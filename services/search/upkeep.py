"""What the importer and the workspace service ask: splits published, listed and deleted; and the care of them."""

from __future__ import annotations

from loganalyzer.search.v1 import search_pb2
from services.search import requests
from services.search.care import repairs
from services.search.catalog import Catalog, Published
from services.search.config import Config
from services.search.seam import LogIndex
from services.search.workspaces import Workspaces

__all__ = ["Upkeep"]

DEFAULT_SPLITS, LARGEST_SPLITS = 100, 1000


class Upkeep:
    """Answers PublishSplit, ListSplits, DeleteLogs, CheckLogs and RepairLogs."""

    def __init__(self, config: Config, catalog: Catalog, index: LogIndex, workspaces: Workspaces) -> None:
        self._config = config
        self._catalog = catalog
        self._index = index
        self._workspaces = workspaces

    async def publish(self, request: search_pb2.PublishSplitRequest) -> search_pb2.PublishSplitResponse:
        workspace = requests.workspace_of(request.parent)
        added = await self._index.publish(workspace, request.split)
        return search_pb2.PublishSplitResponse(already_published=not added)

    async def splits(self, request: search_pb2.ListSplitsRequest) -> search_pb2.ListSplitsResponse:
        """The splits as they were published: those that took the place of others are not listed, the others are."""
        workspace = requests.workspace_of(request.parent)
        limit = requests.number_of(request.page_size, "page_size", default=DEFAULT_SPLITS, largest=LARGEST_SPLITS)
        last = _place(request.page_token)
        view = self._catalog.view(workspace)
        made = {move.into for move in view.moves}
        known = [each for each in (*view.splits, *view.moved.values()) if each.split.id not in made]
        found = sorted(
            (published for published in known if _key(published) > last and _of_import(published, request.import_name)),
            key=_key,
        )
        answer = search_pb2.ListSplitsResponse(splits=[published.split for published in found[:limit]])
        if len(found) > limit:
            seq, split_id = _key(found[limit - 1])
            answer.next_page_token = f"{seq}.{split_id}"
        return answer

    async def delete(self, request: search_pb2.DeleteLogsRequest) -> search_pb2.DeleteLogsResponse:
        workspace = requests.workspace_of(request.parent)
        count = await self._index.delete(workspace)
        self._workspaces.forget(workspace)
        return search_pb2.DeleteLogsResponse(split_count=count)

    async def check(self, request: search_pb2.CheckLogsRequest) -> search_pb2.CheckLogsResponse:
        return await repairs.check(self._config, await self._known(request.parent))

    async def repair(self, request: search_pb2.RepairLogsRequest) -> search_pb2.RepairLogsResponse:
        return await repairs.repair(self._config, await self._known(request.parent))

    async def _known(self, parent: str) -> str:
        workspace = requests.workspace_of(parent)
        await self._workspaces.require(workspace, has_logs=bool(self._catalog.view(workspace).splits))
        return workspace


def _key(published: Published) -> tuple[int, str]:
    return published.seq, published.split.id


def _place(token: str) -> tuple[int, str]:
    seq, _, split_id = token.partition(".")
    try:
        return int(seq or "0"), split_id
    except ValueError:
        raise requests.invalid("page_token", "is not a token of this list") from None


def _of_import(published: Published, name: str) -> bool:
    return not name or any(run.import_name == name for run in published.split.sources)
