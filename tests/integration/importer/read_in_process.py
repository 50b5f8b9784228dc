"""A task in a process of its own, to see what it takes: `python -m ...read_in_process FOLDER FREE_BYTES FILE...`.

FREE_BYTES is the limit up to which the ratio does not matter; 0 for the usual one.

Writes JSON to standard output: lines by source, errors (path, reason, line, message), seconds, and the most memory that
this process and those that it started have taken, in bytes.
"""

from __future__ import annotations

import base64
import json
import resource
import sys
import time
from pathlib import Path

from loganalyzer.search.v1 import search_pb2
from services.importer.messages import Message, TaskSpec
from services.importer.reading import Limits, Reason
from services.importer.task import Task
from services.search.index import SplitWriter


class Listener:
    """The importer's side."""

    cancelled = False
    flush_asked = False
    tailed = False

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def send(self, message: Message) -> None:
        if message["op"] in ("error", "split"):
            self.messages.append(message)

    def offer(self, message: Message) -> bool:
        self.send(message)
        return True

    def wait_for_ack(self) -> None:
        pass


def main() -> None:
    """Runs the task."""
    folder, free, *paths = sys.argv[1:]
    limits = Limits(ratio_free_bytes=int(free)) if int(free) else Limits()
    listener = Listener()
    spec = TaskSpec(
        import_id="abc",
        import_name="workspaces/default/imports/abc",
        workspace="default",
        splits=folder,
        number=0,
        ordinal=0,
        files=[(number, Path(path).name, path) for number, path in enumerate(paths)],
        covered={},
        cursor=None,
    )
    started = time.perf_counter()
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    Task(spec, listener, SplitWriter, limits=limits).run()
    seconds = time.perf_counter() - started
    lines: dict[str, int] = {}
    for message in listener.messages:
        if message["op"] == "split":
            split = search_pb2.Split.FromString(base64.b64decode(message["split"]))
            for run in split.sources:
                lines[run.name] = lines.get(run.name, 0) + run.line_count
    errors = [
        (one["path"], Reason(one["reason"]).name, one["line"], one["message"])
        for one in listener.messages
        if one["op"] == "error"
    ]
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10
    json.dump(
        {"lines": lines, "errors": errors, "seconds": seconds, "memory": own - base, "child": children}, sys.stdout
    )


if __name__ == "__main__":
    main()
