"""`loganalyzer saved`, `sources` and `doctor` against a gateway over HTTP."""

from __future__ import annotations

import json

import pytest

from tests.unit.loganalyzer_cli.conftest import Run
from tests.unit.loganalyzer_cli.fake import Answer, FakeGateway, problem
from tests.unit.loganalyzer_cli.test_searching import DONE, batch, hit

HOME = "/v1/workspaces/default"
SLOW = {
    "name": "workspaces/default/savedQueries/q1aa",
    "displayName": "Slow calls",
    "query": "latency:>500",
    "orderBy": "timestamp",
}
SOURCE = {
    "name": "workspaces/default/logSources/s1",
    "source": "/var/log/a.zip!/app.log",
    "lineCount": "1200",
    "byteCount": "90000",
}
READY = {"status": "ready", "services": {"search": {"status": "SERVING"}, "importer": {"status": "SERVING"}}}
DAMAGED = {
    "splitCount": "2",
    "lineCount": "1000",
    "problems": [{"splitId": "x1", "message": "the terms are damaged", "repairable": True}],
}


def test_saved_queries_are_listed(run: Run, gateway: FakeGateway) -> None:
    gateway.routes[f"GET {HOME}/savedQueries"] = Answer({"savedQueries": [SLOW]})
    assert run("saved", "list").stdout.splitlines() == [
        "NAME        ORDER   QUERY",
        "Slow calls  oldest  latency:>500",
    ]
    assert json.loads(run("saved", "list", "--json").stdout) == SLOW


def test_a_query_is_read_before_it_is_saved(run: Run, gateway: FakeGateway) -> None:
    gateway.routes[f"GET {HOME}/logs:search"] = problem(400, "Bad Request", "query: expected a term")
    assert run("saved", "add", "x", "(").exit_code == 2
    assert [seen.method for seen in gateway.seen] == ["GET"]
    gateway.routes[f"GET {HOME}/logs:search"] = Answer({"totalSize": "0"})
    gateway.routes[f"POST {HOME}/savedQueries"] = Answer(SLOW)
    result = run("saved", "add", "Slow calls", "latency:>500", "--order", "oldest")
    assert (result.exit_code, result.stdout) == (0, f"{SLOW['name']}\n")
    body = json.loads(gateway.seen[-1].body)
    assert body == {"displayName": "Slow calls", "query": "latency:>500", "orderBy": "timestamp"}


def test_a_name_that_is_taken_is_replaced_only_when_asked(run: Run, gateway: FakeGateway) -> None:
    gateway.routes[f"GET {HOME}/logs:search"] = Answer({"totalSize": "0"})
    gateway.routes[f"GET {HOME}/savedQueries"] = Answer({"savedQueries": [SLOW]})
    gateway.routes[f"POST {HOME}/savedQueries"] = problem(409, "Conflict", "is there", reason="SAVED_QUERY_EXISTS")
    gateway.routes[f"PATCH {HOME}/savedQueries/q1aa"] = Answer(SLOW)
    result = run("saved", "add", "Slow calls", "x")
    assert (result.exit_code, result.stderr) == (2, "loganalyzer: is there; --replace changes it\n")
    assert run("saved", "add", "Slow calls", "x", "--replace").exit_code == 0
    assert json.loads(gateway.seen[-1].body)["query"] == "x"


@pytest.mark.parametrize("name", ["Slow calls", "q1aa", "workspaces/default/savedQueries/q1aa"])
def test_a_saved_query_is_run_with_its_own_order(run: Run, gateway: FakeGateway, name: str) -> None:
    gateway.routes[f"GET {HOME}/savedQueries"] = Answer({"savedQueries": [SLOW]})
    gateway.routes[f"GET {HOME}/logs:search"] = Answer(stream=[batch(hit(1)), DONE])
    result = run("saved", "run", name, "--since", "2024-01-31")
    assert (result.exit_code, result.stdout) == (0, "app.log:1:an error\n")
    params = gateway.seen[-1].params
    assert (params["query"], params["orderBy"]) == ("latency:>500", "timestamp")
    assert params["startTime"] == "2024-01-31T00:00:00Z"


def test_one_that_is_not_there_is_told(run: Run, gateway: FakeGateway) -> None:
    gateway.routes[f"GET {HOME}/savedQueries"] = Answer({"savedQueries": []})
    for verb in ("run", "remove"):
        result = run("saved", verb, "nope")
        assert (result.exit_code, 'there is no saved query "nope"' in result.stderr) == (2, True)


def test_saved_queries_are_removed(run: Run, gateway: FakeGateway) -> None:
    gateway.routes[f"GET {HOME}/savedQueries"] = Answer({"savedQueries": [SLOW]})
    gateway.routes[f"DELETE {HOME}/savedQueries/q1aa"] = Answer({})
    assert run("saved", "remove", "Slow calls").stdout == "Slow calls removed\n"


