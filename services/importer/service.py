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
from services.importer.present import to_file, to_import
from services.importer.records import Ended, Mode
from services.importer.spool import SpoolFile
from services.importer.tails import Tails

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
        tails: Tails,
        workspaces: WorkspaceCheck,
        config: Config,
        clock: Clock,
        *,
        watch_seconds: float = _WATCH_SECONDS,
    ) -> None:
        self._jobs = jobs
        self._tails = tails
        self._workspaces = workspaces
        self._config = config
        self._clock = clock
        self._watch_seconds = watch_seconds

    async def CreateImport(self, request: importer_pb2.CreateImportRequest, context: Any) -> importer_pb2.Import:
        """Checks the paths and the workspace, records the import and starts it."""
        workspace = requests.workspace_of(request.parent)
        asked = getattr(request, "import")
        mode = requests.mode_of(asked.mode)
        paths = [source.path for source in asked.sources]
        sources = await asyncio.to_thread(requests.check_sources, paths, self._config.roots)
        await self._workspaces.check(request.parent)
        created = await self._create(
            self._jobs.new_id(), workspace, sources, request.parent, mode=mode, follow=asked.follow
        )
        return to_import(created)

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
        self,
        import_id: str,
        workspace: str,
        sources: Sequence[tuple[str, str]],
        parent: str,
        *,
        mode: Mode = Mode.FULL,
        follow: bool = False,
    ) -> Snapshot:
        created = await self._jobs.create(import_id, workspace, sources, mode=mode, follow=follow)
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

    async def PauseImport(self, request: importer_pb2.PauseImportRequest, context: Any) -> importer_pb2.Import:
        """Stops an import for now; answers when nothing of it runs."""
        try:
            snapshot = await self._jobs.pause(*requests.import_of(request.name))
        except Ended:
            raise requests.ended(request.name, "paused") from None
        if snapshot is None:
            raise requests.not_found(request.name)
        return to_import(snapshot)

    async def ResumeImport(self, request: importer_pb2.ResumeImportRequest, context: Any) -> importer_pb2.Import:
        """Lets a paused import go on."""
        try:
            snapshot = await self._jobs.resume(*requests.import_of(request.name))
        except Ended:
            raise requests.ended(request.name, "resumed") from None
        if snapshot is None:
            raise requests.not_found(request.name)
        return to_import(snapshot)

    async def ListImportFiles(
        self, request: importer_pb2.ListImportFilesRequest, context: Any
    ) -> importer_pb2.ListImportFilesResponse:
        """A page of texts, by name."""
        workspace, import_id = requests.import_of(request.parent, "parent")
        size = requests.page_size(request.page_size, requests.FILES_PAGE)
        after = requests.from_file_token(import_id, request.page_token)
        found = await self._jobs.files(workspace, import_id, size + 1, after)
        if found is None:
            raise requests.not_found(request.parent)
        token = ""
        if len(found) > size:
            last = found[size - 1]
            token = requests.to_page_token(import_id, str(last.facts.get("name", "")), last.source_id)
        return importer_pb2.ListImportFilesResponse(files=[to_file(row) for row in found[:size]], next_page_token=token)

    async def TailParsed(
        self, request: importer_pb2.TailParsedRequest, context: Any
    ) -> AsyncIterator[importer_pb2.ParsedLines]:
        """Lines as they are read; ends only when the caller ends it, or the server drains."""
        workspace = requests.workspace_of(request.parent)
        listener = await self._tails.open(workspace)
        try:
            yield importer_pb2.ParsedLines()
            while True:
                yield await kit.unless_draining(anext(listener))
        finally:
            await asyncio.shield(asyncio.ensure_future(self._tails.close(workspace, listener)))

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
