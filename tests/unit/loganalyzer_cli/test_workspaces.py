"""`loganalyzer workspaces` against a gateway over HTTP."""

from __future__ import annotations

import json

import pytest

from services.cli import workspaces
from tests.unit.loganalyzer_cli.conftest import Run
from tests.unit.loganalyzer_cli.fake import Answer, FakeGateway, Seen, problem

TEAM_A = {"name": "workspaces/team-a", "displayName": "Team A", "createTime": "2024-01-31T12:00:00.5Z"}


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspaces, "POLL", 0.0)


@pytest.mark.parametrize("arguments", [(), ("list",)])
def test_every_page_is_listed(run: Run, gateway: FakeGateway, arguments: tuple[str, ...]) -> None:
    def page(seen: Seen) -> Answer:
        if not seen.params["pageToken"]:
            return Answer({"workspaces": [TEAM_A], "nextPageToken": "t"})
        return Answer({"workspaces": [TEAM_A | {"name": "workspaces/b", "deleting": True}], "nextPageToken": ""})

    gateway.routes["GET /v1/workspaces"] = page
    result = run("workspaces", *arguments)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "NAME               DISPLAY NAME  CREATED",
        "workspaces/team-a  Team A        2024-01-31 12:00:00",
        "workspaces/b       Team A        2024-01-31 12:00:00  being deleted",
    ]


@pytest.mark.parametrize("arguments", [("team-a",), ("Team A", "--id", "team-a")])
def test_a_name_that_can_be_an_id_is_one(run: Run, gateway: FakeGateway, arguments: tuple[str, ...]) -> None:
    gateway.routes["POST /v1/workspaces"] = Answer(TEAM_A)
    result = run("workspaces", "create", *arguments)
    assert (result.exit_code, result.stdout) == (0, "workspaces/team-a\n")
    assert gateway.seen[0].params["workspaceId"] == "team-a"
    assert json.loads(gateway.seen[0].body) == {"displayName": arguments[0]}


RULE = '4 to 63 of a-z, 0-9 and "-", a letter first'


@pytest.mark.parametrize(
    "arguments",
    [
        ("workspaces", "create", "all"),
        ("workspaces", "create", "Team A"),
        ("workspaces", "create", "team-a", "--id", "1abc"),
        ("workspaces", "show", "all"),
        ("search", "error", "-w", "all"),
    ],
)
def test_what_can_be_no_id_is_refused_with_the_rule(run: Run, gateway: FakeGateway, arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout, gateway.seen) == (2, "", [])
    assert RULE in result.stderr


def test_a_workspace_that_exists_is_told(run: Run, gateway: FakeGateway) -> None:
    gateway.routes["POST /v1/workspaces"] = problem(409, "Already Exists", "workspaces/team-a exists")
    result = run("workspaces", "create", "team-a")
    assert (result.exit_code, result.stderr) == (2, "loganalyzer: workspaces/team-a exists\n")


def test_a_deletion_is_waited_for(run: Run, gateway: FakeGateway) -> None:
    states = iter([False, True])
    gateway.routes["GET /v1/workspaces/team-a"] = Answer(TEAM_A)
    gateway.routes["DELETE /v1/workspaces/team-a"] = Answer({"name": "operations/o1", "done": False})

    def operation(_: Seen) -> Answer:
        return Answer({"name": "operations/o1", "done": next(states)})

    gateway.routes["GET /v1/operations/o1"] = operation
    result = run("workspaces", "delete", "workspaces/team-a", "--yes")
    assert (result.exit_code, result.stdout) == (0, "workspaces/team-a deleted\n")


def test_a_deletion_is_not_begun_without_a_yes(run: Run, gateway: FakeGateway) -> None:
    gateway.routes["GET /v1/workspaces/team-a"] = Answer(TEAM_A)
    result = run("workspaces", "delete", "team-a", input="n\n")
    assert result.exit_code == 1
    assert [seen.method for seen in gateway.seen] == ["GET"]


