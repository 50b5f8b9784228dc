"""What grep finds in the sources: the truth that a search is held against."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

Line = tuple[str, int]


_SEPARATORS = r"[^\p{L}\p{N}]+"


def term_pattern(term: str) -> str:
    """A term is a maximal run of letters and digits, matched without case."""
    return rf"(?<![\p{{L}}\p{{N}}]){term}(?![\p{{L}}\p{{N}}])"


def phrase_pattern(*terms: str) -> str:
    """Terms with nothing but separators between them."""
    return term_pattern(_SEPARATORS.join(terms))


def grep(folder: Path, pattern: str) -> set[Line]:
    """Matching lines of all files below the folder: (path below the folder, line number)."""
    run = subprocess.run(
        ["grep", "-raniP", "-Z", "--", pattern, "."],
        cwd=folder,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        check=False,
    )
    assert run.returncode in {0, 1}, run.stderr.decode()
    found: set[Line] = set()
    for line in run.stdout.split(b"\n"):
        name, nul, rest = line.partition(b"\0")
        if nul and name.startswith(b"./"):
            found.add((name[2:].decode(), int(rest.partition(b":")[0])))
    return found


def all_lines(folder: Path) -> set[Line]:
    """Every line of all files below the folder."""
    found: set[Line] = set()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            found |= {(str(path.relative_to(folder)), number) for number in range(1, count_lines(path) + 1)}
    return found


def count_lines(path: Path) -> int:
    """Newlines, plus one for an unterminated last line."""
    newlines, last = 0, b"\n"
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            newlines += block.count(b"\n")
            last = block[-1:]
    return newlines + (last != b"\n")
