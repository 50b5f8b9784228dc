"""How the verbs find the local gateway."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.discovery import Registry
from services.cli.gateway import GatewayError, find
from tests.unit.loganalyzer_cli.conftest import Run
from tests.unit.loganalyzer_cli.fake import Answer, FakeGateway


def test_a_registered_gateway_is_found_while_it_lives(tmp_path: Path) -> None:
    with Registry(tmp_path / "run" / "registry").register("gateway", "127.0.0.1:4321"):
        assert find(None, tmp_path) == "http://127.0.0.1:4321"
    with pytest.raises(GatewayError, match="no gateway is running"):
        find(None, tmp_path)


def test_a_verb_finds_the_gateway_of_the_data_folder_that_it_is_told(
    run: Run, gateway: FakeGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LOGANALYZER_GATEWAY")
    # A proxy must not be asked for what is on this machine.
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    gateway.routes["GET /v1/workspaces"] = Answer({"workspaces": []})
    with Registry(tmp_path / "run" / "registry").register("gateway", gateway.url.removeprefix("http://")):
        assert run("workspaces", "--data-dir", str(tmp_path)).exit_code == 0
    assert run("workspaces", "--data-dir", str(tmp_path)).exit_code == 2


def test_a_scheme_that_is_no_http_is_refused_in_a_sentence(run: Run) -> None:
    result = run("workspaces", "--gateway", "ftp://x")
    assert result.exit_code == 2
    assert result.stderr.startswith("loganalyzer: ")
