"""Clients that know nothing of the kit."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.datafiles import ROOT, SAMPLE
from tests.e2e.product import Product


def test_a_plain_grpc_client_with_the_generated_stubs(product: Product) -> None:
    workspace = product.create_workspace("stock")
    product.import_all(SAMPLE / "auth.log", workspace=workspace)
    address = product.address_of("search")
    assert address is not None
    run = subprocess.run(
        [sys.executable, "-P", str(ROOT / "examples" / "stock_grpc_client.py"), address, workspace, "sshd"],
        env={"PYTHONPATH": str(ROOT / "protos" / "gen"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr.decode()
    out = run.stdout.decode()
    assert "SERVING" in out
    assert "sshd" in out
    assert "NOT_FOUND" in out
    assert "loganalyzer.search.v1.SearchService" in out


def test_curl_gets_a_page_and_a_stream(product: Product) -> None:
    workspace = product.create_workspace("curl")
    product.import_all(SAMPLE / "auth.log", workspace=workspace)

    def curl(*args: str) -> str:
        return subprocess.run(
            ["curl", "--silent", "--show-error", "--max-time", "30", *args], capture_output=True, check=True
        ).stdout.decode()

    url = f"{product.client.base_url}/v1/{workspace}/logs:search?query=sshd&pageSize=3".replace("//v1", "/v1")
    page = json.loads(curl(url))
    assert len(page["hits"]) == 3
    lines = [json.loads(line) for line in curl("-H", "Accept: application/x-ndjson", url).splitlines() if line]
    assert "done" in lines[-1]
    events = curl("-H", "Accept: text/event-stream", url)
    assert events.count("data: ") >= 2
