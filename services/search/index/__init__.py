"""The seam to the search engine: splits are written here, searched here, and known nowhere else.

`SplitWriter` builds a split; it needs neither grpc nor an event loop, so that worker processes stay small. `open_split`
gives a `SplitReader`, which counts, takes the first hits in order, makes histograms and reads lines. The tantivy engine
and a scanner that reads every line answer alike; the second is the oracle of the tests.
"""

from services.search.index.layout import SCHEMA_VERSION, SUPPORTED, read_meta, split_path
from services.search.index.writer import NO_TIME, SplitWriter

__all__ = ["NO_TIME", "SCHEMA_VERSION", "SUPPORTED", "SplitWriter", "read_meta", "split_path"]
