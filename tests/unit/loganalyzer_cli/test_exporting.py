"""`loganalyzer export` against a gateway over HTTP."""

from __future__ import annotations

from pathlib import Path

from tests.unit.loganalyzer_cli.conftest import Run
from tests.unit.loganalyzer_cli.fake import Answer, FakeGateway, problem

EXPORT = "GET /v1/workspaces/default/logs:export"
LINES = '{"text":"a\u2028ü"}\n{"text":"b"}\n'.encode()


def test_the_lines_come_as_they_are(run: Run, gateway: FakeGateway) -> None:
    gateway.routes[EXPORT] = Answer(stream=[LINES[:9], LINES[9:]])
    result = run("export", "error", "--order", "oldest", "--limit", "5", "--until", "2024-01-31")
    assert (result.exit_code, result.stdout_bytes) == (0, LINES)
    assert gateway.seen[0].params == {
        "query": "error",
        "orderBy": "timestamp",
        "limit": "5",
        "endTime": "2024-01-31T00:00:00Z",
    }


def test_a_file_holds_all_and_the_number_of_lines_is_told(run: Run, gateway: FakeGateway, tmp_path: Path) -> None:
    gateway.routes[EXPORT] = Answer(stream=[LINES])
    result = run("export", "-o", str(tmp_path / "out.ndjson"))
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"2 lines written to {tmp_path / 'out.ndjson'}\n"
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["out.ndjson"]
    assert (tmp_path / "out.ndjson").read_bytes() == LINES


def test_nothing_found_is_an_empty_file_and_no_failure(run: Run, gateway: FakeGateway, tmp_path: Path) -> None:
    gateway.routes[EXPORT] = Answer(stream=[])
    assert run("export", "-o", str(tmp_path / "out.ndjson")).exit_code == 0
    assert (tmp_path / "out.ndjson").read_bytes() == b""


def test_what_breaks_on_its_way_leaves_the_old_file_and_nothing_else(
    run: Run, gateway: FakeGateway, tmp_path: Path
) -> None:
    out = tmp_path / "out.ndjson"
    out.write_bytes(b"old\n")
    gateway.routes[EXPORT] = Answer(stream=[LINES], headers={"Content-Length": str(len(LINES) + 1)})
    result = run("export", "-o", str(out))
    assert result.exit_code == 2
    assert "the connection to" in result.stderr
    assert "`loganalyzer doctor`" in result.stderr
    assert (out.read_bytes(), [file.name for file in tmp_path.iterdir() if file.is_file()]) == (b"old\n", [out.name])


def test_a_refusal_and_a_folder_that_is_not_there_give_status_2(run: Run, gateway: FakeGateway, tmp_path: Path) -> None:
    gateway.routes[EXPORT] = problem(400, "Bad Request", "query: expected a term at character 1")
    result = run("export", ")", "-o", str(tmp_path / "out"))
    assert (result.exit_code, result.stderr) == (2, "loganalyzer: query: expected a term at character 1\n")
    gateway.routes[EXPORT] = Answer(stream=[LINES])
    result = run("export", "-o", str(tmp_path / "nope" / "out"))
    assert result.exit_code == 2
    assert "cannot be written" in result.stderr
