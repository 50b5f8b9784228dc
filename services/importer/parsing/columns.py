"""What a parser finds."""

from __future__ import annotations

from dataclasses import dataclass

#: A line without a time. The same number as in services.search.index.
NO_TIME = -(2**63)


@dataclass(frozen=True, slots=True)
class Columns:
    """What is known of each line; all of the same length."""

    #: Microseconds since 1970 UTC, or NO_TIME. A line that has none of its own has that of the one before.
    times: list[int]
    levels: list[int]
    #: 1 where the line starts a record, 0 where it continues the one before.
    records: bytearray

    def extend(self, more: Columns) -> None:
        """Adds the columns of the lines that follow."""
        self.times.extend(more.times)
        self.levels.extend(more.levels)
        self.records.extend(more.records)
