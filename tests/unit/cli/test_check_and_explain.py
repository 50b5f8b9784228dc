"""`kit check` and `kit explain`, in processes of their own: descriptors stay in the process that loads them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.datafiles import ROOT

HEAD = """
syntax = "proto3";
package shop.v1;
import "kitapi/v1/policy.proto";
message M {}
"""
SECONDS = "{ seconds: %s }"


def kit(*arguments: object, **env: str) -> tuple[int, str]:
    """Exit status and everything that was printed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KIT_")}
    environment |= {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos' / 'gen'}", **env}
    done = subprocess.run(
        [sys.executable, "-P", "-c", "from kit.cli import main; main()", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def write(folder: Path, body: str) -> Path:
    path = folder / "shop" / "v1" / "shop.proto"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEAD + body)
    return folder


def chain(timeout: str) -> str:
    """Four steps of 2, 2, 1 and 10 + 5 seconds, one after the other."""
    steps = {"A": 2, "B": 2, "C": 1, "D": 10, "E": 5}
    methods = "".join(
        f"rpc {name}(M) returns (M) {{ option (kitapi.v1.method) = {{ timeout: {SECONDS % seconds} }}; }}\n"
        for name, seconds in steps.items()
    )
    calls = " ".join(f'downstream: {{ method: "shop.v1.Steps/{name}" }}' for name in steps)
    buy = f"option (kitapi.v1.method) = {{ timeout: {timeout} {calls} }};"
    return f"service Steps {{ {methods} }}\nservice Shop {{ rpc Buy(M) returns (M) {{ {buy} }} }}\n"


@pytest.mark.parametrize(("timeout", "status"), [("{ seconds: 30 }", 0), ("{ seconds: 29 nanos: 900000000 }", 1)])
def test_twenty_seconds_of_steps_need_thirty(tmp_path: Path, timeout: str, status: int) -> None:
    code, said = kit("check", write(tmp_path, chain(timeout)))
    assert code == status, said
    if status:
        assert "/shop.v1.Shop/Buy: timeout: 29.9 s is too short" in said
        assert "need 30 s" in said


def test_of_parallel_calls_only_the_longest_counts_and_times_multiply(tmp_path: Path) -> None:
    body = """
service Steps {
  rpc A(M) returns (M) { option (kitapi.v1.method) = { timeout: { seconds: 2 } }; }
  rpc B(M) returns (M) { option (kitapi.v1.method) = { timeout: { seconds: 4 } }; }
}
service Shop {
  rpc Buy(M) returns (M) { option (kitapi.v1.method) = {
    timeout: { seconds: %d }
    downstream: { method: "shop.v1.Steps/A" parallel: true }
    downstream: { method: "shop.v1.Steps/B" parallel: true }
    downstream: { method: "shop.v1.Steps/A" times: 3 }
  }; }
}
"""
    assert kit("check", write(tmp_path, body % 15))[0] == 0
    code, said = kit("check", write(tmp_path, body % 14))
    assert code == 1
    assert "need 15 s" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ('downstream: { method: "shop.v1.Shop/Nothing" }', "no method shop.v1.Shop/Nothing is known"),
        ("retry: { max_attempts: 3 }", "not declared safe"),
        ("cache: { max_entries: 2 }", "no layer enforces this"),
        ("retry: { max_attempts: 9 }", "must be 1 to 5"),
        ('timeout: { seconds: 9 } downstream: { method: "shop.v1.Shop/Buy" }', "round in a circle"),
    ],
)
def test_what_is_wrong_is_said_with_the_method(tmp_path: Path, options: str, said: str) -> None:
    folder = write(
        tmp_path, f"service Shop {{ rpc Buy(M) returns (M) {{ option (kitapi.v1.method) = {{ {options} }}; }} }}"
    )
    code, text = kit("check", folder)
    assert code == 1
    assert "/shop.v1.Shop/Buy" in text
    assert said in text


def test_attempts_that_multiply_too_far_are_refused(tmp_path: Path) -> None:
    method = """
rpc %s(M) returns (M) {
  option idempotency_level = IDEMPOTENT;
  option (kitapi.v1.method) = {
    timeout: { seconds: %d }
    per_try_timeout: { nanos: 1000000 }
    retry: { max_attempts: 4 }
    %s
  };
}
"""
    calls = 'downstream: { method: "shop.v1.Shop/%s" }'
    methods = [method % ("A", 500, calls % "B"), method % ("B", 100, calls % "C"), method % ("C", 10, "")]
    code, said = kit("check", write(tmp_path, f"service Shop {{ {''.join(methods)} }}"))
    assert code == 1
    assert "one call may become 64" in said
    assert kit("check", tmp_path, "--max-amplification", 64)[0] == 0


def test_our_own_protos_are_in_order() -> None:
    code, said = kit("check", ROOT / "protos")
    assert code == 0, said


