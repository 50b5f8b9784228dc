"""Imports from the call to the published splits, over real loopback gRPC and with real worker processes."""

from __future__ import annotations

from pathlib import Path

from tests.integration.importer.support import SUCCEEDED, bench


async def test_a_file_becomes_a_published_split(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "app.log").write_text("2024-05-01 10:00:00 INFO one\n2024-05-01 10:00:01 ERROR two\n  at three\n")
    async with bench(tmp_path / "data", logs) as it:
        done = await it.run(logs / "app.log")
        assert done.state == SUCCEEDED, done
        assert (done.line_count, done.byte_count, done.file_count, done.error_count) == (3, 70, 1, 0)
        [run] = it.search.runs
        assert (run.name, run.line_count, run.complete) == (str(logs / "app.log"), 3, True)
