"""Each check finds what it is there for: the real manifests, broken in one place, give the finding that names it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import kubernetes_validate
import pytest
from kubernetes_validate.utils import ValidationError, latest_version

from tests.unit.k8s import lint_network as network
from tests.unit.k8s import lint_pods as pods
from tests.unit.k8s import lint_wiring as wiring
from tests.unit.k8s.manifests import Manifest, named

Render = Callable[[str], list[Manifest]]
Check = Callable[[list[Manifest]], Iterator[str]]


@dataclass(frozen=True, slots=True)
class Broken:
    """In the object `where` ("Kind/name") what is at `path` becomes `value` (or is REMOVED): `finding` is said."""

    check: Check
    where: str
    path: str
    value: Any
    finding: str

    def __str__(self) -> str:
        return f"{self.check.__name__}: {self.where} {self.path}"


REMOVED = object()
POD = "spec.template.spec"
SERVER = f"{POD}.containers.0"

BREAKS = [
    Broken(pods.image_tags, "Deployment/cache", f"{SERVER}.image", "grpc-service-kit/loganalyzer", "no tag"),
    Broken(pods.image_tags, "Deployment/cache", f"{SERVER}.image", "host:5000/loganalyzer", "no tag"),
    Broken(pods.image_tags, "Deployment/cache", f"{SERVER}.image", "loganalyzer:latest", "another thing every day"),
    Broken(
        pods.rights, "Deployment/cache", f"{POD}.securityContext.runAsNonRoot", REMOVED, "does not say runAsNonRoot"
    ),
    Broken(pods.rights, "Deployment/cache", f"{POD}.securityContext.runAsUser", 0, "runs as user 0"),
    Broken(pods.rights, "Deployment/cache", f"{POD}.securityContext.seccompProfile", REMOVED, "seccomp"),
    Broken(pods.rights, "Deployment/cache", f"{POD}.hostNetwork", True, "hostNetwork"),
    Broken(pods.rights, "Deployment/cache", f"{POD}.volumes.0", {"name": "tmp", "hostPath": {"path": "/"}}, "hostPath"),
    Broken(pods.rights, "Deployment/cache", f"{SERVER}.securityContext.allowPrivilegeEscalation", True, "may escalate"),
    Broken(pods.rights, "Deployment/cache", f"{SERVER}.securityContext.privileged", True, "is privileged"),
    Broken(pods.rights, "Deployment/cache", f"{SERVER}.securityContext.capabilities", REMOVED, "keeps capabilities"),
    Broken(
        pods.rights,
        "Deployment/cache",
        f"{SERVER}.securityContext.capabilities.add",
        ["NET_ADMIN"],
        "adds capabilities",
    ),
    Broken(pods.rights, "Deployment/cache", f"{SERVER}.securityContext.readOnlyRootFilesystem", False, "writable root"),
    Broken(pods.rights, "Deployment/cache", f"{SERVER}.volumeMounts.0", REMOVED, "nowhere to write temporary files"),
    Broken(pods.secrets, "Deployment/cache", f"{SERVER}.env", [{"name": "DB_PASSWORD", "value": "x"}], "DB_PASSWORD"),
    Broken(pods.probes, "StatefulSet/search", f"{SERVER}.startupProbe", REMOVED, "has no startupProbe"),
    Broken(
        pods.probes, "StatefulSet/search", f"{SERVER}.livenessProbe.grpc.service", "readiness", "asks for 'readiness'"
    ),
    Broken(pods.probes, "StatefulSet/search", f"{SERVER}.readinessProbe.grpc.service", REMOVED, "asks for None"),
    Broken(pods.probes, "StatefulSet/search", f"{SERVER}.readinessProbe.grpc.port", 50052, "port 50052"),
    Broken(pods.probes, "StatefulSet/search", f"{SERVER}.readinessProbe", {"exec": {"command": ["true"]}}, "neither"),
    Broken(pods.probes, "Deployment/gateway", f"{SERVER}.readinessProbe.httpGet.port", "web", "port web"),
    Broken(pods.probes, "Deployment/gateway", f"{SERVER}.livenessProbe.httpGet.path", "/readyz", "asks for /readyz"),
    Broken(pods.resources, "Deployment/gateway", f"{SERVER}.resources.limits", REMOVED, "no limits of memory"),
    Broken(pods.resources, "Deployment/gateway", f"{SERVER}.resources.requests.cpu", REMOVED, "no requests of cpu"),
    Broken(pods.resources, "Deployment/gateway", f"{POD}.volumes.0.emptyDir", {}, "may fill the node"),
    Broken(pods.spread, "Deployment/gateway", f"{POD}.affinity", REMOVED, "without anti-affinity"),
    Broken(pods.spread, "Deployment/gateway", f"{POD}.topologySpreadConstraints", REMOVED, "without a topology spread"),
    Broken(pods.spread, "Deployment/cache", "spec.replicas", 2, "2 replicas without anti-affinity"),
    Broken(pods.termination, "Deployment/cache", f"{POD}.terminationGracePeriodSeconds", 20, "killed after 20 s"),
    Broken(
        pods.termination, "ConfigMap/loganalyzer-*", "data.KIT_DRAIN_DELAY", "0", "0 s pass before calls are refused"
    ),
    Broken(pods.termination, "Deployment/gateway", f"{SERVER}.lifecycle", REMOVED, "0 s pass before calls are refused"),
    Broken(
        pods.termination, "Deployment/gateway", f"{SERVER}.lifecycle.preStop.sleep.seconds", 90, "takes up to 105 s"
    ),
    Broken(pods.termination, "ConfigMap/loganalyzer-*", "data.KIT_GRACE", REMOVED, "KIT_GRACE not set"),
    Broken(wiring.namespaces, "Service/search", "metadata.namespace", "default", "Service/search lies outside"),
    Broken(
        wiring.namespaces, "Namespace/loganalyzer", "metadata.labels", {}, "does not enforce the restricted standard"
    ),
    Broken(
        wiring.selectors, "Deployment/cache", "spec.selector.matchLabels", {"app": "x"}, "does not select its own pods"
    ),
    Broken(wiring.selectors, "Deployment/cache", "spec.selector", {}, "selects the pods of Deployment/gateway"),
    Broken(wiring.selectors, "PodDisruptionBudget/cache", "spec.selector", {}, "is for 5 workloads, not 1"),
    Broken(wiring.selectors, "NetworkPolicy/cache", "spec.podSelector.matchLabels", {"app": "x"}, "is for no pod"),
    Broken(wiring.services, "Service/search", "spec.selector", {"app": "x"}, "Service/search leads to 0 workloads"),
    Broken(wiring.services, "Service/search", "spec.ports.0.targetPort", "http", "does not declare"),
    Broken(wiring.services, "Service/search", "spec.ports.0.port", 80, "is not the pod's 50051"),
    Broken(
        wiring.services, "Service/search", "spec.clusterIP", REMOVED, "StatefulSet/search: no headless Service search"
    ),
    Broken(wiring.services, "StatefulSet/search", "spec.serviceName", "find", "no headless Service find"),
    Broken(wiring.accounts, "Deployment/cache", f"{POD}.serviceAccountName", REMOVED, "the service account 'default'"),
    Broken(wiring.accounts, "Deployment/cache", f"{POD}.serviceAccountName", "gateway", "shares its account"),
    Broken(wiring.accounts, "Deployment/cache", f"{POD}.automountServiceAccountToken", True, "mounts its token"),
    Broken(wiring.accounts, "ServiceAccount/cache", "automountServiceAccountToken", REMOVED, "hands out its token"),
    Broken(wiring.budgets, "PodDisruptionBudget/cache", "spec.maxUnavailable", 0, "blocks every drain"),
    Broken(wiring.budgets, "PodDisruptionBudget/gateway", "spec.minAvailable", 2, "blocks every drain"),
    Broken(
        wiring.budgets, "PodDisruptionBudget/cache", "spec.selector.matchLabels", {"app": "x"}, "no disruption budget"
    ),
    Broken(wiring.volumes, "StatefulSet/search", f"{POD}.affinity", REMOVED, "may be put on different nodes"),
    Broken(
        wiring.volumes,
        "StatefulSet/search",
        "spec.template.metadata.labels.loganalyzer/volume",
        REMOVED,
        "different nodes",
    ),
    Broken(wiring.volumes, "StatefulSet/search", "spec.replicas", 2, "may be open twice"),
    Broken(wiring.volumes, "StatefulSet/search", f"{POD}.volumes.1", REMOVED, "mounted from logs, which is not there"),
    Broken(wiring.volumes, "PersistentVolumeClaim/logs", "metadata.name", "other", "no claim logs"),
    Broken(wiring.volumes, "Deployment/gateway", f"{SERVER}.volumeMounts.1.readOnly", True, "cannot be written to"),
    Broken(
        wiring.addresses, "ConfigMap/loganalyzer-*", "data.KIT_TARGET_CACHE", REMOVED, "KIT_TARGET_CACHE is not set"
    ),
    Broken(
        wiring.addresses, "ConfigMap/loganalyzer-*", "data.KIT_TARGET_CACHE", "dns:///cash:50051", "no Service and port"
    ),
    Broken(
        wiring.addresses, "ConfigMap/loganalyzer-*", "data.KIT_TARGET_CACHE", "dns:///cache:5005", "no Service and port"
    ),
    Broken(
        wiring.addresses, "ConfigMap/loganalyzer-*", "data.KIT_TARGET_CACHE", "local:///cache", "no Service and port"
    ),
    Broken(wiring.addresses, "Service/cache", "spec.clusterIP", REMOVED, "would pin one pod"),
    Broken(
        wiring.addresses, "ConfigMap/loganalyzer-*", "data.OTEL_EXPORTER_OTLP_ENDPOINT", "http://o:4317", "no Service"
    ),
    Broken(
        wiring.listeners, "ConfigMap/loganalyzer-*", "data.KIT_LISTEN", "127.0.0.1:50051", "listens at 127.0.0.1:50051"
    ),
    Broken(wiring.listeners, "ConfigMap/loganalyzer-*", "data.KIT_GATEWAY_HOST", REMOVED, "listens at 127.0.0.1:8080"),
    Broken(wiring.listeners, "ConfigMap/loganalyzer-*", "data.KIT_REGISTER", "1", "KIT_REGISTER is not 0"),
    Broken(wiring.listeners, "Deployment/cache", f"{SERVER}.ports", [], "declares no port"),
    Broken(network.default_deny, "NetworkPolicy/default-deny", "spec.policyTypes", ["Ingress"], "no policy denies all"),
    Broken(network.default_deny, "NetworkPolicy/default-deny", "spec.egress", [{}], "no policy denies all"),
    Broken(network.paths, "NetworkPolicy/search", "spec.egress", [], "search may not call cache"),
    Broken(network.paths, "NetworkPolicy/search", "spec.ingress.0.ports.0.port", 8080, "gateway may not call search"),
    Broken(network.paths, "NetworkPolicy/workspace", "spec.ingress", [], "importer may not call workspace"),
    Broken(network.paths, "NetworkPolicy/default-deny", "spec.egress", [{}], "search may call gateway"),
    Broken(
        network.paths,
        "Deployment/cache",
        "spec.template.metadata.labels",
        {"app.kubernetes.io/name": "x"},
        "no workload cache",
    ),
    Broken(network.outside, "NetworkPolicy/dns", "spec.egress.0.ports.0.protocol", "TCP", "cannot resolve names"),
    Broken(network.outside, "NetworkPolicy/gateway", "spec.ingress", [], "port 8080 is not open to other namespaces"),
    Broken(
        network.outside, "NetworkPolicy/cache", "spec.ingress.0.from", [{"namespaceSelector": {}}], "port 50051 is open"
    ),
    Broken(
        network.outside,
        "ConfigMap/loganalyzer-*",
        "data.OTEL_EXPORTER_OTLP_ENDPOINT",
        "http://o:4317",
        "cannot send its spans",
    ),
]


def _change(objects: list[Manifest], broken: Broken) -> None:
    kind, name = broken.where.split("/", 1)
    whole = next(one["metadata"]["name"] for one in objects if one["kind"] == kind) if name.endswith("*") else name
    at: Any = named(objects, kind, whole)
    assert at is not None, broken.where
    *steps, last = (int(step) if step.isdigit() else step for step in broken.path.split("."))
    for step in steps:
        at = at[step]
    if broken.value is REMOVED:
        del at[last]
    else:
        at[last] = broken.value


@pytest.mark.parametrize("broken", BREAKS, ids=str)
def test_a_broken_manifest_is_found(broken: Broken, render: Render) -> None:
    objects = render("base")
    _change(objects, broken)
    found = list(broken.check(objects))
    assert any(broken.finding in one for one in found), found


def test_every_check_is_seen_to_find_something() -> None:
    everything = {*pods.CHECKS, *wiring.CHECKS, *network.CHECKS}
    assert {one.check for one in BREAKS} == everything


def test_a_collector_without_its_network_policy_is_found(render: Render) -> None:
    objects = [one for one in render("overlays/dev") if one["metadata"]["name"] != "send-spans"]
    assert "StatefulSet/search cannot send its spans" in list(network.outside(objects))


@pytest.mark.parametrize(
    ("path", "value"), [("spec.replicaCount", 1), ("spec.replicas", "one"), (f"{SERVER}.livenessProbe.grpc.host", "x")]
)
def test_the_schema_refuses_a_field_that_does_not_exist_and_a_wrong_type(
    path: str, value: object, render: Render
) -> None:
    objects = render("base")
    broken = Broken(pods.probes, "StatefulSet/search", path, value, "")
    _change(objects, broken)
    with pytest.raises(ValidationError):
        kubernetes_validate.validate(named(objects, "StatefulSet", "search"), latest_version(), strict=True)
