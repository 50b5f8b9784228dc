"""Lines of a view, read from its splits, with the line that each one's record begins with. Blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from services.search.catalog import Published, View
from services.search.index.split import Check, SplitReader, unchecked
from services.search.seam import LogLine

__all__ = ["Lines"]


class Lines:
    """Reads lines; remembers the beginnings of records that began in another split."""

    def __init__(self, view: View, open_split: Callable[[Published], SplitReader]) -> None:
        self._view = view
        self._open = open_split
        self._records: dict[tuple[str, int], int] = {}

    def read(self, wanted: Sequence[tuple[SplitReader, int, bytes]], check: Check = unchecked) -> list[LogLine]:
        """Lines by split, row and place, in any order."""
        rows: dict[SplitReader, list[int]] = {}
        for reader, row, _ in wanted:
            rows.setdefault(reader, []).append(row)
        lines = {reader: iter(reader.lines(its, check)) for reader, its in rows.items()}
        found: list[LogLine] = []
        run = None
        source_id = source = ""
        for reader, _, place in wanted:
            line = next(lines[reader])
            if line.run is not run:
                run = line.run
                source_id, source = run.source_id, run.name
            record = line.record_number
            if record is None:
                record = self._record_before(source_id, run.first_line)
            found.append(LogLine(source_id, source, line.number, line.raw, line.time, line.level, record, place))
        return found

    def between(self, source_id: str, first: int, last: int) -> list[LogLine]:
        """Lines `first` to `last` of a source, as far as they are there without a gap."""
        result: list[LogLine] = []
        number = first
        while number <= last:
            run = self._view.run_of(source_id, number)
            if run is None:
                break
            stop = min(last + 1, run.first_line + run.line_count)
            reader = self._open(run.published)
            row = run.first_row - run.first_line
            result += self.read([(reader, row + line, b"") for line in range(number, stop)])
            number = stop
        return result

    def _record_before(self, source_id: str, first_line: int) -> int:
        """Line number of the beginning of a record that goes on at `first_line`, the first one of a run.

        Where the run before is not there (yet), the record begins with this one as far as can be known.
        """
        key = (source_id, first_line)
        known = self._records.get(key)
        if known is None:
            known = first_line
            while (run := self._view.run_of(source_id, known - 1)) is not None:
                row = run.first_row + known - 1 - run.first_line
                found = self._open(run.published).line(row).record_number
                known = run.first_line if found is None else found
                if found is not None:
                    break
            self._records[key] = known
        return known
