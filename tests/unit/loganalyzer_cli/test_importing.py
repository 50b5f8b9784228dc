"""`loganalyzer import` against a gateway over HTTP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from services.cli import importing, render
from tests.unit.loganalyzer_cli.conftest import Run
from tests.unit.loganalyzer_cli.fake import Answer, FakeGateway, Seen, problem

IMPORTS = "POST /v1/workspaces/default/imports"
UPLOAD = "POST /v1/workspaces/default/imports:upload"
WATCH = "GET /v1/workspaces/default/imports/i1:watch"


def an_import(state: str, **more: Any) -> dict[str, Any]:
    return {
        "name": "workspaces/default/imports/i1",
        "state": state,
        "lineCount": "2000",
        "byteCount": "1500000",
        "fileCount": "1",
        "errorCount": "0",
        "sources": [],
        **more,
    }


def half_way(percent: int) -> dict[str, Any]:
    return an_import("RUNNING", progress={"totalBytes": "100", "processedBytes": str(percent), "totalFiles": "1"})


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "PAUSE", 0.0)


def test_a_good_import_is_followed_to_its_end_and_gives_status_0(run: Run, gateway: FakeGateway) -> None:
    gateway.routes[IMPORTS] = Answer(an_import("QUEUED"))
    gateway.routes[WATCH] = Answer(stream=[an_import("QUEUED"), half_way(5), half_way(7), an_import("SUCCEEDED")])
    result = run("import", "/var/log/app")
    assert result.exit_code == 0
    assert result.stdout == "workspaces/default/imports/i1: succeeded, 2,000 lines, 1.5 MB from 1 file\n"
    assert result.stderr.splitlines() == ["queued  2,000 lines", "running  5 %  5 B of 100 B  0 of 1 file  2,000 lines"]
    assert json.loads(gateway.seen[0].body) == {"sources": [{"path": "/var/log/app"}]}


def test_relative_paths_are_made_absolute_and_go_into_one_import(
    run: Run, gateway: FakeGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    gateway.routes[IMPORTS] = Answer(an_import("QUEUED"))
    result = run("import", "a.log", "./b/../c", "--no-wait")
    assert (result.exit_code, result.stdout) == (0, "workspaces/default/imports/i1\n")
    assert json.loads(gateway.seen[0].body) == {"sources": [{"path": f"{tmp_path}/a.log"}, {"path": f"{tmp_path}/c"}]}


def test_errors_of_single_sources_are_listed_and_give_status_1(run: Run, gateway: FakeGateway) -> None:
    error = {"path": "/x/a.zip", "reason": "DAMAGED", "message": "the archive ends too early", "lineNumber": "40"}
    ended = an_import("SUCCEEDED", errorCount="3", sources=[{"path": "/x", "errors": [error]}])
    gateway.routes[IMPORTS] = Answer(an_import("QUEUED"))
    gateway.routes[WATCH] = Answer(stream=[ended])
    result = run("import", "/x")
    assert result.exit_code == 1
    assert "3 errors" in result.stdout
    assert result.stderr == "  /x/a.zip: the archive ends too early (read up to line 40)\n  ... and 2 more\n"


@pytest.mark.parametrize("state", ["FAILED", "CANCELLED"])
def test_an_import_that_did_not_succeed_gives_status_1(run: Run, gateway: FakeGateway, state: str) -> None:
    gateway.routes[IMPORTS] = Answer(an_import("QUEUED"))
    gateway.routes[WATCH] = Answer(stream=[an_import(state, errorMessage="the disk is full")])
    result = run("import", "/x")
    assert result.exit_code == 1
    assert "the disk is full" in result.stdout


def test_a_refused_import_gives_status_2_and_the_reason(run: Run, gateway: FakeGateway) -> None:
    gateway.routes[IMPORTS] = problem(403, "Forbidden", "/etc is not below a folder that may be imported")
    result = run("import", "/etc")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "/etc is not below" in result.stderr


def test_over_the_rate_limit_it_says_when_to_come_back(run: Run, gateway: FakeGateway) -> None:
    refusal = problem(429, "Too Many Requests", "the limit of 100 requests a minute is used up")
    refusal.headers["Retry-After"] = "7"
    gateway.routes[IMPORTS] = refusal
    result = run("import", "/x")
    assert result.exit_code == 2
    assert "(try again in 7 s)" in result.stderr


def test_standard_input_is_streamed_as_an_upload(run: Run, gateway: FakeGateway) -> None:
    gateway.routes["GET /v1/workspaces/default"] = Answer({"name": "workspaces/default"})
    gateway.routes[UPLOAD] = Answer(an_import("QUEUED"))
    gateway.routes[WATCH] = Answer(stream=[an_import("SUCCEEDED")])
    content = b"one\ntwo \xff\n" * 100_000
    result = run("import", "-", "--name", "pipe.log", input=content)
    assert result.exit_code == 0
    upload = next(seen for seen in gateway.seen if seen.path.endswith(":upload"))
    assert upload.body == content
    assert upload.params["sourceName"] == "pipe.log"


def test_standard_input_is_not_read_for_an_unknown_workspace(run: Run, gateway: FakeGateway) -> None:
    result = run("import", "-", "-w", "nope", input=b"x")
    assert result.exit_code == 2
    assert [seen.path for seen in gateway.seen] == ["/v1/workspaces/nope"]


def test_no_path_is_wrong_usage(run: Run) -> None:
    assert run("import").exit_code == 2


def test_the_watch_is_taken_up_again_after_it_broke(run: Run, gateway: FakeGateway) -> None:
    unavailable = {"error": {"status": 503, "title": "Unavailable", "detail": "the importer is starting"}}
    answers = iter(
        [
            Answer(stream=[half_way(10)]),
            problem(503, "Unavailable", "the importer is not there"),
            Answer(stream=[half_way(30), unavailable]),
            Answer(stream=[an_import("SUCCEEDED")]),
        ]
    )
    gateway.routes[IMPORTS] = Answer(an_import("QUEUED"))

    def watch(_: Seen) -> Answer:
        return next(answers)

    gateway.routes[WATCH] = watch
    assert run("import", "/x").exit_code == 0


def test_a_watch_that_never_comes_back_ends_with_status_2(run: Run, gateway: FakeGateway) -> None:
    gateway.routes[IMPORTS] = Answer(an_import("QUEUED"))
    gateway.routes[WATCH] = problem(503, "Unavailable", "the importer is not there")
    result = run("import", "/x")
    assert result.exit_code == 2
    assert "the importer is not there" in result.stderr
    assert len(gateway.seen) == importing.RECONNECTS + 2


def test_an_import_that_is_gone_while_it_is_watched_is_not_waited_for(run: Run, gateway: FakeGateway) -> None:
    gateway.routes[IMPORTS] = Answer(an_import("QUEUED"))
    result = run("import", "/x")
    assert result.exit_code == 2
    assert len(gateway.seen) == 2


def test_a_name_that_is_not_utf8_is_refused_before_anything_is_sent(run: Run, gateway: FakeGateway) -> None:
    result = run("import", "/x/\udcff.log")
    assert result.exit_code == 2
    assert "not UTF-8" in result.stderr
    assert gateway.seen == []


def test_follow_and_full_are_handed_on(run: Run, gateway: FakeGateway) -> None:
    gateway.routes[IMPORTS] = Answer(an_import("QUEUED", follow=True))
    result = run("import", "/x", "--follow", "--full", "--no-wait", "--json")
    assert json.loads(gateway.seen[0].body) == {"sources": [{"path": "/x"}], "follow": True, "mode": "FULL"}
    assert json.loads(result.stdout)["name"] == "workspaces/default/imports/i1"


@pytest.mark.parametrize("option", ["--follow", "--full"])
def test_standard_input_can_be_neither_followed_nor_read_again(run: Run, gateway: FakeGateway, option: str) -> None:
    result = run("import", "-", option, input=b"x")
    assert (result.exit_code, gateway.seen) == (2, [])
    assert option in result.stderr


def test_as_json_the_ended_import_is_printed_and_the_status_is_the_same(run: Run, gateway: FakeGateway) -> None:
    gateway.routes[IMPORTS] = Answer(an_import("QUEUED"))
    gateway.routes[WATCH] = Answer(stream=[half_way(5), an_import("SUCCEEDED", errorCount="1")])
    result = run("import", "/x", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["errorCount"] == "1"


def test_after_ctrl_c_it_says_that_the_import_goes_on_and_how_to_end_it(
    run: Run, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: dict[str, Any]) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(render, "progress", interrupted)
    gateway.routes[IMPORTS] = Answer(an_import("QUEUED"))
    gateway.routes[WATCH] = Answer(stream=[half_way(5)])
    result = run("import", "/x")
    assert result.exit_code == 130
    assert "imports/i1 goes on in the background" in result.stderr
    assert "loganalyzer imports cancel workspaces/default/imports/i1" in result.stderr
