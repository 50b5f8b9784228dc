"""What each pod must be by itself: image, rights, probes, resources, spread, termination.

In the spirit of kube-linter. Each check yields its findings as sentences that name the object; none: all is well."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from tests.unit.k8s.manifests import Manifest, Workload, containers, environment, is_ours, matches, workloads

HOSTNAME = "kubernetes.io/hostname"
GRPC_PROBES = {"startupProbe": "startup", "livenessProbe": "liveness", "readinessProbe": "readiness"}
HTTP_PROBES = {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
STOP_HOOKS = 5
"""Seconds that closing a database and stopping workers may take after the last call ended."""
_SECRET = re.compile(r"PASSWORD|PASSWD|SECRET|TOKEN|CREDENTIAL|API_?KEY|PRIVATE_?KEY", re.IGNORECASE)
_TAG = re.compile(r":(?P<tag>[\w][\w.-]*)(@sha256:[0-9a-f]{64})?$|@sha256:[0-9a-f]{64}$")


def image_tags(objects: list[Manifest]) -> Iterator[str]:
    for workload, container in containers(objects):
        found = _TAG.search(container["image"].rsplit("/", 1)[-1])
        if found is None:
            yield f"{workload.name}: image {container['image']} has no tag"
        elif found["tag"] == "latest":
            yield f"{workload.name}: image {container['image']} means another thing every day"


def rights(objects: list[Manifest]) -> Iterator[str]:
    """The restricted Pod Security Standard, and a root file system that cannot be written to."""
    for workload in workloads(objects):
        pod, outer = workload.pod, workload.pod.get("securityContext", {})
        for flag in ("hostNetwork", "hostPID", "hostIPC"):
            if pod.get(flag):
                yield f"{workload.name}: {flag}"
        yield from (
            f"{workload.name}: hostPath volume {one['name']}" for one in pod.get("volumes", []) if "hostPath" in one
        )
        for container in workload.containers:
            inner = container.get("securityContext", {})
            both = {**outer, **inner}
            expected = {
                "does not say runAsNonRoot": both.get("runAsNonRoot") is True,
                "runs as user 0 or one that only the image knows": both.get("runAsUser", 0) != 0,
                "has no seccomp profile RuntimeDefault": both.get("seccompProfile", {}).get("type") == "RuntimeDefault",
                "may escalate its privileges": inner.get("allowPrivilegeEscalation") is False,
                "is privileged": not inner.get("privileged", False),
                "keeps capabilities": inner.get("capabilities", {}).get("drop") == ["ALL"],
                "adds capabilities": not inner.get("capabilities", {}).get("add"),
                "has a writable root file system": inner.get("readOnlyRootFilesystem") is True,
            }
            yield from (f"{workload.name}: {container['name']} {said}" for said, well in expected.items() if not well)
            if not any(one["mountPath"] == "/tmp" for one in container.get("volumeMounts", [])):
                yield f"{workload.name}: {container['name']} has nowhere to write temporary files"


def secrets(objects: list[Manifest]) -> Iterator[str]:
    for workload, container in containers(objects):
        yield from (
            f"{workload.name}: {key} holds a secret in the open"
            for key in environment(objects, container)
            if _SECRET.search(key)
        )


def probes(objects: list[Manifest]) -> Iterator[str]:
    for workload in workloads(objects):
        for container in workload.pod["containers"]:
            for kind, service in GRPC_PROBES.items():
                probe = container.get(kind)
                if probe is None:
                    yield f"{workload.name}: {container['name']} has no {kind}"
                elif "grpc" in probe:
                    if probe["grpc"].get("service") != service:
                        yield f"{workload.name}: {kind} asks for {probe['grpc'].get('service')!r}, not {service!r}"
                    if workload.port(port := probe["grpc"]["port"]) is None:
                        yield f"{workload.name}: {kind} asks at port {port}, which no container declares"
                elif "httpGet" in probe:
                    if workload.port(port := probe["httpGet"]["port"]) is None:
                        yield f"{workload.name}: {kind} asks at port {port}, which no container declares"
                    if is_ours(container) and probe["httpGet"]["path"] != HTTP_PROBES[kind]:
                        yield f"{workload.name}: {kind} asks for {probe['httpGet']['path']}, not {HTTP_PROBES[kind]}"
                else:
                    yield f"{workload.name}: {kind} is neither gRPC's nor HTTP's"


def resources(objects: list[Manifest]) -> Iterator[str]:
    for workload, container in containers(objects):
        given = container.get("resources", {})
        wanted = {("requests", "cpu"), ("requests", "memory"), ("limits", "memory")}
        yield from (
            f"{workload.name}: no {kind} of {what}" for kind, what in sorted(wanted) if what not in given.get(kind, {})
        )
        for volume in workload.pod.get("volumes", []):
            if "emptyDir" in volume and "sizeLimit" not in (volume["emptyDir"] or {}):
                yield f"{workload.name}: volume {volume['name']} may fill the node"


def spread(objects: list[Manifest]) -> Iterator[str]:
    """Replicas do not stand on one node by default."""
    for workload in workloads(objects):
        if workload.replicas < 2:
            continue
        anti = workload.pod.get("affinity", {}).get("podAntiAffinity", {})
        terms = [
            *anti.get("requiredDuringSchedulingIgnoredDuringExecution", []),
            *(one["podAffinityTerm"] for one in anti.get("preferredDuringSchedulingIgnoredDuringExecution", [])),
        ]
        if not any(one["topologyKey"] == HOSTNAME and _own(one, workload) for one in terms):
            yield f"{workload.name}: {workload.replicas} replicas without anti-affinity between nodes"
        if not any(_own(one, workload) for one in workload.pod.get("topologySpreadConstraints", [])):
            yield f"{workload.name}: {workload.replicas} replicas without a topology spread"


def _own(term: Manifest, workload: Workload) -> bool:
    return "labelSelector" in term and matches(term["labelSelector"], workload.labels)


def termination(objects: list[Manifest]) -> Iterator[str]:
    """The kubelet waits longer than the drain, the calls under way and the closing of files take together."""
    for workload, container in containers(objects):
        given = environment(objects, container)
        if not is_ours(container):
            continue
        missing = {"KIT_DRAIN_DELAY", "KIT_GRACE"} - given.keys()
        if missing:
            yield f"{workload.name}: {', '.join(sorted(missing))} not set"
            continue
        hook = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        drain = hook + float(given["KIT_DRAIN_DELAY"])
        needed = drain + float(given["KIT_GRACE"]) + STOP_HOOKS
        allowed = workload.pod.get("terminationGracePeriodSeconds", 30)
        if not 5 <= drain <= 15:
            yield f"{workload.name}: {drain:g} s pass before calls are refused; endpoints take 5 to 15 s to go"
        if needed > allowed:
            yield f"{workload.name}: stopping takes up to {needed:g} s, killed after {allowed} s"


CHECKS: tuple[Callable[[list[Manifest]], Iterator[str]], ...] = (
    image_tags,
    rights,
    secrets,
    probes,
    resources,
    spread,
    termination,
)
