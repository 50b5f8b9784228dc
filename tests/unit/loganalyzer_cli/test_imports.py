"""`loganalyzer imports` against a gateway over HTTP."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.loganalyzer_cli.conftest import Run
from tests.unit.loganalyzer_cli.fake import Answer, FakeGateway, Seen
from tests.unit.loganalyzer_cli.test_importing import an_import, half_way

LIST = "GET /v1/workspaces/default/imports"
ONE = "GET /v1/workspaces/default/imports/i1"
FILE = {
    "path": "/x/logs.zip!/app.log",
    "lineCount": "1200",
    "byteCount": "90000",
    "format": "iso",
    "encoding": "utf-8",
    "levels": [{"level": "ERROR", "count": "12"}, {"level": "INFO", "count": "1000"}],
    "state": "APPENDED",
}


def test_imports_are_listed_with_their_state(run: Run, gateway: FakeGateway) -> None:
    follows = an_import("RUNNING", follow=True, sources=[{"path": "/var/log"}, {"path": "/y"}])
    ended = an_import("SUCCEEDED", follow=True, createTime="2024-05-01T10:00:00.5Z", sources=[{"path": "/z\x1b"}])
    gateway.routes[LIST] = Answer({"imports": [follows, ended]})
    assert run("imports", "list").stdout.splitlines() == [
        "ID  STATE             CREATED              LINES  BYTES   ERRORS  SOURCES",
        "i1  running, follows                       2,000  1.5 MB  0       /var/log and 1 more",
        "i1  succeeded         2024-05-01 10:00:00  2,000  1.5 MB  0       /z\ufffd",
    ]
    assert [json.loads(line) for line in run("imports", "list", "--json").stdout.splitlines()] == [follows, ended]


@pytest.mark.parametrize("name", ["i1", "workspaces/default/imports/i1", None])
def test_an_import_is_shown_by_id_by_name_or_as_the_newest(run: Run, gateway: FakeGateway, name: str | None) -> None:
    gateway.routes[LIST] = Answer({"imports": [an_import("RUNNING")]})
    gateway.routes[ONE] = Answer(half_way(50))
    result = run("imports", "show", *([name] if name else []))
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "workspaces/default/imports/i1"
    assert "  progress running  50 %  50 B of 100 B  0 of 1 file  2,000 lines" in lines


def test_where_nothing_was_imported_there_is_no_newest(run: Run, gateway: FakeGateway) -> None:
    gateway.routes[LIST] = Answer({"imports": []})
    result = run("imports", "show")
    assert (result.exit_code, result.stderr) == (2, "loganalyzer: nothing was imported here yet\n")


def test_every_page_of_the_files_is_listed(run: Run, gateway: FakeGateway) -> None:
    def page(seen: Seen) -> Answer:
        if not seen.params["pageToken"]:
            return Answer({"files": [FILE], "nextPageToken": "t"})
        return Answer({"files": [{"path": "/x/b", "lineCount": "0", "byteCount": "0", "state": "UNCHANGED"}]})

    gateway.routes[f"{ONE}/files"] = page
    assert run("imports", "files", "i1").stdout.splitlines() == [
        "STATE      LINES  BYTES    TIMES  ENCODING  LEVELS               PATH",
        "appended   1,200  90.0 KB  iso    utf-8     error:12 info:1,000  /x/logs.zip!/app.log",
        "unchanged  0      0 B      -      -         -                    /x/b",
    ]
    assert json.loads(run("imports", "files", "i1", "--json").stdout.splitlines()[0]) == FILE


@pytest.mark.parametrize(
    ("state", "errors", "status"), [("SUCCEEDED", "0", 0), ("SUCCEEDED", "1", 1), ("FAILED", "0", 1)]
)
def test_a_watched_import_gives_the_status_of_import(
    run: Run, gateway: FakeGateway, state: str, errors: str, status: int
) -> None:
    messages: list[dict[str, Any] | bytes] = [half_way(5), an_import(state, errorCount=errors)]
    gateway.routes[f"{ONE}:watch"] = Answer(stream=messages)
    result = run("imports", "watch", "i1")
    assert result.exit_code == status
    assert state.lower() in result.stdout
    as_json = run("imports", "watch", "i1", "--json")
    assert (as_json.exit_code, [json.loads(line) for line in as_json.stdout.splitlines()]) == (status, messages)


@pytest.mark.parametrize("verb", ["pause", "resume", "cancel"])
def test_imports_are_paused_resumed_and_cancelled_by_name(run: Run, gateway: FakeGateway, verb: str) -> None:
    gateway.routes[f"POST /v1/workspaces/default/imports/i1:{verb}"] = Answer(an_import("PAUSED"))
    result = run("imports", verb, "i1", "workspaces/default/imports/i1")
    assert (result.exit_code, result.stdout) == (0, "workspaces/default/imports/i1: paused\n" * 2)


def test_none_is_cancelled_without_a_name(run: Run, gateway: FakeGateway) -> None:
    assert run("imports", "cancel").exit_code == 2
    assert gateway.seen == []
