"""What the command says beside an answer, or instead of one, where a query or its times mean something else."""

from __future__ import annotations

import pytest

from tests.unit.loganalyzer_cli.conftest import Run
from tests.unit.loganalyzer_cli.fake import Answer, FakeGateway

SEARCH = "GET /v1/workspaces/default/logs:search"


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("a -error", "error"),
        ("!error", "error"),
        ("(-a OR b)", "a"),
        ("/a/ -b", "b"),
        ('"a -b"', ""),
        ("/a -b/", ""),
        ("user-agent", ""),
        ("NOT a", ""),
        ("latency:-5", ""),
        ("time:-2d..-1d", ""),
    ],
)
def test_signs_that_exclude_elsewhere_are_told_to_be_words(
    run: Run, gateway: FakeGateway, query: str, word: str
) -> None:
    gateway.routes[SEARCH] = Answer(stream=[])
    result = run("search", "--", query)
    assert result.exit_code == 1
    assert (f"NOT {word}\n" in result.stderr) if word else (result.stderr == "")


def test_a_query_that_looks_like_an_option_is_told_where_to_stand(run: Run) -> None:
    result = run("search", "-error")
    assert result.exit_code == 2
    assert 'stands behind "--"' in result.stderr


@pytest.mark.parametrize("option", ["--since", "--last"])
def test_a_begin_after_the_end_is_told_in_the_words_of_the_options(run: Run, option: str) -> None:
    result = run("search", "x", option, "1h", "--until", "2h")
    assert (result.exit_code, f"{option} must not begin after --until" in result.stderr) == (2, True)
