"""An import as the API shows it."""

from __future__ import annotations

from loganalyzer.importer.v1 import importer_pb2
from loganalyzer.search.v1 import query_pb2
from services.importer.jobs import Snapshot
from services.importer.planning import Totals
from services.importer.progress import Progress
from services.importer.reading import Problem
from services.importer.records import FileRow, ImportRow, SourceRow


def to_import(snapshot: Snapshot) -> importer_pb2.Import:
    """The message of an import, as it is now."""
    row, progress = snapshot.row, snapshot.progress
    message = importer_pb2.Import(
        name=row.name,
        state=importer_pb2.Import.State.ValueType((progress or row).state),
        error_message=row.message if progress is None else progress.message,
        mode=importer_pb2.Import.Mode.ValueType(row.mode),
        follow=row.follow,
    )
    message.create_time.FromMicroseconds(row.create_time)
    start_time = row.start_time if progress is None else progress.start_time
    if start_time is not None:
        message.start_time.FromMicroseconds(start_time)
    if row.end_time is not None:
        message.end_time.FromMicroseconds(row.end_time)
    if progress is None:
        _ended(message, row)
    else:
        _running(message, row, progress)
    return message


def _ended(message: importer_pb2.Import, row: ImportRow) -> None:
    total = Totals()
    for source in row.sources:
        total.add(source.totals.lines, source.totals.bytes, source.totals.files)
        message.sources.append(_source(source, source.totals, source.errors, source.error_count))
        message.error_count += source.error_count
    message.line_count, message.byte_count, message.file_count = total.lines, total.bytes, total.files
    # Files that were looked at: those that need not be read are not in the counts.
    for name in ("total_files", "processed_files", "total_bytes", "processed_bytes"):
        if row.shown.get(name):
            setattr(message.progress, name, row.shown[name])


def _running(message: importer_pb2.Import, row: ImportRow, progress: Progress) -> None:
    for source in row.sources:
        totals = progress.tally.by_source.get(source.number, Totals())
        count = progress.error_counts.get(source.number, 0)
        message.sources.append(_source(source, totals, progress.errors.get(source.number, ()), count))
        message.error_count += count
    total = progress.totals
    message.line_count, message.byte_count, message.file_count = total.lines, total.bytes, total.files
    shown = message.progress
    shown.total_files, shown.processed_files = progress.total_files, progress.processed_files
    shown.total_bytes, shown.processed_bytes = progress.total_bytes, progress.processed_bytes
    shown.bytes_per_second = progress.unpacked_rate.per_second
    if progress.eta is not None:
        shown.eta.FromMilliseconds(int(progress.eta * 1000))


def _source(
    source: SourceRow, totals: Totals, errors: tuple[Problem, ...] | list[Problem] | tuple[()], error_count: int
) -> importer_pb2.Source:
    return importer_pb2.Source(
        path=source.name,
        line_count=totals.lines,
        byte_count=totals.bytes,
        file_count=totals.files,
        error_count=error_count,
        errors=[
            importer_pb2.SourceError(
                path=_text(problem.path),
                reason=importer_pb2.SourceError.Reason.ValueType(problem.reason),
                message=_text(problem.message),
                line_number=problem.line_number,
            )
            for problem in errors
        ],
    )


def to_file(row: FileRow) -> importer_pb2.ImportFile:
    """The message of a text that an import has read."""
    facts = row.facts
    message = importer_pb2.ImportFile(
        path=_text(str(facts.get("name") or "")),
        line_count=int(facts.get("lines") or 0),
        byte_count=int(facts.get("bytes") or 0),
        format=str(facts.get("format") or ""),
        encoding=str(facts.get("encoding") or ""),
        sha256=str(facts.get("sha256") or ""),
        state=importer_pb2.ImportFile.State.ValueType(int(facts.get("state_of_file") or 0)),
        levels=[
            importer_pb2.ImportLevelCount(level=_level(int(level)), count=int(count))
            for level, count in sorted((facts.get("levels") or {}).items())
            if int(level)
        ],
    )
    if facts.get("low") is not None:
        message.start_time.FromMicroseconds(int(facts["low"]))
    if facts.get("high") is not None:
        message.end_time.FromMicroseconds(int(facts["high"]))
    return message


def _level(number: int) -> str:
    found = query_pb2.Level.DESCRIPTOR.values_by_number.get(number)
    return str(number) if found is None else found.name


def _text(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
