"""What `up` starts and with which environment, and the lock on the data folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.cli import lock, plan
from services.cli.gateway import GatewayError, find
from services.cli.plan import Plan, code_roots, environment, python_path

PLAN = Plan(data_dir=Path("/data"), port=1234, otlp="http://127.0.0.1:4317")


def test_the_children_get_what_the_plan_says() -> None:
    env = environment(PLAN, {"PATH": "/bin", "KIT_DATA_DIR": "/else"})
    assert env["PATH"] == "/bin"
    assert env["KIT_DATA_DIR"] == "/data"
    assert (env["KIT_GATEWAY_HOST"], env["KIT_GATEWAY_PORT"]) == ("127.0.0.1", "1234")
    assert env["KIT_IMPORT_ROOTS"] == "*"
    assert env["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://127.0.0.1:4317"


def test_settings_for_services_that_are_started_by_hand_are_not_passed_on() -> None:
    base = {"KIT_LISTEN": "0.0.0.0:1", "KIT_REGISTER": "0", "KIT_TARGET_SEARCH": "x:1", "KIT_PARENT_FD": "3"}
    base |= {"KIT_HEALTH_LISTEN": "127.0.0.1:2", "KIT_METRICS_LISTEN": "127.0.0.1:3", "KIT_WORKERS": "4"}
    assert not set(base) & set(environment(PLAN, base))


def test_import_roots_that_the_user_set_are_kept() -> None:
    assert environment(PLAN, {"KIT_IMPORT_ROOTS": "/var/log"})["KIT_IMPORT_ROOTS"] == "/var/log"


def test_a_trace_endpoint_of_the_shell_is_kept() -> None:
    base = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://there"}
    assert environment(Plan(data_dir=Path("/d"), port=1), base)["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://there"


def test_the_python_path_starts_with_this_code_and_leaves_out_where_packages_are_installed() -> None:
    old = os.pathsep.join(["/old", "relative", "/src", ""])
    path = python_path(old, ["/src", "/site", "/gen"], frozenset({"/site"}))
    assert path.split(os.pathsep) == ["/src", "/gen", "/old", os.path.abspath("relative")]
    assert python_path("", ["/site"], frozenset({"/site"})) == ""


def test_a_child_finds_the_code_from_any_folder(tmp_path: Path) -> None:
    (tmp_path / "services.py").write_text("raise SystemExit('the wrong module')")
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    env["PYTHONPATH"] = python_path("", code_roots(), plan.installed_roots())
    code = "import services.workspace, kit, kitapi.v1.policy_pb2, loganalyzer.search.v1.search_pb2"
    subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, env=env, check=True, timeout=60)


def test_a_second_up_on_the_same_data_is_refused_with_what_runs_there(tmp_path: Path) -> None:
    path = tmp_path / "up.lock"
    with lock.held(path, {"url": "http://127.0.0.1:8080"}):
        with pytest.raises(GatewayError) as caught, lock.held(path, {"url": "http://127.0.0.1:1"}):
            pass
        assert f"process {os.getpid()}, at http://127.0.0.1:8080" in caught.value.message
    with lock.held(path, {"url": "http://127.0.0.1:1"}):
        pass


@pytest.mark.parametrize(
    ("given", "url"),
    [("http://h:1/", "http://h:1"), ("h:1", "http://h:1"), ("https://h", "https://h")],
)
def test_a_gateway_is_given_with_or_without_a_scheme(given: str, url: str) -> None:
    assert find(given, None) == url
