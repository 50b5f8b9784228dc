"""What must fit together: selectors, ports, accounts, budgets, volumes, addresses in the environment.

Each check yields its findings, sentences that name the object; none means that all is well."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import combinations

from tests.unit.k8s.lint_pods import HOSTNAME
from tests.unit.k8s.manifests import (
    Manifest,
    Workload,
    containers,
    environment,
    is_ours,
    matches,
    named,
    of_kind,
    workloads,
)

TARGETS = ("KIT_TARGET_SEARCH", "KIT_TARGET_IMPORTER", "KIT_TARGET_WORKSPACE", "KIT_TARGET_CACHE")
_ADDRESS = re.compile(r"^(?P<scheme>dns:///|https?://)(?P<host>[a-z0-9-]+):(?P<port>\d+)$")


def namespaces(objects: list[Manifest]) -> Iterator[str]:
    """All of it lies in one namespace, and that one admits only restricted pods."""
    spaces = of_kind(objects, "Namespace")
    names = {one["metadata"]["name"] for one in spaces}
    for one in objects:
        if one["kind"] != "Namespace" and one["metadata"].get("namespace") not in names:
            yield f"{one['kind']}/{one['metadata']['name']} lies outside of {', '.join(sorted(names))}"
    for space in spaces:
        for mode in ("enforce", "audit", "warn"):
            if space["metadata"].get("labels", {}).get(f"pod-security.kubernetes.io/{mode}") != "restricted":
                yield f"Namespace/{space['metadata']['name']} does not {mode} the restricted standard"


def selectors(objects: list[Manifest]) -> Iterator[str]:
    """A workload selects its own pods and nobody else's; Services, budgets and policies select some pod."""
    makers = workloads(objects)
    for workload in makers:
        selector = workload.spec["selector"]
        if not matches(selector, workload.labels):
            yield f"{workload.name} does not select its own pods"
        for other in makers:
            if other is not workload and matches(selector, other.labels):
                yield f"{workload.name} selects the pods of {other.name}"
    for budget in of_kind(objects, "PodDisruptionBudget"):
        count = sum(matches(budget["spec"]["selector"], one.labels) for one in makers)
        if count != 1:
            yield f"PodDisruptionBudget/{budget['metadata']['name']} is for {count} workloads, not 1"
    for policy in of_kind(objects, "NetworkPolicy"):
        if not any(matches(policy["spec"]["podSelector"], one.labels) for one in makers):
            yield f"NetworkPolicy/{policy['metadata']['name']} is for no pod"


def services(objects: list[Manifest]) -> Iterator[str]:
    """A Service leads to the pods of one workload, at a port that they declare; a headless one at the pod's own."""
    for service in of_kind(objects, "Service"):
        name, spec = f"Service/{service['metadata']['name']}", service["spec"]
        behind = [one for one in workloads(objects) if matches({"matchLabels": spec["selector"]}, one.labels)]
        if len(behind) != 1:
            yield f"{name} leads to {len(behind)} workloads, not 1"
            continue
        for port in spec["ports"]:
            target = port.get("targetPort", port["port"])
            number = behind[0].port(target)
            if number is None:
                yield f"{name}: port {port['port']} leads to {target!r}, which {behind[0].name} does not declare"
            elif spec.get("clusterIP") == "None" and number != port["port"]:
                yield f"{name} is headless: its port {port['port']} is not the pod's {number}"
    for workload in workloads(objects):
        if workload.manifest["kind"] == "StatefulSet":
            governing = named(objects, "Service", workload.spec["serviceName"])
            if governing is None or governing["spec"].get("clusterIP") != "None":
                yield f"{workload.name}: no headless Service {workload.spec['serviceName']}"


def accounts(objects: list[Manifest]) -> Iterator[str]:
    """Each workload has an account of its own, and no token of it in its pods: none of them talks to Kubernetes."""
    users: dict[str, str] = {}
    for workload in workloads(objects):
        name = workload.pod.get("serviceAccountName", "default")
        account = named(objects, "ServiceAccount", name)
        if name == "default" or account is None:
            yield f"{workload.name}: the service account {name!r} is not its own"
        elif account.get("automountServiceAccountToken") is not False:
            yield f"ServiceAccount/{name} hands out its token"
        if workload.pod.get("automountServiceAccountToken") is not False:
            yield f"{workload.name} mounts its token"
        if name in users:
            yield f"{workload.name} shares its account with {users[name]}"
        users[name] = workload.name


def budgets(objects: list[Manifest]) -> Iterator[str]:
    """Each workload has a disruption budget that lets a node be drained."""
    for workload in workloads(objects):
        mine = [
            one["spec"]
            for one in of_kind(objects, "PodDisruptionBudget")
            if matches(one["spec"]["selector"], workload.labels)
        ]
        if not mine:
            yield f"{workload.name} has no disruption budget"
        for spec in mine:
            if spec.get("maxUnavailable") == 0 or spec.get("minAvailable", 0) not in range(workload.replicas):
                yield f"{workload.name}: its disruption budget blocks every drain"


