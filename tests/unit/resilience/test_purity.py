"""What `kit.resilience` may import."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import kit.resilience

ALLOWED = {"__future__", "collections", "dataclasses", "enum", "heapq", "math", "typing"}
MODULES = sorted(Path(kit.resilience.__file__).parent.glob("*.py"))


def imported(source: str) -> set[str]:
    """Full names of what a module imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where they lead"
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_it_imports_nothing_that_waits_sends_logs_or_is_random(module: Path) -> None:
    names = imported(module.read_text("utf-8"))
    foreign = {
        name for name in names if name.partition(".")[0] not in ALLOWED and not name.startswith("kit.resilience")
    }
    assert foreign == set()


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_it_opens_with_its_theory_of_operation(module: Path) -> None:
    docstring = ast.get_docstring(ast.parse(module.read_text("utf-8")))
    assert docstring
    if module.stem != "__init__":
        assert "Theory of operation." in docstring
