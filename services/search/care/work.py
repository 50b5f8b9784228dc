"""`python -m services.search.care.work check|repair DATABASE SPLITS WORKSPACE`: see `repairs`."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import zstandard

from kit.observe import configure_logging
from loganalyzer.search.v1 import search_pb2
from services.search.care import locks
from services.search.care.carer import new_id
from services.search.care.check import Part, Problem, check_split
from services.search.care.policy import Limits
from services.search.care.rebuild import rebuild
from services.search.care.sums import note
from services.search.catalog import Catalog
from services.search.index import grams
from services.search.index.layout import SCHEMA_VERSION, remove_tree, split_path
from services.search.library import named
from services.search.view import Published

__all__ = ["check_all", "repair_all"]

_NICENESS = 10
#: Sources of a damaged split that are named at most.
SOURCES = 20


async def check_all(catalog: Catalog, root: Path, workspace: str) -> search_pb2.CheckLogsResponse:
    """What is damaged in a workspace."""
    answer = search_pb2.CheckLogsResponse()
    for published in _in_turn(catalog, workspace):
        problems = await _problems(root, published)
        if problems and not _is_published(catalog, published):
            continue  # it was replaced while it was read
        answer.split_count += 1
        answer.line_count += published.split.line_count
        answer.problems.extend(_messages(published, problems))
    return answer


async def repair_all(catalog: Catalog, root: Path, workspace: str, lock: Path) -> search_pb2.RepairLogsResponse:
    """Repairs what can be repaired, and brings splits of an older version up. Waits for a job of the care process."""
    answer = search_pb2.RepairLogsResponse()
    for published in _in_turn(catalog, workspace):
        problems = await _problems(root, published)
        if not problems and published.split.schema_version >= SCHEMA_VERSION:
            continue
        # Nothing else runs in this process: it may block.
        with locks.held(lock, wait=True):
            if not _is_published(catalog, published):
                continue
            left = await _repair(catalog, root, published, problems)
        answer.repaired_count += not left
        answer.problems.extend(_messages(published, left))
    return answer


async def _repair(catalog: Catalog, root: Path, published: Published, problems: list[Problem]) -> list[Problem]:
    """What is still wrong afterwards."""
    workspace, split = published.workspace, published.split
    if not all(problem.repairable for problem in problems):
        return problems
    try:
        if problems and all(problem.part in (Part.GRAMS, Part.SUMS) for problem in problems):
            await asyncio.to_thread(_index, root, workspace, split)
            return []
        identifier = new_id()
        hidden = catalog.view(workspace).hidden
        build = partial(rebuild, root, workspace, [split], identifier, without=hidden, by_table=False)
        replaced = False
        try:
            new = await asyncio.to_thread(build)
            if new is not None:
                await asyncio.to_thread(_index, root, workspace, new)
            replaced = await catalog.replace(workspace, [split.id], new)
        finally:
            if not replaced:
                await asyncio.to_thread(remove_tree, split_path(root, workspace, identifier))
    except (OSError, ValueError, RuntimeError, zstandard.ZstdError) as error:
        return [*problems, Problem(Part.INDEX, f"it could not be built again: {error}")]
    return []


def _index(root: Path, workspace: str, split: search_pb2.Split) -> None:
    folder = split_path(root, workspace, split.id)
    (folder / grams.GRAMS).unlink(missing_ok=True)
    if split.raw_bytes >= Limits().grams:
        grams.build(folder)
    note(folder)


async def _problems(root: Path, published: Published) -> list[Problem]:
    folder = split_path(root, published.workspace, published.split.id)
    return await asyncio.to_thread(check_split, folder, published.split)


def _in_turn(catalog: Catalog, workspace: str) -> Iterator[Published]:
    """The splits that are published now, those left out that are not any more when it is their turn."""
    for published in catalog.view(workspace).splits:
        if _is_published(catalog, published):
            yield published


def _is_published(catalog: Catalog, published: Published) -> bool:
    return any(each.split.id == published.split.id for each in catalog.view(published.workspace).splits)


def _messages(published: Published, problems: Sequence[Problem]) -> Iterator[search_pb2.SplitProblem]:
    """Where lines are damaged the first message names the sources: they are what can be imported again."""
    split = published.split
    whole = all(problem.repairable for problem in problems)
    for number, problem in enumerate(problems):
        holds = "" if whole or number else f"; it holds lines of {named(split, SOURCES, 1000)}"
        yield search_pb2.SplitProblem(split_id=split.id, message=problem.message + holds, repairable=problem.repairable)


async def _main(arguments: Sequence[str]) -> bytes:
    verb, database, splits, workspace = arguments
    catalog = Catalog(Path(database))
    await catalog.open()
    try:
        if verb == "check":
            return (await check_all(catalog, Path(splits), workspace)).SerializeToString()
        lock = Path(database).with_name(locks.WORK)
        return (await repair_all(catalog, Path(splits), workspace, lock)).SerializeToString()
    finally:
        await catalog.close()


def _end_with_parent() -> None:
    """Its end of the pipe on standard input closes when it ends, however it ends."""
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    os.nice(_NICENESS)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    configure_logging("search-care")
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what anything prints must not get into the answer
    answer.write(asyncio.run(_main(sys.argv[1:])))
    answer.close()