def test_sources_are_listed(run: Run, gateway: FakeGateway) -> None:
    gateway.routes[f"GET {HOME}/logSources"] = Answer({"logSources": [SOURCE]})
    result = run("sources", "list", "--contains", "app")
    assert result.stdout.splitlines() == [
        "ID  LINES  BYTES    SOURCE",
        "s1  1,200  90.0 KB  /var/log/a.zip!/app.log",
    ]
    assert gateway.seen[0].params["contains"] == "app"
    assert json.loads(run("sources", "list", "--json").stdout) == SOURCE


@pytest.mark.parametrize("text", ["/var/log/a.zip!/app.log", "s1", "workspaces/default/logSources/s1"])
def test_the_lines_of_a_source_are_deleted_after_a_yes(run: Run, gateway: FakeGateway, text: str) -> None:
    gateway.routes[f"GET {HOME}/logSources"] = Answer({"logSources": [SOURCE]})
    gateway.routes[f"DELETE {HOME}/logSources/s1"] = Answer({"lineCount": "1200"})
    refused = run("sources", "delete", text, input="n\n")
    assert (refused.exit_code, "DELETE" in [seen.method for seen in gateway.seen]) == (1, False)
    result = run("sources", "delete", text, "--yes")
    assert (result.exit_code, result.stdout) == (0, "/var/log/a.zip!/app.log: 1,200 lines deleted\n")


def test_a_part_of_a_path_deletes_nothing(run: Run, gateway: FakeGateway) -> None:
    gateway.routes[f"GET {HOME}/logSources"] = Answer({"logSources": [SOURCE]})
    result = run("sources", "delete", "/var/log", "--yes")
    assert result.exit_code == 2
    assert {seen.method for seen in gateway.seen} == {"GET"}


def test_the_doctor_looks_at_every_workspace_and_says_that_all_is_well(run: Run, gateway: FakeGateway) -> None:
    names = ("default", "team-a")
    gateway.routes["GET /readyz"] = Answer(READY)
    gateway.routes["GET /v1/workspaces"] = Answer({"workspaces": [{"name": f"workspaces/{name}"} for name in names]})
    for name in names:
        well = {"splitCount": "1", "lineCount": "2000", "problems": []}
        gateway.routes[f"GET /v1/workspaces/{name}/logs:check"] = Answer(well)
    result = run("doctor")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"services   2 serving at {gateway.url}",
        "default    2,000 lines in 1 split: whole",
        "team-a     2,000 lines in 1 split: whole",
    ]


def test_what_is_damaged_is_told_and_gives_status_1(run: Run, gateway: FakeGateway) -> None:
    gateway.routes["GET /readyz"] = Answer(READY)
    gateway.routes[f"GET {HOME}/logs:check"] = Answer(DAMAGED)
    result = run("doctor", "-w", "default")
    assert result.exit_code == 1
    assert "  split x1: the terms are damaged (can be repaired)" in result.stdout.splitlines()
    assert "--repair" in result.stdout
    assert [json.loads(line) for line in run("doctor", "-w", "default", "--json").stdout.splitlines()] == [
        {"gateway": gateway.url, **READY},
        {"workspace": "default", "check": DAMAGED},
    ]


def test_a_split_counts_once_and_its_sources_are_named(run: Run, gateway: FakeGateway) -> None:
    problems = [
        {"splitId": "x1", "message": "raw.zst is damaged; it holds lines of a.log, b.log", "repairable": False},
        {"splitId": "x1", "message": "the terms are damaged", "repairable": True},
    ]
    gateway.routes["GET /readyz"] = Answer(READY)
    gateway.routes[f"GET {HOME}/logs:check"] = Answer({**DAMAGED, "problems": problems})
    result = run("doctor", "-w", "default")
    assert result.stdout.splitlines()[1:] == [
        "default    1,000 lines in 2 splits: 1 split damaged",
        "  split x1: raw.zst is damaged; it holds lines of a.log, b.log",
        "  split x1: the terms are damaged",
        "  split x1 cannot be repaired: delete its sources (`loganalyzer sources delete`) and import them again",
    ]


@pytest.mark.parametrize(("left", "status"), [([], 0), (DAMAGED["problems"], 1)])
def test_what_could_be_repaired_is_no_problem_any_more(
    run: Run, gateway: FakeGateway, left: list[object], status: int
) -> None:
    gateway.routes["GET /readyz"] = Answer(READY)
    gateway.routes[f"GET {HOME}/logs:check"] = Answer(DAMAGED)
    gateway.routes[f"POST {HOME}/logs:repair"] = Answer({"repairedCount": str(1 - len(left)), "problems": left})
    result = run("doctor", "-w", "default", "--repair")
    assert result.exit_code == status
    assert f"{len(left)} left" in result.stdout


def test_a_service_that_is_not_ready_is_named(run: Run, gateway: FakeGateway) -> None:
    services = {"search": {"status": "UNREACHABLE"}, "importer": {"status": "SERVING"}}
    gateway.routes["GET /readyz"] = Answer({"status": "not ready", "services": services}, status=503)
    gateway.routes["GET /v1/workspaces"] = Answer({"workspaces": []})
    result = run("doctor")
    assert (result.exit_code, result.stdout) == (1, "services   search UNREACHABLE\n")
