"""Real logs: what the service finds is what grep finds in the files."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.datafiles import require_shared_data
from tests.integration.search.conftest import Searching, hits_of
from tests.unit.search.splits import EPOCH, Row, Source

#: (query, what grep gets, further arguments of grep)
QUERIES: Sequence[tuple[str, str]] = [
    ("failed", "failed"),
    ("ERROR", "error"),
    ("192", "192"),
    ("kibana_user", r"kibana[^\p{L}\p{N}]+user"),
    ("66.249.73.135", r"66[^\p{L}\p{N}]+249[^\p{L}\p{N}]+73[^\p{L}\p{N}]+135"),
    ('"Invalid user"', r"invalid[^\p{L}\p{N}]+user"),
    (
        '"GET /favicon.ico HTTP/1.1"',
        r"GET[^\p{L}\p{N}]+favicon[^\p{L}\p{N}]+ico[^\p{L}\p{N}]+HTTP[^\p{L}\p{N}]+1[^\p{L}\p{N}]+1",
    ),
    ("controller.Controller", r"controller[^\p{L}\p{N}]+Controller"),
    ("décembre", "décembre"),
    ("x", "x"),
    ("nosuchwordanywhere", "nosuchwordanywhere"),
]


@pytest.mark.data
async def test_the_service_finds_the_lines_that_grep_finds(searching: Searching) -> None:
    data = require_shared_data()
    files = sorted(path for folder in ("elastic", "formats") for path in (data / folder).rglob("*") if path.is_file())
    total = 0
    for at in range(0, len(files), 40):
        sources = []
        for number, file in enumerate(files[at : at + 40]):
            raw = file.read_bytes().split(b"\n")
            if raw[-1] == b"":
                raw.pop()
            rows = [Row(line, EPOCH + row // 3 * 1_000_000) for row, line in enumerate(raw)]
            sources.append(Source(rows, f"s{at + number}", str(file)))
            total += len(rows)
        await searching.publish(*sources)
    assert (await searching.search()).total_size == total
    for query, pattern in QUERIES:
        expected = grep(pattern, files)
        page = await searching.search(query, page_size=1)
        assert page.total_size == len(expected), query
        found = {(hit.source, hit.line_number) for hit in hits_of(await searching.stream(query))}
        assert found == expected, query


def grep(pattern: str, files: Sequence[Path]) -> set[tuple[str, int]]:
    """(file, line number) of every line that the definition of a term finds."""
    found = subprocess.run(
        ["grep", "-aniHP", "-Z", rf"(?<![\p{{L}}\p{{N}}]){pattern}(?![\p{{L}}\p{{N}}])", *map(str, files)],
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        check=False,
    )
    if found.returncode not in (0, 1):
        pytest.skip("this grep has no -P")
    return {
        (match[1].decode(), int(match[2]))
        for match in re.finditer(rb"^(/[^\0\n]*)\0(\d+):", found.stdout, re.MULTILINE)
    }
