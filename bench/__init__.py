"""Measurements of the kit and of the whole product. `make bench` prints them; `docs/benchmarks.md` keeps them.

Nothing here is a test: a figure is printed, never asserted.
"""

import os

# grpc's core says on the terminal when a connection ends, which here they all do. Before it is imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
