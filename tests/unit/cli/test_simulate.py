"""`kit simulate`, in processes of its own: descriptors stay in the process that loads them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.datafiles import ROOT
from tests.unit.cli.test_check_and_explain import kit, write

PLAN = """
endpoints = 2
[[phase]]
errors = { UNAVAILABLE = 0.5 }
"""
SHOP = """
service Shop {
  rpc Get(M) returns (M) {
    option idempotency_level = NO_SIDE_EFFECTS;
    option (kitapi.v1.method) = { retry: { max_attempts: 4, initial_backoff: { nanos: 10000000 } } };
  }
  rpc Buy(M) returns (M);
  rpc Watch(M) returns (stream M);
}
"""


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "plan.toml"
    path.write_text(PLAN)
    return path


def test_a_preset_against_a_plan_prints_what_came_of_it(plan: Path) -> None:
    code, said = kit("simulate", "--preset", "production", "--plan", plan, "--calls", 300)
    assert code == 0, said
    lines = {line.split()[0]: line for line in said.splitlines()}
    assert float(lines["success"].split()[1].rstrip("%")) > 88
    assert 1.7 < float(lines["amplification"].split()[1]) < 2.05
    assert all(name in lines["latency"] for name in ("p50", "p95", "p99"))
    assert "ATTEMPTS_EXHAUSTED" in said
    assert "history" in lines["seed"]
    assert (code, said) == kit("simulate", "--preset", "production", "--plan", plan, "--calls", 300)


def test_the_policy_of_a_declared_method_is_simulated_and_printed_as_json(tmp_path: Path, plan: Path) -> None:
    folder = write(tmp_path / "protos", SHOP)
    arguments = ("--plan", plan, "--calls", 200, "--clients", 3, "--seed", 5, "--json")
    code, said = kit("simulate", folder, "--method", "shop.v1.Shop/Get", *arguments)
    assert code == 0, said
    found = json.loads(said)
    assert found["method"] == "shop.v1.Shop/Get"
    assert found["calls"] == sum(found["codes"].values()) == sum(found["stopReasons"].values()) == 200
    assert found["amplification"] == found["attempts"] / 200
    assert found["attemptsHistogram"].keys() <= {"1", "2", "3", "4"}
    assert len(found["digest"]) == 64
    assert found == json.loads(kit("simulate", folder, "--method", "shop.v1.Shop/Get", *arguments)[1])


def test_a_toml_file_is_a_policy(tmp_path: Path, plan: Path) -> None:
    overlay = tmp_path / "policy.toml"
    overlay.write_text('["*"]\nretry = { max_attempts = 2, initial_backoff = "10ms" }\n')
    code, said = kit("simulate", "--policy", overlay, "--plan", plan, "--calls", 200, "--json")
    assert code == 0, said
    assert json.loads(said)["attemptsHistogram"].keys() == {"1", "2"}


def test_a_method_that_may_not_be_repeated_is_not(tmp_path: Path, plan: Path) -> None:
    folder = write(tmp_path / "protos", SHOP)
    code, said = kit("simulate", folder, "--method", "shop.v1.Shop/Buy", "--preset", "production", "--plan", plan)
    assert code == 0, said
    assert "NOT_SAFE" in said
    assert "only what never reached a server is tried again" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--method", "shop.v1.Shop/Watch"], "streams"),
        (["--method", "shop.v1.Shop/Nothing"], "is not declared there"),
        ([], "say which by --method"),
        (["--method", "shop.v1.Shop/Get", "--calls", "0"], "calls must be at least 1"),
        (["--method", "shop.v1.Shop/Get", "--rate", "-1"], "rate must be more than 0"),
        (["--method", "shop.v1.Shop/Get", "--rate", "1", "--clients", "1"], "either a rate or a number of clients"),
    ],
)
def test_what_cannot_be_simulated_is_said(tmp_path: Path, arguments: list[str], said: str) -> None:
    code, text = kit("simulate", write(tmp_path, SHOP), *arguments)
    assert code == 1
    assert said in text


def test_a_preset_and_a_file_exclude_each_other(tmp_path: Path) -> None:
    overlay = tmp_path / "policy.toml"
    overlay.write_text("")
    code, text = kit("simulate", "--preset", "critical", "--policy", overlay)
    assert code == 2
    assert "exclude each other" in text


def test_a_wrong_plan_is_said_with_its_file(tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text("endpoints = 0")
    code, text = kit("simulate", "--plan", plan)
    assert code == 1
    assert "plan.toml: fault plan: endpoints must be at least 1" in text


def test_our_own_search_can_be_simulated() -> None:
    code, said = kit("simulate", ROOT / "protos", "--method", "loganalyzer.search.v1.SearchService/Search")
    assert code == 0, said
    assert "success        100.00%" in said