def test_a_workspace_that_is_not_there_cannot_be_deleted(run: Run, gateway: FakeGateway) -> None:
    result = run("workspaces", "delete", "nope", "--yes")
    assert result.exit_code == 2
    assert "there is no" in result.stderr


def test_the_gateway_is_given_before_or_behind_the_further_word(
    run: Run, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LOGANALYZER_GATEWAY")
    gateway.routes["GET /v1/workspaces"] = Answer({"workspaces": []})
    for arguments in (
        ["--gateway", gateway.url, "list"],
        ["list", "--gateway", gateway.url],
        ["--gateway", gateway.url],
    ):
        assert run("workspaces", *arguments).exit_code == 0


KEPT = TEAM_A | {"retention": {"maxAge": "2592000s", "maxBytes": "50000000000"}}


def test_a_workspace_is_created_with_its_retention(run: Run, gateway: FakeGateway) -> None:
    gateway.routes["POST /v1/workspaces"] = Answer(TEAM_A)
    assert run("workspaces", "create", "team-a", "--max-age", "30d", "--max-bytes", "50GB").exit_code == 0
    body = json.loads(gateway.seen[0].body)
    assert body == {"displayName": "team-a", "retention": {"maxAge": "2592000s", "maxBytes": "50000000000"}}


@pytest.mark.parametrize(
    ("arguments", "mask", "sent"),
    [
        (("--max-age", "30d"), "retention.maxAge", {"maxAge": "2592000s"}),
        (("--max-age", "forever"), "retention.maxAge", {}),
        (("--max-bytes", "unlimited"), "retention.maxBytes", {"maxBytes": "0"}),
    ],
)
def test_only_what_is_given_of_the_retention_is_changed(
    run: Run, gateway: FakeGateway, arguments: tuple[str, ...], mask: str, sent: dict[str, str]
) -> None:
    gateway.routes["PATCH /v1/workspaces/team-a"] = Answer(KEPT)
    result = run("workspaces", "retention", "team-a", *arguments)
    assert (result.exit_code, result.stdout) == (0, "workspaces/team-a keeps 30 d and at most 50.0 GB\n")
    assert gateway.seen[0].params == {"updateMask": mask}
    assert json.loads(gateway.seen[0].body) == {"retention": sent}


def test_without_options_the_retention_is_only_told(run: Run, gateway: FakeGateway) -> None:
    gateway.routes["GET /v1/workspaces/team-a"] = Answer(TEAM_A)
    assert run("workspaces", "retention", "team-a").stdout == "workspaces/team-a keeps everything\n"


@pytest.mark.parametrize("arguments", [("--max-age", "soon"), ("--max-bytes", "much")])
def test_a_retention_that_is_none_is_wrong_usage(run: Run, gateway: FakeGateway, arguments: tuple[str, ...]) -> None:
    assert run("workspaces", "retention", "team-a", *arguments).exit_code == 2
    assert gateway.seen == []


def test_a_workspace_is_shown_with_what_it_holds(run: Run, gateway: FakeGateway) -> None:
    stats = {"lineCount": "1000", "rawBytes": "1000000", "storedBytes": "300000", "splitCount": "2"}
    gateway.routes["GET /v1/workspaces/team-a"] = Answer(KEPT)
    gateway.routes["GET /v1/workspaces/team-a/logs:stats"] = Answer(stats)
    assert run("workspaces", "show", "team-a").stdout.splitlines() == [
        "workspaces/team-a (Team A)",
        "  lines    1,000",
        "  sources  1.0 MB",
        "  on disk  300.0 KB (0.30 of the sources)",
        "  keeps    30 d and at most 50.0 GB",
    ]
    assert json.loads(run("workspaces", "show", "team-a", "--json").stdout) == {"workspace": KEPT, "stats": stats}


def test_the_list_as_json_is_a_workspace_a_line(run: Run, gateway: FakeGateway) -> None:
    gateway.routes["GET /v1/workspaces"] = Answer({"workspaces": [TEAM_A, KEPT]})
    assert [json.loads(line) for line in run("workspaces", "list", "--json").stdout.splitlines()] == [TEAM_A, KEPT]
