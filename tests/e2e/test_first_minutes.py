"""What a stranger does first."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.datafiles import ROOT, SAMPLE
from tests.e2e.oracle import grep, term_pattern
from tests.e2e.product import Product, context_url, wait_until


@pytest.mark.parametrize("sig", ["SIGINT", "SIGTERM"])
def test_up_with_the_sample_answers_a_search_within_20_seconds_and_stops_without_a_trace(
    start_product: Callable[..., Product], sig: str
) -> None:
    import signal

    started = time.monotonic()
    product = start_product(args=["--sample", str(SAMPLE)])
    total = wait_until(
        lambda: int(product.search("error").json().get("totalSize", 0)), seconds=20, what="the sample can be searched"
    )
    assert total > 0
    assert time.monotonic() - started < 20
    page = product.client.get("/")
    assert page.status_code == 200
    assert "text/html" in page.headers["content-type"]
    assert len(product.processes()) >= 6
    assert product.stop(getattr(signal, sig)) == 0


def test_the_sample_gives_what_grep_finds_in_it(product: Product, tmp_path: Path) -> None:
    workspace = product.create_workspace("sample")
    result = product.import_all(SAMPLE / "kafka", SAMPLE / "auth.log", SAMPLE / "zeek_network.log", workspace=workspace)
    assert result["state"] == "SUCCEEDED"
    assert result["errorCount"] == "0"
    for name in ("kafka", "auth.log", "zeek_network.log"):
        (tmp_path / name).symlink_to(SAMPLE / name)
    for term in ("broker", "failed", "22", "tcp", "absentword"):
        expected = set()
        for name in ("kafka", "auth.log", "zeek_network.log"):
            folder = SAMPLE / name if (SAMPLE / name).is_dir() else SAMPLE
            expected |= {
                (str(folder / path), number)
                for path, number in grep(folder, term_pattern(term))
                if folder != SAMPLE or path == name
            }
        hits, total = product.hits(term, workspace)
        assert {(hit["source"], int(hit["lineNumber"])) for hit in hits} == expected
        assert total == len(expected) == len(hits)


def test_pages_follow_each_other_and_a_hit_has_its_neighbours(product: Product) -> None:
    workspace = product.create_workspace("pages")
    product.import_all(SAMPLE / "auth.log", workspace=workspace)
    everything, total = product.hits("sshd", workspace)
    seen: list[str] = []
    token = ""
    while True:
        page = product.search("sshd", workspace, pageSize=100, pageToken=token).json()
        assert int(page["totalSize"]) == total
        assert page["totalSizeIsEstimate"] is False
        seen += [hit["id"] for hit in page["hits"]]
        token = page["nextPageToken"]
        if not token:
            break
    assert seen == [hit["id"] for hit in everything]
    assert len(set(seen)) == total > 100

    hit = everything[len(everything) // 2]
    lines = (SAMPLE / "auth.log").read_bytes().split(b"\n")
    number = int(hit["lineNumber"])
    assert hit["text"] == lines[number - 1].decode()
    context = product.client.get(context_url(workspace, hit), params={"before": 2, "after": 2}).json()
    assert [line["text"].encode() for line in context["before"]] == lines[number - 3 : number - 1]
    assert [line["text"].encode() for line in context["after"]] == lines[number : number + 2]


def test_the_command_line_imports_searches_and_lists(product: Product, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text("2024-05-01T10:00:00Z ERROR first thing broke\n2024-05-01T10:00:01Z INFO all is well\n")

    def cli(*args: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-P", "-m", "services.cli", *args],
            env={
                "PATH": "/usr/bin:/bin",
                "PYTHONPATH": f"{ROOT}:{ROOT / 'protos' / 'gen'}",
                "LOGANALYZER_GATEWAY": str(product.client.base_url),
                "HOME": str(tmp_path),
            },
            input=stdin,
            capture_output=True,
            check=False,
            timeout=60,
        )

    workspace = "cli-words"
    assert cli("workspaces", "create", workspace).stdout.decode() == f"workspaces/{workspace}\n"
    assert cli("import", str(log), "--workspace", workspace).returncode == 0
    found = cli("search", "broke", "--workspace", workspace)
    assert found.returncode == 0
    assert found.stdout.decode() == f"{log}:1:2024-05-01T10:00:00Z ERROR first thing broke\n"
    assert cli("search", "nothinglikethis", "--workspace", workspace).returncode == 1
    wrong = cli("search", "broke AND (", "--workspace", workspace)
    assert wrong.returncode == 2
    assert wrong.stderr
    piped = cli("import", "-", "--workspace", workspace, stdin=b"piped line one\npiped line two")
    assert piped.returncode == 0, piped.stderr
    assert cli("search", "piped", "--workspace", workspace).stdout.decode().count("piped line") == 2


def test_a_deleted_workspace_is_gone_with_all_that_was_in_it(product: Product) -> None:
    workspace = product.create_workspace("short-lived")
    product.import_all(SAMPLE / "auth.log", workspace=workspace)
    operation = product.client.delete(f"/v1/{workspace}").json()
    done = wait_until(
        lambda: (one := product.client.get(f"/v1/{operation['name']}").json()).get("done") and one,
        seconds=30,
        what="the deletion is done",
    )
    assert "error" not in done
    assert product.client.get(f"/v1/{workspace}").status_code == 404
    assert product.search("sshd", workspace).status_code == 404
    assert not (product.data_dir / "splits" / "short-lived").exists()
