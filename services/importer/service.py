"""ImporterService: translates between protobuf and the domain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

import kit
from kit.clock import Clock
from kit.errors import FailedPrecondition, FieldViolation, InvalidArgument, NotFound, StatusError
from kit.observe import get_logger
from loganalyzer.importer.v1 import importer_pb2, importer_pb2_grpc
from services.importer import requests
from services.importer.config import Config
from services.importer.jobs import ImportJobs, Snapshot
from services.importer.present import to_import
from services.importer.spool import SpoolFile

_log = get_logger("importer.service")

# At most so often a second is a watcher told of a change.
_WATCH_SECONDS = 0.2


class WorkspaceCheck(Protocol):
    """What is needed of neighbours.Workspaces."""

    async def check(self, name: str) -> None: ...
    async def check_exists(self, name: str) -> None: ...


class ImporterService(importer_pb2_grpc.ImporterServiceServicer):
    """The RPCs. `jobs` does the work."""

    def __init__(
        self,
        jobs: ImportJobs,
        workspaces: WorkspaceCheck,
        config: Config,
        clock: Clock,
        *,
        watch_seconds: float = _WATCH_SECONDS,
    ) -> None:
        self._jobs = jobs
        self._workspaces = workspaces
        self._config = config
        self._clock = clock
        self._watch_seconds = watch_seconds

    async def CreateImport(self, request: importer_pb2.CreateImportRequest, context: Any) -> importer_pb2.Import:
        """Checks the paths and the workspace, records the import and starts it."""
        workspace = requests.workspace_of(request.parent)
        paths = [source.path for source in getattr(request, "import").sources]
        sources = await asyncio.to_thread(requests.check_sources, paths, self._config.roots)
        await self._workspaces.check(request.parent)
        return to_import(await self._create(self._jobs.new_id(), workspace, sources, request.parent))

    async def UploadImport(
        self, request_iterator: AsyncIterator[importer_pb2.UploadImportRequest], context: Any
    ) -> importer_pb2.Import:
        """Stores what is sent, then imports it under its name."""
        first = await anext(aiter(request_iterator), None)
        if first is None:
            raise InvalidArgument(
                "The first message must name the workspace.",
                violations=[FieldViolation("parent", "The first message must name the workspace.")],
            )
        workspace = requests.workspace_of(first.parent)
        name = requests.check_source_name(first.source_name)
        await self._workspaces.check(first.parent)
        import_id = self._jobs.new_id()
        async with SpoolFile(self._jobs.spool_path(import_id), self._config.upload_bytes) as spool:
            await spool.write(first.content.data)
            async for message in request_iterator:
                await spool.write(message.content.data)
            path = await spool.keep()
        return to_import(await self._create(import_id, workspace, [(name, str(path))], first.parent))

    async def _create(
        self, import_id: str, workspace: str, sources: Sequence[tuple[str, str]], parent: str
    ) -> Snapshot:
        created = await self._jobs.create(import_id, workspace, sources)
        # A deletion first marks the workspace and then asks for its imports to be deleted: either it found this one, or
        # the mark is seen now.
        try:
            await self._workspaces.check(parent)
        except (NotFound, FailedPrecondition):
            await self._jobs.delete(workspace)
            raise
        except StatusError:
            _log.warning("workspace_not_checked_again", workspace=workspace)
        return created

    async def GetImport(self, request: importer_pb2.GetImportRequest, context: Any) -> importer_pb2.Import:
        """The import as it is now."""
        snapshot = await self._jobs.get(*requests.import_of(request.name))
        if snapshot is None:
            raise requests.not_found(request.name)
        return to_import(snapshot)

    async def ListImports(
        self, request: importer_pb2.ListImportsRequest, context: Any
    ) -> importer_pb2.ListImportsResponse:
        """A page of imports, newest first."""
        workspace, size = requests.workspace_of(request.parent), requests.page_size(request.page_size)
        before = requests.from_page_token(workspace, request.page_token)
        found = await self._jobs.page(workspace, size + 1, before)
        if not found and before is None:
            await self._workspaces.check_exists(request.parent)
        more = len(found) > size
        return importer_pb2.ListImportsResponse(
            imports=[to_import(snapshot) for snapshot in found[:size]],
            next_page_token=requests.to_page_token(workspace, found[size - 1].row.sequence) if more else "",
        )

    async def CancelImport(self, request: importer_pb2.CancelImportRequest, context: Any) -> importer_pb2.Import:
        """Stops an import; answers when nothing of it runs."""
        snapshot = await self._jobs.cancel(*requests.import_of(request.name))
        if snapshot is None:
            raise requests.not_found(request.name)
        return to_import(snapshot)

    async def WatchImport(
        self, request: importer_pb2.WatchImportRequest, context: Any
    ) -> AsyncIterator[importer_pb2.Import]:
        """The import now, at changes, and when it has ended."""
        workspace, import_id = requests.import_of(request.name)
        while True:
            snapshot = await self._jobs.get(workspace, import_id)
            if snapshot is None:
                raise requests.not_found(request.name)
            # Taken before the message is sent, so that no change in between is missed.
            changed = None if snapshot.progress is None else snapshot.progress.changed()
            yield to_import(snapshot)
            if changed is None or snapshot.progress is None:
                return
            sent = self._clock.now()
            await kit.unless_draining(changed.wait())
            await self._jobs.wait_for_end(import_id, self._watch_seconds - (self._clock.now() - sent))

    async def DeleteImports(
        self, request: importer_pb2.DeleteImportsRequest, context: Any
    ) -> importer_pb2.DeleteImportsResponse:
        """Cancels and forgets the imports of a workspace."""
        count = await self._jobs.delete(requests.workspace_of(request.parent))
        return importer_pb2.DeleteImportsResponse(import_count=count)
