"""A fake gateway, and the command run against it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from click.testing import CliRunner, Result

from services.cli import main
from tests.unit.loganalyzer_cli.fake import FakeGateway, running


class Run(Protocol):
    def __call__(self, *arguments: str, **options: Any) -> Result: ...


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    with running() as fake:
        yield fake


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, gateway: FakeGateway) -> Run:
    """Runs `loganalyzer` against the fake gateway."""
    monkeypatch.setenv("KIT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("LOGANALYZER_GATEWAY", gateway.url)

    def invoke(*arguments: str, **options: Any) -> Result:
        return CliRunner().invoke(main, list(arguments), **options)

    return invoke
