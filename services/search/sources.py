"""The sources whose lines a view holds."""

from __future__ import annotations

from services.search.catalog import View
from services.search.plans import LogSource

__all__ = ["of"]


def of(view: View) -> list[LogSource]:
    """By name, and among equal names by id."""
    found: dict[str, LogSource] = {}
    for published in view.splits:
        for run in published.split.sources:
            if not run.line_count or run.source_id in view.hidden:
                continue
            known = found.get(run.source_id)
            lines, size = (known.line_count, known.byte_count) if known else (0, 0)
            found[run.source_id] = LogSource(
                run.source_id, run.name, run.import_name, lines + run.line_count, size + run.byte_count
            )
    return sorted(found.values(), key=lambda source: (source.name, source.source_id))