def volumes(objects: list[Manifest]) -> Iterator[str]:
    """Mounts exist, claims exist, data has one owner, and those who share a ReadWriteOnce claim share a node."""
    users: dict[str, list[Workload]] = {}
    for workload in workloads(objects):
        known = {one["name"] for one in workload.pod.get("volumes", [])}
        templates = {one["metadata"]["name"] for one in workload.spec.get("volumeClaimTemplates", [])}
        claims = [
            one["persistentVolumeClaim"]["claimName"]
            for one in workload.pod.get("volumes", [])
            if "persistentVolumeClaim" in one
        ]
        for claim in claims:
            users.setdefault(claim, []).append(workload)
            if named(objects, "PersistentVolumeClaim", claim) is None:
                yield f"{workload.name}: no claim {claim}"
        if (claims or templates) and (workload.manifest["kind"], workload.replicas) != ("StatefulSet", 1):
            yield f"{workload.name}: its SQLite files may be open twice"
        for container in workload.containers:
            for mount in container.get("volumeMounts", []):
                if mount["name"] not in known | templates:
                    yield f"{workload.name}: {mount['mountPath']} is mounted from {mount['name']}, which is not there"
            if is_ours(container):
                folder = environment(objects, container).get("KIT_DATA_DIR")
                writable = {one["mountPath"] for one in container.get("volumeMounts", []) if not one.get("readOnly")}
                if folder not in writable:
                    yield f"{workload.name}: KIT_DATA_DIR {folder} cannot be written to"
    for claim, sharing in users.items():
        found = named(objects, "PersistentVolumeClaim", claim)
        if found is not None and "ReadWriteMany" not in found["spec"]["accessModes"]:
            for one, other in combinations(sharing, 2):
                if not (_follows(one, other) and _follows(other, one)):
                    yield f"{one.name} and {other.name} share the claim {claim} and may be put on different nodes"


def _follows(one: Workload, other: Workload) -> bool:
    """It is only put on a node where the other is, and can be the first: the term takes its own pods as well."""
    required = (
        one.pod.get("affinity", {}).get("podAffinity", {}).get("requiredDuringSchedulingIgnoredDuringExecution", [])
    )
    return any(
        term["topologyKey"] == HOSTNAME and all(matches(term["labelSelector"], pod.labels) for pod in (one, other))
        for term in required
    )


def addresses(objects: list[Manifest]) -> Iterator[str]:
    """Every address in the environment is a Service of ours with that port; a target is headless."""
    for workload, container in containers(objects):
        given = environment(objects, container)
        if not is_ours(container):
            continue
        yield from (f"{workload.name}: {key} is not set" for key in TARGETS if key not in given)
        for key in (*TARGETS, "OTEL_EXPORTER_OTLP_ENDPOINT"):
            if key not in given:
                continue
            found = _ADDRESS.match(given[key])
            service = named(objects, "Service", found["host"]) if found else None
            if (
                found is None
                or service is None
                or int(found["port"]) not in [one["port"] for one in service["spec"]["ports"]]
            ):
                yield f"{workload.name}: {key}={given[key]} leads to no Service and port"
            elif key in TARGETS and (found["scheme"], service["spec"].get("clusterIP")) != ("dns:///", "None"):
                yield f"{workload.name}: {key}={given[key]} would pin one pod for each connection"


def listeners(objects: list[Manifest]) -> Iterator[str]:
    """A process listens where its pod says that it does, on every interface, and is not in a local registry."""
    for workload, container in containers(objects):
        given = environment(objects, container)
        if not is_ours(container):
            continue
        where = {
            "grpc": given.get("KIT_LISTEN", ""),
            "metrics": given.get("KIT_METRICS_LISTEN", ""),
            "http": f"{given.get('KIT_GATEWAY_HOST', '127.0.0.1')}:{given.get('KIT_GATEWAY_PORT', '')}",
        }
        ports = container.get("ports", [])
        if not ports:
            yield f"{workload.name} declares no port"
        for port in ports:
            if where.get(port["name"]) != f"0.0.0.0:{port['containerPort']}":
                yield f"{workload.name}: declares {port['containerPort']} and listens at {where.get(port['name'])}"
        if given.get("KIT_REGISTER") != "0":
            yield f"{workload.name}: KIT_REGISTER is not 0"


CHECKS: tuple[Callable[[list[Manifest]], Iterator[str]], ...] = (
    namespaces,
    selectors,
    services,
    accounts,
    budgets,
    volumes,
    addresses,
    listeners,
)
