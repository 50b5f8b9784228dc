"""The importer process, wired up."""

from __future__ import annotations

import grpc.aio

import kit
from kit.clock import SYSTEM, Clock
from kit.health import DiskSpace, GrpcHealth
from loganalyzer.importer.v1 import importer_pb2_grpc
from services.importer.config import Config
from services.importer.database import Database
from services.importer.jobs import ImportJobs, data_folders
from services.importer.known import KnownStore
from services.importer.neighbours import SearchCatalogue, Workspaces
from services.importer.plans import PlanStore
from services.importer.pool import WorkerPool
from services.importer.ports import Means
from services.importer.service import ImporterService
from services.importer.sizing import worker_count
from services.importer.store import ImportStore
from services.importer.tails import Tails

_WHY_ONE = "it runs the imports, with worker processes of its own (KIT_IMPORT_WORKERS)"


def build(
    config: Config,
    *,
    clock: Clock = SYSTEM,
    listen: str | None = None,
    register: bool | None = None,
    grace: float | None = None,
) -> kit.Server:
    """The server, not yet started: when it does, the workers start and unfinished imports go on.

    `listen`, `register` and `grace` are `kit.Server`'s.
    """
    path, spool = data_folders(config.folder)
    workers = worker_count() if config.workers is None else config.workers
    server = kit.Server(
        "importer",
        listen=listen,
        register=register,
        grace=grace,
        single_process=_WHY_ONE,
        audit=True,
        idempotency=config.folder / "keys.db",
    )
    database, pool = Database(path), WorkerPool(workers, clock=clock)
    tails = Tails(pool.tail)
    neighbours = _Neighbours(config)
    means = Means(
        store=ImportStore(database),
        plans=PlanStore(database),
        known=KnownStore(database),
        catalogue=neighbours.catalogue,
        pool=pool,
        tails=tails,
        clock=clock,
        splits=config.splits,
        spool=spool,
        parallel=workers,
        allowed=config.roots.allow,
    )
    jobs = ImportJobs(means)
    server.add(
        ImporterService(jobs, tails, neighbours.workspaces, config, clock),
        importer_pb2_grpc.add_ImporterServiceServicer_to_server,
    )
    for start, stop in (
        (neighbours.open, neighbours.close),
        (database.open, database.close),
        (pool.start, pool.stop),
        (jobs.start, jobs.stop),
    ):
        server.on_start(start)
        server.on_stop(stop)
    server.depends_on("database", database.ping)
    server.depends_on("disk", DiskSpace(config.splits))
    # Workspace and importer need each other: were that required, neither would ever be ready.
    server.depends_on("search", GrpcHealth(neighbours.search), required=False)
    server.depends_on("workspace", GrpcHealth(neighbours.workspace), required=False)
    return server


class _Neighbours:
    """The services that the importer calls. Channels belong to the event loop, so they are made when it runs."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._channels: list[grpc.aio.Channel] = []
        self.catalogue = SearchCatalogue()
        self.workspaces = Workspaces()

    async def open(self) -> None:
        search, workspaces = kit.channel(self._config.search_target), kit.channel(self._config.workspace_target)
        self._channels = [search, workspaces]
        self.catalogue.connect(search)
        self.workspaces.connect(workspaces)

    def search(self) -> grpc.aio.Channel:
        """For health checks."""
        return self._channels[0]

    def workspace(self) -> grpc.aio.Channel:
        """For health checks."""
        return self._channels[1]

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()