def test_generated_modules_can_be_checked_as_well() -> None:
    code, said = kit(
        "check", "--module", "loganalyzer.search.v1.search_pb2", "--module", "loganalyzer.cache.v1.cache_pb2"
    )
    assert code == 0, said


RETRYING = '["/shop.v1.Shop/Buy"]\nretry.max_attempts = %s\n'


def test_a_toml_file_alone_is_checked_by_itself(tmp_path: Path) -> None:
    config = tmp_path / "policy.toml"
    config.write_text(RETRYING % 3)
    code, said = kit("check", config)
    assert code == 0, said
    assert "1 table is in order" in said
    config.write_text(RETRYING % 9)
    code, said = kit("check", config)
    assert code == 1
    assert "/shop.v1.Shop/Buy: retry.max_attempts: must be 1 to 5" in said
    config.write_text(RETRYING % 3 + "breaker.failure_threshold = 2\n")
    code, said = kit("check", config)
    assert code == 1
    assert "breaker.failure_threshold: the breaker may open after 2 failures" in said


def test_a_toml_file_beside_protos_is_their_overlay(tmp_path: Path) -> None:
    folder = write(tmp_path / "protos", "service Shop { rpc Buy(M) returns (M); }")
    config = tmp_path / "policy.toml"
    config.write_text(RETRYING % 3)
    code, said = kit("check", folder, config)
    assert code == 1
    assert "not declared safe to execute twice" in said
    config.write_text('["/shop.v1.Shop/Bye"]\ntimeout = 3\n')
    code, said = kit("check", folder, config)
    assert code == 1
    assert "/shop.v1.Shop/Bye: no such method or service is declared" in said
    config.write_text('["/shop.v1.Shop/*"]\ntimeout = 3\n["*"]\nper_try_timeout = 1\n')
    assert kit("check", folder, config)[0] == 0


def test_what_is_neither_folder_nor_overlay_and_a_second_overlay_are_mistakes(tmp_path: Path) -> None:
    other, config = tmp_path / "policy.json", tmp_path / "policy.toml"
    other.write_text("{}")
    config.write_text("")
    assert kit("check", other)[0] == 2
    assert kit("check", config, "--policy", config)[0] == 2
    assert kit("check", tmp_path / "none.toml")[0] == 2


def test_check_without_anything_to_check_is_a_mistake() -> None:
    assert kit("check")[0] == 2


def test_explain_names_the_origin_of_each_value(tmp_path: Path) -> None:
    body = """
service Shop {
  option (kitapi.v1.service) = { timeout: { seconds: 7 } };
  rpc Buy(M) returns (M) { option (kitapi.v1.method) = { per_try_timeout: { seconds: 3 } }; }
}
"""
    overlay = tmp_path / "policy.toml"
    overlay.write_text('["/shop.v1.Shop/Buy"]\ntimeout = 5\n')
    folder = write(tmp_path / "protos", body)
    code, said = kit("explain", "shop.v1.Shop/Buy", folder)
    assert code == 0, said
    rows = {line.split()[0]: line for line in said.splitlines() if line}
    assert "7" in rows["timeout"]
    assert "service option" in rows["timeout"]
    assert "method option" in rows["per_try_timeout"]
    assert "kit default" in rows["retry.max_attempts"]
    code, said = kit("explain", "shop.v1.Shop/Buy", folder, KIT_POLICY=str(overlay))
    assert f"KIT_POLICY {overlay}" in said


def test_explain_of_a_misspelt_method_suggests_the_right_one(tmp_path: Path) -> None:
    folder = write(tmp_path, "service Shop { rpc Buy(M) returns (M); }")
    code, said = kit("explain", "shop.v1.Shop/By", folder)
    assert code == 1
    assert "did you mean shop.v1.Shop/Buy" in said


def test_explain_says_what_the_figures_come_to(tmp_path: Path) -> None:
    body = """
service Shop {
  rpc Buy(M) returns (M) { option idempotency_level = IDEMPOTENT; option (kitapi.v1.method) = {
    timeout: { seconds: 190 } preset: PRODUCTION
    downstream: { method: "shop.v1.Shop/Pay" }
  }; }
  rpc Pay(M) returns (M) { option idempotency_level = IDEMPOTENT; option (kitapi.v1.method) = { preset: PRODUCTION }; }
}
"""
    folder = write(tmp_path, body)
    code, said = kit("explain", "shop.v1.Shop/Buy", folder)
    assert code == 0, said
    assert "worst case: 127 s" in said
    assert "the calls made inside need 190.5 s, 50 % included, which it has not" in said
    assert "amplification: one call may become 4 attempts" in said
    assert "16 at the end of /shop.v1.Shop/Buy > /shop.v1.Shop/Pay" in said
    code, said = kit("explain", "shop.v1.Shop/Pay", folder, KIT_PRESET="development")
    assert "worst case: 20.5 s" in said
    assert "amplification: one call may become 2 attempts" in said
