"""Finding the files that an import reads. Runs in a thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from services.importer.planning import PlannedFile
from services.importer.reading import Problem, Walk
from services.importer.records import ImportRow, SourceRow


def find(sources: Sequence[SourceRow], allowed: Callable[[str], bool]) -> Iterator[tuple[int, PlannedFile | Problem]]:
    """Everything below the sources: (number of the source, file or what is wrong). Files are numbered in order."""
    walk, number = Walk(allowed), 0
    for source in sources:
        for found in walk.files(source.path):
            if isinstance(found, Problem):
                yield source.number, replace(found, path=source.name + found.path[len(source.path) :])
                continue
            name = source.name + found.name[len(source.path) :]
            yield source.number, PlannedFile(number, source.number, name, found.path, found.size)
            number += 1


def allowing(row: ImportRow, allowed: Callable[[str], bool], spool: Path) -> Callable[[str], bool]:
    """What this import may read: what everybody may, and its own upload."""
    upload = spool.resolve() / row.id
    return lambda real: allowed(real) or Path(real) == upload
