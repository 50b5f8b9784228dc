"""The Dockerfile, what is sent to its build, and compose.yaml: what can be said of them without a container engine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.k8s.test_manifests import PROCESSES

ROOT = Path(__file__).parents[3]
IMAGE = re.compile(r"[\w./-]+:(?!latest)[\w][\w.-]*")
"""A name with a tag that is said and is not latest."""


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions in order, comments gone, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\s*\\\n\s*", " ", text).splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines if line.strip())]


def last_stage() -> list[tuple[str, str]]:
    everything = instructions()
    start = max(at for at, (word, _) in enumerate(everything) if word == "FROM")
    return everything[start:]


def compose() -> dict[str, Any]:
    said: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return said


def ours() -> dict[str, dict[str, Any]]:
    return {name: one for name, one in compose()["services"].items() if name in PROCESSES}


def test_both_stages_stand_on_the_same_pinned_base() -> None:
    bases = [rest.split()[0] for word, rest in instructions() if word == "FROM"]
    assert len(bases) == 2
    assert len(set(bases)) == 1, "the virtual environment points at the interpreter of the stage that made it"
    assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+", bases[0])


def test_nothing_is_fetched_but_by_pip() -> None:
    assert [rest for word, rest in instructions() if word == "ADD"] == []
    runs = " ".join(rest for word, rest in instructions() if word == "RUN")
    assert re.findall(r"https?://|\b(?:curl|wget|git)\b", runs) == []


def test_dependencies_are_pinned_and_never_compiled() -> None:
    install = next(rest for word, rest in instructions() if word == "RUN" and "[loganalyzer]" in rest)
    assert "--constraint constraints.txt" in install
    assert "--only-binary :all:" in install


def test_the_last_stage_installs_one_library_and_takes_the_environment() -> None:
    runs = " ".join(rest for word, rest in last_stage() if word == "RUN")
    assert re.findall(r"apt-get install [^&]*", runs) == ["apt-get install --yes --no-install-recommends libarchive13 "]
    assert re.findall(r"\b(?:apk|pip|gcc|build-essential)\b", runs) == []
    assert [rest for word, rest in last_stage() if word == "COPY"] == ["--from=build /opt/venv /opt/venv"]


def test_it_runs_as_a_numbered_user_that_is_not_root() -> None:
    words = [word for word, _ in last_stage()]
    assert [rest for word, rest in last_stage() if word == "USER"] == ["10001:10001"]
    assert words.index("USER") > max(at for at, word in enumerate(words) if word in {"RUN", "COPY"})


def test_the_entry_point_takes_the_module_to_run_and_ignores_the_working_folder() -> None:
    assert ("ENTRYPOINT", '["python", "-P", "-m"]') in last_stage()


def test_no_secret_is_baked_in() -> None:
    given = " ".join(rest for word, rest in instructions() if word in {"ENV", "ARG"})
    assert re.findall(r"PASSWORD|SECRET|TOKEN|KEY", given) == []


def test_what_the_wheel_needs_is_sent_to_the_build_and_nothing_else() -> None:
    lines = [one for one in (ROOT / ".dockerignore").read_text().splitlines() if one and not one.startswith("#")]
    assert lines[0] == "*"
    sent = {one[1:] for one in lines if one.startswith("!")}
    assert sent == {"pyproject.toml", "constraints.txt", "README.md", "LICENSE", "kit", "services", "gateway", "protos"}


def test_compose_runs_the_five_processes_and_jaeger_on_demand() -> None:
    services = compose()["services"]
    assert sorted(services) == sorted([*PROCESSES, "jaeger"])
    assert {name: one["command"] for name, one in ours().items()} == {
        name: ["gateway"] if name == "gateway" else [f"services.{name}"] for name in PROCESSES
    }
    assert [name for name, one in services.items() if "profiles" in one] == ["jaeger"]


@pytest.mark.parametrize("name", [*PROCESSES, "jaeger"])
def test_a_container_of_compose_is_pinned_and_has_no_rights_that_it_does_not_use(name: str) -> None:
    one = compose()["services"][name]
    assert IMAGE.fullmatch(one["image"])
    assert one["read_only"] is True
    assert "/tmp" in one["tmpfs"]
    assert one["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in one["security_opt"]
    assert "privileged" not in one
    assert all(port.startswith("127.0.0.1:") for port in one.get("ports", [])), "open to this machine only"


@pytest.mark.parametrize("name", PROCESSES)
def test_in_compose_the_data_folder_can_be_written_to_and_is_a_known_volume(name: str) -> None:
    one = ours()[name]
    assert one["environment"]["KIT_DATA_DIR"] == "/data"
    mounted = [volume.rsplit(":", 1)[0] for volume in one.get("volumes", []) if volume.endswith(":/data")]
    assert bool(mounted) != ("/data" in one["tmpfs"])
    assert set(mounted) <= set(compose()["volumes"])


def test_in_compose_search_and_importer_share_their_volume() -> None:
    assert "logs:/data" in ours()["search"]["volumes"]
    assert "logs:/data" in ours()["importer"]["volumes"]


def test_compose_and_kubernetes_give_the_processes_the_same_environment() -> None:
    lines = (ROOT / "k8s/base/loganalyzer.env").read_text().splitlines()
    cluster = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    only_there = {"KIT_DRAIN_DELAY", "KIT_GRACE"}  # one machine has no endpoints that take time to go
    for one in ours().values():
        here = {key: value for key, value in one["environment"].items() if key != "OTEL_EXPORTER_OTLP_ENDPOINT"}
        assert here == {key: value for key, value in cluster.items() if key not in only_there}
