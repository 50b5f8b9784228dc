"""The importer process, wired up."""

from __future__ import annotations

import kit
from kit.clock import SYSTEM, Clock
from loganalyzer.importer.v1 import importer_pb2_grpc
from services.importer.config import Config
from services.importer.jobs import ImportJobs, data_folders
from services.importer.neighbours import SearchCatalogue, Workspaces
from services.importer.pool import WorkerPool
from services.importer.runner import Means
from services.importer.service import ImporterService
from services.importer.store import ImportStore


def build(config: Config, *, clock: Clock = SYSTEM) -> kit.Server:
    """The server, not yet started: when it does, the workers start and unfinished imports go on."""
    database, spool = data_folders(config.folder)
    store, pool = ImportStore(database), WorkerPool(config.workers)
    search, workspaces = kit.channel(config.search_target), kit.channel(config.workspace_target)
    means = Means(
        store=store,
        catalogue=SearchCatalogue(search),
        pool=pool,
        clock=clock,
        splits=config.splits,
        spool=spool,
        parallel=config.workers,
        allowed=config.roots.allow,
    )
    jobs = ImportJobs(means)
    server = kit.Server("importer")
    server.add(
        ImporterService(jobs, Workspaces(workspaces), config, clock),
        importer_pb2_grpc.add_ImporterServiceServicer_to_server,
    )
    for start, stop in (
        (None, search.close),
        (None, workspaces.close),
        (store.open, store.close),
        (pool.start, pool.stop),
        (jobs.start, jobs.stop),
    ):
        if start is not None:
            server.on_start(start)
        server.on_stop(stop)
    return server
