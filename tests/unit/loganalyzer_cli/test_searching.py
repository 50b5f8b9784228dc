"""`loganalyzer search` and `tail` against a gateway over HTTP."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.cli.plan import code_roots, python_path
from tests.unit.loganalyzer_cli.conftest import Run
from tests.unit.loganalyzer_cli.fake import Answer, FakeGateway, Seen, problem

SEARCH = "GET /v1/workspaces/default/logs:search"
TAIL = "GET /v1/workspaces/default/logs:tail"


def hit(number: int, text: str = "an error", source: str = "app.log") -> dict[str, Any]:
    return {"id": f"s-{number}", "source": source, "lineNumber": str(number), "text": text, "highlights": []}


def batch(*hits: dict[str, Any]) -> dict[str, Any]:
    return {"hits": {"hits": list(hits)}}


DONE = {"done": {"totalSize": "2", "totalSizeIsEstimate": False}}


def test_hits_are_printed_as_grep_prints_them_and_the_status_is_0(run: Run, gateway: FakeGateway) -> None:
    progress = {"progress": {"linesDone": "1", "linesTotal": "2"}}
    gateway.routes[SEARCH] = Answer(stream=[progress, batch(hit(7), hit(9, "error: b")), b"\n", DONE])
    result = run("search", "error")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "app.log:7:an error\napp.log:9:error: b\n", "")
    assert gateway.seen[0].accept == "application/x-ndjson"
    assert gateway.seen[0].params["query"] == "error"
    assert gateway.seen[0].params["orderBy"] == "timestamp desc"


def test_no_hit_gives_status_1_and_no_output(run: Run, gateway: FakeGateway) -> None:
    gateway.routes[SEARCH] = Answer(stream=[DONE])
    result = run("search", "nothing")
    assert (result.exit_code, result.output) == (1, "")


def test_a_wrong_query_gives_status_2_and_the_gateways_sentence(run: Run, gateway: FakeGateway) -> None:
    gateway.routes[SEARCH] = problem(400, "Bad Request", 'query: a closing ")" is missing at 6')
    result = run("search", "(error")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == 'loganalyzer: query: a closing ")" is missing at 6\n'


def test_an_error_record_at_the_end_of_a_stream_gives_status_2_after_the_hits(run: Run, gateway: FakeGateway) -> None:
    error = {"error": {"title": "Unavailable", "status": 503, "detail": "the search service is starting"}}
    gateway.routes[SEARCH] = Answer(stream=[batch(hit(1)), error])
    result = run("search", "error")
    assert (result.exit_code, result.stdout) == (2, "app.log:1:an error\n")
    assert "the search service is starting" in result.stderr


def test_an_unknown_workspace_gives_status_2(run: Run, gateway: FakeGateway) -> None:
    result = run("search", "-w", "nope", "error")
    assert result.exit_code == 2
    assert "there is no" in result.stderr


def test_a_gateway_that_is_gone_gives_status_2_and_says_how_to_start_one(run: Run) -> None:
    result = run("search", "error", "--gateway", "http://127.0.0.1:1")
    assert result.exit_code == 2
    assert "no gateway answers" in result.stderr
    assert "loganalyzer up" in result.stderr


def test_without_a_running_gateway_it_says_how_to_start_one(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOGANALYZER_GATEWAY")
    result = run("search", "error")
    assert result.exit_code == 2
    assert result.stderr == "loganalyzer: no gateway is running; start one with `loganalyzer up`\n"


def test_something_else_that_answers_is_not_taken_for_a_gateway(run: Run, gateway: FakeGateway) -> None:
    gateway.routes[SEARCH] = Answer(stream=[b"<html>\n"])
    result = run("search", "error")
    assert result.exit_code == 2
    assert "did not answer with a stream of JSON" in result.stderr


def test_the_limit_is_kept_and_more_is_announced(run: Run, gateway: FakeGateway) -> None:
    gateway.routes[SEARCH] = Answer(stream=[batch(hit(1), hit(2), hit(3)), DONE])
    result = run("search", "error", "--limit", "2")
    assert (result.exit_code, result.stdout) == (0, "app.log:1:an error\napp.log:2:an error\n")
    assert "only the first 2" in result.stderr
    assert gateway.seen[0].params["pageSize"] == "3"


def test_exactly_as_many_hits_as_the_limit_announce_nothing(run: Run, gateway: FakeGateway) -> None:
    gateway.routes[SEARCH] = Answer(stream=[batch(hit(1)), batch(hit(2)), DONE])
    result = run("search", "error", "--limit", "2")
    assert result.stdout.count("\n") == 2
    assert result.stderr == ""


def test_all_asks_for_every_hit(run: Run, gateway: FakeGateway) -> None:
    gateway.routes[SEARCH] = Answer(stream=[batch(*(hit(n) for n in range(100))) for _ in range(3)])
    result = run("search", "error", "--all")
    assert result.stdout.count("\n") == 300
    assert gateway.seen[0].params["pageSize"] == "0"


def test_json_prints_hits_as_they_came_one_on_a_line(run: Run, gateway: FakeGateway) -> None:
    odd = hit(1, "line\u2028separator \x85 ü")
    gateway.routes[SEARCH] = Answer(stream=[batch(odd), DONE])
    result = run("search", "--json", "error")
    assert [json.loads(line) for line in result.stdout.split("\n") if line] == [odd]


def test_times_and_order_are_handed_on(run: Run, gateway: FakeGateway) -> None:
    gateway.routes[SEARCH] = Answer(stream=[DONE])
    run("search", "x", "--since", "2024-01-31", "--until", "2024-02-01T02:00:00+02:00", "--order", "oldest")
    params = gateway.seen[0].params
    assert (params["startTime"], params["endTime"]) == ("2024-01-31T00:00:00Z", "2024-02-01T00:00:00Z")
    assert params["orderBy"] == "timestamp"


@pytest.mark.parametrize("arguments", [("--since", "yesterday"), ("--limit", "0"), ("--order", "size"), ("a", "b")])
def test_wrong_usage_gives_status_2(run: Run, gateway: FakeGateway, arguments: tuple[str, ...]) -> None:
    assert run("search", "x", *arguments).exit_code == 2
    assert gateway.seen == []


@pytest.mark.parametrize(("total", "status"), [("12", 0), ("0", 1)])
def test_count_prints_only_the_number(run: Run, gateway: FakeGateway, total: str, status: int) -> None:
    gateway.routes[SEARCH] = Answer({"hits": [], "totalSize": total, "totalSizeIsEstimate": False})
    result = run("search", "error", "--count")
    assert (result.exit_code, result.stdout) == (status, f"{total}\n")
    assert gateway.seen[0].accept == "application/json"


def test_a_number_that_is_only_estimated_is_counted_instead(run: Run, gateway: FakeGateway) -> None:
    def answer(seen: Seen) -> Answer:
        if seen.accept == "application/json":
            return Answer({"totalSize": "1000", "totalSizeIsEstimate": True})
        return Answer(stream=[batch(hit(1)), batch(hit(2), hit(3)), DONE])

    gateway.routes[SEARCH] = answer
    assert run("search", "error", "--count").stdout == "3\n"


def test_the_workspace_is_given_by_id_or_by_name(run: Run, gateway: FakeGateway) -> None:
    gateway.routes["GET /v1/workspaces/team-a/logs:search"] = Answer(stream=[batch(hit(1))])
    assert run("search", "x", "-w", "team-a").exit_code == 0
    assert run("search", "x", "--workspace", "workspaces/team-a").exit_code == 0


def test_a_reader_that_goes_away_ends_it_quietly(gateway: FakeGateway) -> None:
    def endless() -> Iterator[dict[str, Any]]:
        while True:
            yield batch(*(hit(n, "x" * 200) for n in range(100)))

    gateway.routes[SEARCH] = Answer(stream=endless())
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "services.cli", "search", "--all", "x", "--gateway", gateway.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": python_path("", code_roots(), frozenset())},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        assert process.stdout.readline().startswith(b"app.log:0:")
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=30) == 0


def test_tail_prints_hits_as_they_come_and_not_the_heartbeats(run: Run, gateway: FakeGateway) -> None:
    gateway.routes[TAIL] = Answer(stream=[{"hits": []}, {"hits": [hit(1)]}, {"hits": []}, {"hits": [hit(2)]}])
    result = run("tail", "error")
    assert (result.exit_code, result.stdout) == (0, "app.log:1:an error\napp.log:2:an error\n")


CARET = 'query: expected ")" at character 7\n(error\n      ^'


def test_a_query_that_cannot_be_read_is_shown_with_a_caret(run: Run, gateway: FakeGateway) -> None:
    wrong = [{"field": "query", "description": CARET.removeprefix("query: ")}]
    gateway.routes[SEARCH] = problem(400, "Bad Request", CARET, violations=wrong)
    assert run("search", "(error").stderr == f"loganalyzer: {CARET}\n"


def test_the_last_so_much_is_counted_back_from_now(run: Run, gateway: FakeGateway) -> None:
    gateway.routes[SEARCH] = Answer(stream=[DONE])
    before = datetime.now(UTC)
    run("search", "x", "--last", "15m")
    since = datetime.fromisoformat(gateway.seen[0].params["startTime"])
    assert timedelta(0) <= since + timedelta(minutes=15) - before < timedelta(minutes=1)
    assert "endTime" not in gateway.seen[0].params


@pytest.mark.parametrize("arguments", [("--last", "soon"), ("--last", "15m", "--since", "2024-01-31"), ("-C", "501")])
def test_wrong_times_and_contexts_are_wrong_usage(run: Run, gateway: FakeGateway, arguments: tuple[str, ...]) -> None:
    assert run("search", "x", *arguments).exit_code == 2
    assert gateway.seen == []


def neighbours(number: int, around: int) -> Answer:
    return Answer(
        {
            "before": [hit(n, f"line {n}") for n in range(number - around, number)],
            "hit": hit(number, "as the index has it"),
            "after": [hit(n, f"line {n}") for n in range(number + 1, number + around + 1)],
        }
    )


def test_context_is_printed_as_grep_prints_it_and_touching_blocks_are_one(run: Run, gateway: FakeGateway) -> None:
    # Newest first: the numbers go down.
    gateway.routes[SEARCH] = Answer(stream=[batch(hit(13), hit(11)), batch(hit(4)), DONE])
    for number in (13, 11, 4):
        gateway.routes[f"GET /v1/workspaces/default/logs/s-{number}:context"] = neighbours(number, 1)
    result = run("search", "error", "-C", "1")
    assert result.stdout.splitlines() == [
        "app.log-10-line 10",
        "app.log:11:an error",
        "app.log-12-line 12",
        "app.log:13:an error",
        "app.log-14-line 14",
        "--",
        "app.log-3-line 3",
        "app.log:4:an error",
        "app.log-5-line 5",
    ]
    assert gateway.seen[1].params == {"before": "1", "after": "1"}


def test_context_as_json_is_a_message_for_each_hit(run: Run, gateway: FakeGateway) -> None:
    gateway.routes[SEARCH] = Answer(stream=[batch(hit(4)), DONE])
    gateway.routes["GET /v1/workspaces/default/logs/s-4:context"] = neighbours(4, 2)
    (line,) = run("search", "error", "-C", "2", "--json").stdout.splitlines()
    found = json.loads(line)
    assert [one["lineNumber"] for one in found["before"]] == ["2", "3"]
    assert found["hit"] == hit(4)


def test_stream_prints_every_message(run: Run, gateway: FakeGateway) -> None:
    progress = {"progress": {"linesDone": "1", "linesTotal": "2"}}
    gateway.routes[SEARCH] = Answer(stream=[progress, batch(hit(1)), DONE])
    result = run("search", "x", "--stream", "--limit", "7")
    assert [json.loads(line) for line in result.stdout.splitlines()] == [progress, batch(hit(1)), DONE]
    assert (result.exit_code, gateway.seen[0].params["pageSize"]) == (0, "7")
    gateway.routes[SEARCH] = Answer(stream=[DONE])
    assert run("search", "x", "--stream").exit_code == 1


PLAN = {
    "normalForm": "error AND /tim.*/",
    "splits": "5",
    "splitsPruned": "2",
    "lines": "900000",
    "candidateLines": "1200",
    "readsLines": True,
    "steps": [
        {"part": "error", "method": "index", "estimate": "1200"},
        {"part": "/tim.*/", "method": "block index, then reading", "estimate": "-1"},
    ],
}


def test_explain_prints_the_plan_and_no_hits(run: Run, gateway: FakeGateway) -> None:
    gateway.routes["GET /v1/workspaces/default/logs:explain"] = Answer(PLAN)
    result = run("search", "error /tim.*/", "--explain", "--since", "2024-01-31")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "query    error AND /tim.*/",
        "splits   3 of 5 (their times rule out 2)",
        "lines    1,200 of 900,000 may match; each is read to know that it matches",
        "",
        "PART     FOUND BY                   LINES",
        "error    index                      1,200",
        "/tim.*/  block index, then reading  ?",
    ]
    assert gateway.seen[0].params == {"query": "error /tim.*/", "startTime": "2024-01-31T00:00:00Z"}
    assert json.loads(run("search", "x", "--explain", "--json").stdout) == PLAN


def test_ctrl_c_ends_a_tail_with_130_and_no_word(gateway: FakeGateway) -> None:
    waiting = threading.Event()

    def endless() -> Iterator[dict[str, Any]]:
        yield {"hits": [hit(1)]}
        waiting.wait(30)

    gateway.routes[TAIL] = Answer(stream=endless())
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "services.cli", "tail", "x", "--gateway", gateway.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": python_path("", code_roots(), frozenset())},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"app.log:1:an error\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=30) == (b"", b"")
        assert process.returncode == 130
    finally:
        waiting.set()


def on_a_terminal(gateway: FakeGateway, *arguments: str, **environment: str) -> str:
    """What a command shows on a terminal, standard error included."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "services.cli", *arguments, "--gateway", gateway.url],
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"PYTHONPATH": python_path("", code_roots(), frozenset()), **environment},
    )
    os.close(theirs)
    shown = b""
    # Linux says EIO when the last writer has gone.
    with contextlib.suppress(OSError):
        while piece := os.read(ours, 4096):
            shown += piece
    os.close(ours)
    assert process.wait(timeout=30) == 0
    return shown.decode()


def test_a_terminal_gets_colours_and_progress_unless_it_wants_none(gateway: FakeGateway) -> None:
    progress = {"progress": {"linesDone": "1000", "linesTotal": "2000"}}
    marked = hit(7) | {"highlights": [{"start": 3, "end": 8}]}
    gateway.routes[SEARCH] = Answer(stream=[progress, batch(marked), DONE])
    shown = on_a_terminal(gateway, "search", "error", NO_COLOR="")
    assert "an \x1b[1;31merror\x1b[0m" in shown
    # The progress is taken away before anything else is written.
    assert shown.startswith("\r\x1b[Ksearched 1,000 of 2,000 lines\r\x1b[K")
    plain = on_a_terminal(gateway, "search", "error", NO_COLOR="1")
    assert plain.endswith("app.log:7:an error\r\n")
