"""The verbs of the command line against the running product."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.datafiles import ROOT, SAMPLE
from tests.e2e.product import Product

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def cli(product: Product, tmp_path: Path) -> Cli:
    def run(*arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-m", "services.cli", *arguments],
            env={
                "PATH": "/usr/bin:/bin",
                "PYTHONPATH": f"{ROOT}:{ROOT / 'protos' / 'gen'}",
                "LOGANALYZER_GATEWAY": str(product.client.base_url),
                "HOME": str(tmp_path),
            },
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return run


@pytest.fixture(scope="module")
def workspace(product: Product) -> str:
    name = product.create_workspace("command-line")
    product.import_all(SAMPLE / "auth.log", SAMPLE / "kafka", workspace=name)
    return name


def test_a_wrong_query_has_a_caret_under_its_place(cli: Cli, workspace: str) -> None:
    wrong = cli("search", "sshd AND (failed", "-w", workspace)
    assert wrong.returncode == 2
    first, query, caret = wrong.stderr.splitlines()
    assert first.startswith("loganalyzer: query: expected")
    assert (query, caret.index("^")) == ("sshd AND (failed", 16)


def test_context_is_that_of_grep(cli: Cli, workspace: str) -> None:
    expected = subprocess.run(
        ["grep", "-n", "-C", "2", "-w", "-i", "chpasswd", str(SAMPLE / "auth.log")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = cli("search", "chpasswd", "-w", workspace, "-C", "2", "--all", "--order", "oldest")
    path = str(SAMPLE / "auth.log")
    ours = [line.removeprefix(path)[1:] if line.startswith(path) else line for line in found.stdout.splitlines()]
    assert sorted(set(ours)) == sorted(set(expected.splitlines()))


def test_an_export_holds_what_a_search_prints_as_json(cli: Cli, workspace: str, tmp_path: Path) -> None:
    out = tmp_path / "out.ndjson"
    assert cli("export", "sshd", "-w", workspace, "-o", str(out)).returncode == 0
    exported = [json.loads(line) for line in out.read_text().split("\n") if line]
    printed = [
        json.loads(line)
        for line in cli("search", "sshd", "-w", workspace, "--all", "--json").stdout.split("\n")
        if line
    ]
    assert len(exported) > 100
    assert [(one["id"], one["text"]) for one in exported] == [(one["id"], one["text"]) for one in printed]
    assert len(cli("export", "sshd", "-w", workspace, "--limit", "3").stdout.splitlines()) == 3
    assert cli("export", "(", "-w", workspace).returncode == 2


def test_counts_agree_whichever_verb_tells_them(cli: Cli, workspace: str) -> None:
    count = int(cli("search", "kafka", "-w", workspace, "--count").stdout)
    assert count > 0
    assert cli("histogram", "kafka", "-w", workspace).stdout.splitlines()[-1].startswith(f"{count:,} lines in all")
    top = json.loads(cli("top", "source", "kafka", "-w", workspace, "--json", "--limit", "1000").stdout)
    assert sum(int(one["count"]) for one in top["values"]) == int(top["totalSize"]) == count
    messages = cli("search", "kafka", "-w", workspace, "--stream", "--all").stdout.splitlines()
    assert int(json.loads(messages[-1])["done"]["totalSize"]) == count


def test_templates_and_the_plan_are_told(cli: Cli, workspace: str) -> None:
    templates = cli("templates", "sshd", "-w", workspace)
    assert templates.returncode == 0
    assert "<*>" in templates.stdout
    plan = cli("search", "SSHD failed", "-w", workspace, "--explain")
    assert plan.returncode == 0
    assert plan.stdout.startswith("query    ")
    assert "lines    " in plan.stdout


def test_saved_queries_are_added_run_replaced_and_removed(cli: Cli, workspace: str) -> None:
    assert cli("saved", "add", "Logins", "sshd accepted", "-w", workspace, "--order", "oldest").returncode == 0
    again = cli("saved", "add", "Logins", "sshd failed", "-w", workspace)
    assert (again.returncode, "--replace" in again.stderr) == (2, True)
    assert cli("saved", "add", "Logins", "sshd failed", "-w", workspace, "--replace").returncode == 0
    assert cli("saved", "add", "Broken", "(", "-w", workspace).returncode == 2
    assert cli("saved", "list", "-w", workspace).stdout.splitlines()[1:] == ["Logins  newest  sshd failed"]
    ran = cli("saved", "run", "Logins", "-w", workspace, "--count").stdout
    assert ran == cli("search", "sshd failed", "-w", workspace, "--count").stdout
    assert cli("saved", "remove", "Logins", "-w", workspace).returncode == 0
    assert cli("saved", "run", "Logins", "-w", workspace).returncode == 2


def test_imports_are_listed_and_their_files_are_told(cli: Cli, workspace: str) -> None:
    listed = [json.loads(line) for line in cli("imports", "list", "-w", workspace, "--json").stdout.splitlines()]
    assert [one["state"] for one in listed] == ["SUCCEEDED"]
    assert "succeeded" in cli("imports", "show", "-w", workspace).stdout
    files = [json.loads(line) for line in cli("imports", "files", "-w", workspace, "--json").stdout.splitlines()]
    auth = next(file for file in files if file["path"].endswith("auth.log"))
    assert (auth["format"], auth["encoding"], auth["state"]) == ("syslog", "utf-8", "READ")
    assert int(auth["lineCount"]) == (SAMPLE / "auth.log").read_bytes().count(b"\n")
    assert all(level["level"].isalpha() for file in files for level in file["levels"])


def test_what_was_imported_before_is_not_read_again_but_in_full(cli: Cli, product: Product, tmp_path: Path) -> None:
    name = product.create_workspace("command-line-again")
    log = tmp_path / "again.log"
    log.write_text("2024-05-01T10:00:00Z one\n")
    assert cli("import", str(log), "-w", name).returncode == 0
    with log.open("a") as file:
        file.write("2024-05-01T10:00:01Z two\n")
    again = json.loads(cli("import", str(log), "-w", name, "--json").stdout)
    assert (again["state"], again["lineCount"]) == ("SUCCEEDED", "1")
    assert cli("search", "-w", name, "--count").stdout == "2\n"
    full = json.loads(cli("import", str(log), "-w", name, "--full", "--json").stdout)
    assert full["lineCount"] == "2"


def test_the_lines_of_a_source_are_deleted(cli: Cli, product: Product, tmp_path: Path) -> None:
    name = product.create_workspace("command-line-sources")
    for letter in "ab":
        (tmp_path / f"{letter}.log").write_text(f"2024-05-01T10:00:00Z from {letter}\n")
    product.import_all(tmp_path / "a.log", tmp_path / "b.log", workspace=name)
    sources = [json.loads(line)["source"] for line in cli("sources", "list", "-w", name, "--json").stdout.splitlines()]
    assert sources == [str(tmp_path / "a.log"), str(tmp_path / "b.log")]
    gone = cli("sources", "delete", sources[0], "-w", name, "--yes")
    assert gone.stdout == f"{sources[0]}: 1 line deleted\n"
    assert cli("search", "from", "-w", name).stdout == f"{sources[1]}:1:2024-05-01T10:00:00Z from b\n"


def test_the_retention_of_a_workspace_is_set_told_and_lifted(cli: Cli) -> None:
    name = "workspaces/command-line-kept"
    assert cli("workspaces", "create", "command-line-kept", "--max-age", "36500d").stdout == f"{name}\n"
    assert cli("workspaces", "retention", name, "--max-bytes", "5GB").stdout == (
        f"{name} keeps 36500 d and at most 5.0 GB\n"
    )
    assert cli("workspaces", "retention", name, "--max-age", "forever").stdout == f"{name} keeps 5.0 GB\n"
    assert cli("workspaces", "retention", name, "--max-bytes", "unlimited").stdout == f"{name} keeps everything\n"
    assert cli("workspaces", "create", "bell\x07").returncode == 2


def test_the_doctor_finds_all_well(cli: Cli, workspace: str) -> None:
    found = cli("doctor", "-w", workspace)
    assert (found.returncode, found.stdout.splitlines()[1].endswith(": whole")) == (0, True), found.stdout
