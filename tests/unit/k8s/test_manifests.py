"""The manifests render, follow Kubernetes' schemas to the letter and pass every check."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module

import kubernetes_validate
import pytest
import yaml
from kubernetes_validate.utils import latest_version

from kitapi.v1 import policy_pb2
from tests.unit.k8s import lint_network, lint_pods, lint_wiring
from tests.unit.k8s.conftest import K8S
from tests.unit.k8s.manifests import Manifest, of_kind, workloads

Render = Callable[[str], list[Manifest]]
Check = Callable[[list[Manifest]], Iterator[str]]

FOLDERS = ["base", *sorted(f"overlays/{one.parent.name}" for one in K8S.glob("overlays/*/kustomization.yaml"))]
CHECKS = [*lint_pods.CHECKS, *lint_wiring.CHECKS, *lint_network.CHECKS]
PROCESSES = ["cache", "gateway", "importer", "search", "workspace"]


@pytest.mark.parametrize("version", ["1.30", latest_version()])
@pytest.mark.parametrize("folder", FOLDERS)
def test_every_object_follows_the_strict_schema(folder: str, version: str, render: Render) -> None:
    for one in render(folder):
        kubernetes_validate.validate(one, version, strict=True)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("folder", FOLDERS)
def test_a_check_finds_nothing(folder: str, check: Check, render: Render) -> None:
    assert list(check(render(folder))) == []


def test_the_base_runs_exactly_the_five_processes(render: Render) -> None:
    args = {one.labels["app.kubernetes.io/name"]: one.containers[0]["args"] for one in workloads(render("base"))}
    assert args == {name: ["gateway"] if name == "gateway" else [f"services.{name}"] for name in PROCESSES}


def test_the_base_sends_no_spans_and_the_dev_overlay_does(render: Render) -> None:
    endpoints = {
        folder: of_kind(render(folder), "ConfigMap")[0]["data"].get("OTEL_EXPORTER_OTLP_ENDPOINT")
        for folder in ("base", "overlays/dev")
    }
    assert endpoints == {"base": None, "overlays/dev": "http://jaeger-collector:4317"}


def test_the_dev_overlay_runs_one_of_each(render: Render) -> None:
    assert {one.replicas for one in workloads(render("overlays/dev"))} == {1}


def test_no_manifest_is_left_out_of_its_kustomization() -> None:
    for folder in {one.parent for one in K8S.rglob("kustomization.yaml")}:
        said = yaml.safe_load((folder / "kustomization.yaml").read_text())
        listed = {*said.get("resources", []), *(one["path"] for one in said.get("patches", []) if "path" in one)}
        there = {str(one.relative_to(folder)) for one in folder.rglob("*.yaml")} - {"kustomization.yaml"}
        assert there == {one for one in listed if one.endswith(".yaml")}, folder


def test_calls_that_the_protos_declare_are_among_those_the_network_lets_through() -> None:
    declared = {
        (name, downstream.method.split(".")[1])
        for name in lint_network.CALLS.keys() - {"gateway"}
        for service in import_module(f"loganalyzer.{name}.v1.{name}_pb2").DESCRIPTOR.services_by_name.values()
        for method in service.methods
        for downstream in method.GetOptions().Extensions[policy_pb2.method].downstream
    }
    assert declared
    assert {(caller, called) for caller, called in declared if called not in lint_network.CALLS[caller]} == set()


def test_prometheus_is_told_the_port_that_every_process_gives_its_metrics_out_at(render: Render) -> None:
    for one in workloads(render("base")):
        annotations = one.spec["template"]["metadata"]["annotations"]
        port = str(one.port("metrics"))
        assert (annotations["prometheus.io/scrape"], annotations["prometheus.io/port"]) == ("true", port)
