"""What the running product tells of itself, and what it does with a request that comes twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.datafiles import ROOT
from tests.e2e.product import Product, wait_until

PROCESSES = ["search", "importer", "workspace", "cache", "gateway"]


def kit(product: Product, *args: str) -> subprocess.CompletedProcess[str]:
    """Runs a command of the kit as somebody on the same machine would."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "kit.cli", *args],
        env={
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": f"{ROOT}:{ROOT / 'protos' / 'gen'}",
            "KIT_DATA_DIR": str(product.data_dir),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def _well(told: subprocess.CompletedProcess[str]) -> str:
    return told.stdout if told.returncode == 0 else ""


@pytest.mark.parametrize("name", PROCESSES)
def test_every_process_says_that_it_is_well(product: Product, name: str) -> None:
    # What was asked before the others had started is asked again some seconds later.
    told = wait_until(lambda: _well(kit(product, "health", name)), seconds=40, what=f"{name} is well")
    assert "readiness" in told


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("command", ["breakers", "endpoints", "limits", "policies", "calls"])
def test_every_process_tells_of_itself(product: Product, name: str, command: str) -> None:
    told = kit(product, command, name)
    assert told.returncode == 0, told.stderr


def test_the_gateways_endpoints_are_the_services(product: Product) -> None:
    product.client.get("/v1/workspaces/default/logs:search", params={"query": "error"})
    told = kit(product, "endpoints", "gateway", "--json")
    addresses = {json.loads(line)["address"] for line in told.stdout.splitlines()}
    assert product.address_of("search") in addresses
    assert addresses <= {product.address_of(name) for name in PROCESSES if name != "gateway"}


def test_the_metrics_count_the_searches(product: Product) -> None:
    assert product.client.get("/v1/workspaces/default/logs:search", params={"query": "error"}).status_code == 200
    text = product.client.get("/metrics").text
    assert 'http_route="/v1/{parent=workspaces/*}/logs:search"' in text
    assert "rpc_client_call_duration_seconds_count{" in text


def test_a_workspace_that_is_created_twice_with_one_key_is_one_workspace(product: Product) -> None:
    def create(name: str) -> tuple[int, dict[str, object]]:
        answer = product.client.post(
            "/v1/workspaces", json={"displayName": name}, headers={"idempotency-key": "the-same-key"}
        )
        return answer.status_code, answer.json()

    first, again, other = create("twice"), create("twice"), create("other")
    assert first == again
    assert first[0] == 200
    assert (other[0], other[1]["reason"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    listed = product.client.get("/v1/workspaces").json()["workspaces"]
    assert [one["name"] for one in listed if one["displayName"] == "twice"] == [first[1]["name"]]


def test_an_import_that_is_asked_for_twice_with_one_key_runs_once(product: Product, tmp_path: Path) -> None:
    log = tmp_path / "once.log"
    log.write_text("2024-05-01T10:00:00Z INFO once\n")
    workspace = product.create_workspace("imported-once")
    answers = [
        product.client.post(
            f"/v1/{workspace}/imports",
            json={"sources": [{"path": str(log)}]},
            headers={"idempotency-key": "import-once"},
        ).json()
        for _ in range(2)
    ]
    assert answers[0]["name"] == answers[1]["name"]
    assert product.wait_for_import(answers[0]["name"])["lineCount"] == "1"
    assert len(product.client.get(f"/v1/{workspace}/imports").json()["imports"]) == 1


def test_every_mutation_leaves_an_audit_line_that_says_what_and_how_it_ended(product: Product) -> None:
    def audited() -> list[dict[str, str]]:
        text = (product.data_dir / "logs" / "workspace.log").read_text()
        lines = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
        return [line for line in lines if line.get("channel") == "audit"]

    before = len(audited())
    product.client.get(f"/v1/{product.create_workspace('audited')}")
    [line] = wait_until(lambda: audited()[before:], seconds=20, what="the line is written")
    assert (line["method"], line["code"]) == ("/loganalyzer.workspace.v1.WorkspaceService/CreateWorkspace", "OK")
