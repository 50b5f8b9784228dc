"""`loganalyzer top`, `templates` and `histogram` against a gateway over HTTP."""

from __future__ import annotations

import json

import pytest

from tests.unit.loganalyzer_cli.conftest import Run
from tests.unit.loganalyzer_cli.fake import Answer, FakeGateway, Seen

LOGS = "GET /v1/workspaces/default/logs"
TOP = {
    "values": [{"value": "GET", "count": "1500"}, {"value": "PO\x07ST", "count": "5"}],
    "lineCount": "1505",
    "totalSize": "2000",
    "isEstimate": True,
    "linesRead": "1800",
}
TEMPLATES = {"templates": [{"text": "user <*> logged in", "count": "30"}], "linesRead": "40", "totalSize": "4000"}
HISTOGRAM = {
    "buckets": [{"startTime": "2024-05-01T10:00:00Z", "count": "3", "levels": []}],
    "bucketWidth": "60s",
    "totalSize": "3",
    "undatedCount": "0",
}


def test_top_values_are_a_table_and_what_they_are_of_is_told_beside_it(run: Run, gateway: FakeGateway) -> None:
    gateway.routes[f"{LOGS}:topValues"] = Answer(TOP)
    result = run("top", "http.method", "error", "--limit", "2", "--since", "2024-01-31")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == ["1,500  99.7 %  GET", "    5   0.3 %  PO\ufffdST"]
    assert "1,505 lines of the 2,000 that match have http.method; counted in 1,800 of them" in result.stderr
    assert gateway.seen[0].params == {
        "field": "http.method",
        "query": "error",
        "limit": "2",
        "startTime": "2024-01-31T00:00:00Z",
    }


def test_templates_are_a_table(run: Run, gateway: FakeGateway) -> None:
    gateway.routes[f"{LOGS}:templates"] = Answer(TEMPLATES)
    result = run("templates", "login")
    assert result.stdout.splitlines() == ["30  75.0 %  user <*> logged in"]
    assert result.stderr == "loganalyzer: from 40 of the 4,000 lines that match\n"


def test_a_histogram_is_bars(run: Run, gateway: FakeGateway) -> None:
    gateway.routes[f"{LOGS}:histogram"] = Answer(HISTOGRAM)
    result = run("histogram", "error", "--bars", "7")
    assert result.stdout.splitlines() == [f"2024-05-01 10:00:00  3  {'█' * 60}", "3 lines in all"]
    assert gateway.seen[0].params == {"query": "error", "bucketCount": "7"}


def test_bars_that_stand_in_a_small_part_are_looked_at_closer(run: Run, gateway: FakeGateway) -> None:
    def answer(seen: Seen) -> Answer:
        if "startTime" not in seen.params:
            empty = [{"startTime": f"20{year}-01-01T00:00:00Z", "count": "0"} for year in range(10, 20)]
            filled = {"startTime": "2020-01-01T00:00:00Z", "count": "9"}
            return Answer(HISTOGRAM | {"buckets": [*empty, filled], "bucketWidth": "86400s", "totalSize": "12"})
        return Answer(HISTOGRAM)

    gateway.routes[f"{LOGS}:histogram"] = answer
    result = run("histogram", "error")
    assert result.stdout.splitlines() == [f"2024-05-01 10:00:00  3  {'█' * 60}", "12 lines in all"]
    times = gateway.seen[1].params["startTime"], gateway.seen[1].params["endTime"]
    assert times == ("2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z")
    gateway.seen.clear()
    run("histogram", "error", "--json")
    assert len(gateway.seen) == 1


@pytest.mark.parametrize(
    ("arguments", "path", "message"),
    [
        (("top", "level"), "topValues", TOP),
        (("templates",), "templates", TEMPLATES),
        (("histogram",), "histogram", HISTOGRAM),
    ],
)
def test_as_json_the_message_is_printed_as_it_came(
    run: Run, gateway: FakeGateway, arguments: tuple[str, ...], path: str, message: dict[str, object]
) -> None:
    gateway.routes[f"{LOGS}:{path}"] = Answer(message)
    result = run(*arguments, "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, message)


@pytest.mark.parametrize(
    ("arguments", "path"), [(("top", "x"), "topValues"), (("templates",), "templates"), (("histogram",), "histogram")]
)
def test_where_nothing_is_found_the_status_is_1(
    run: Run, gateway: FakeGateway, arguments: tuple[str, ...], path: str
) -> None:
    gateway.routes[f"{LOGS}:{path}"] = Answer({"totalSize": "0"})
    assert run(*arguments).exit_code == 1
