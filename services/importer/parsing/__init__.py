"""From lines to columns: the time, the level and the record of each line.

Pure: no files, no processes. A parser belongs to one source and is fed its lines in order.
"""

from services.importer.parsing.columns import NO_TIME, Columns
from services.importer.parsing.parser import LineParser

__all__ = ["NO_TIME", "Columns", "LineParser"]
