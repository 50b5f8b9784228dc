"""The services that the importer calls: search's catalogue of splits, and the workspaces."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
import grpc.aio

from kit.errors import FailedPrecondition, NotFound, Unavailable, details_of
from loganalyzer.search.v1 import search_pb2, search_pb2_grpc
from loganalyzer.workspace.v1 import workspace_pb2, workspace_pb2_grpc
from services.importer.ports import Refused, Unreachable

DOMAIN = "loganalyzer"

# Seconds for one call. The policy in the .proto tries again within it.
_TIMEOUT = 10.0
# Splits a page: a message of each may be a few hundred kilobytes.
_PAGE = 8
_SOURCES = 1000
# What asking again cannot change.
_FINAL = {
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.DATA_LOSS,
    grpc.StatusCode.OUT_OF_RANGE,
}


class SearchCatalogue:
    """Search's catalogue of splits; see ports.Catalogue."""

    def connect(self, channel: grpc.aio.Channel) -> None:
        """Comes before everything else."""
        self._stub = search_pb2_grpc.SearchServiceStub(channel)

    async def publish(self, workspace: str, split: search_pb2.Split) -> None:
        """Makes a split searchable."""
        request = search_pb2.PublishSplitRequest(parent=f"workspaces/{workspace}", split=split)
        try:
            await self._stub.PublishSplit(request, timeout=_TIMEOUT)
        except grpc.aio.AioRpcError as error:
            raise _translated(error) from None

    async def published(self, workspace: str, import_name: str) -> Sequence[search_pb2.Split]:
        """Splits with lines of the import."""
        request = search_pb2.ListSplitsRequest(
            parent=f"workspaces/{workspace}", import_name=import_name, page_size=_PAGE
        )
        splits: list[search_pb2.Split] = []
        while True:
            try:
                page = await self._stub.ListSplits(request, timeout=_TIMEOUT)
            except grpc.aio.AioRpcError as error:
                raise _translated(error) from None
            splits += page.splits
            if not page.next_page_token:
                return splits
            request.page_token = page.next_page_token

    async def sources(self, workspace: str) -> frozenset[str]:
        """Ids of the sources that have lines."""
        request = search_pb2.ListLogSourcesRequest(parent=f"workspaces/{workspace}", page_size=_SOURCES)
        found: set[str] = set()
        while True:
            try:
                page = await self._stub.ListLogSources(request, timeout=_TIMEOUT)
            except grpc.aio.AioRpcError as error:
                raise _translated(error) from None
            found.update(source.name.rpartition("/")[2] for source in page.log_sources)
            if not page.next_page_token:
                return frozenset(found)
            request.page_token = page.next_page_token

    async def delete_source(self, workspace: str, source_id: str) -> None:
        """Deletes the lines of a source; one that has none is no error."""
        request = search_pb2.DeleteLogSourceRequest(name=f"workspaces/{workspace}/logSources/{source_id}")
        try:
            await self._stub.DeleteLogSource(request, timeout=_TIMEOUT)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                raise _translated(error) from None


class Workspaces:
    """The workspace service."""

    def connect(self, channel: grpc.aio.Channel) -> None:
        """Comes before everything else."""
        self._stub = workspace_pb2_grpc.WorkspaceServiceStub(channel)

    async def check(self, name: str) -> None:
        """Raises NotFound, FailedPrecondition when it is being deleted, or Unavailable when nobody can say."""
        if await self._deleting(name):
            raise FailedPrecondition(
                f"{name} is being deleted.", reason="WORKSPACE_DELETING", domain=DOMAIN, metadata={"workspace": name}
            )

    async def check_exists(self, name: str) -> None:
        """The same, and one that is being deleted will do."""
        await self._deleting(name)

    async def _deleting(self, name: str) -> bool:
        try:
            workspace = await self._stub.GetWorkspace(workspace_pb2.GetWorkspaceRequest(name=name), timeout=_TIMEOUT)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                said = details_of(error)
                raise NotFound(
                    said.message or f"There is no workspace {name!r}.",
                    reason=said.reason or "WORKSPACE_NOT_FOUND",
                    domain=said.domain or DOMAIN,
                    metadata=said.metadata or {"workspace": name},
                ) from None
            raise Unavailable(
                f"Whether {name} exists cannot be checked now: the workspace service does not answer. Try again soon.",
                reason="WORKSPACE_SERVICE_UNAVAILABLE",
                domain=DOMAIN,
                retry_after=1.0,
            ) from error
        return workspace.deleting


def _translated(error: grpc.aio.AioRpcError) -> Unreachable | Refused:
    kind = Refused if error.code() in _FINAL else Unreachable
    return kind(f"{error.code().name}: {error.details()}")
