"""What NetworkPolicies let through, computed as a cluster's network does it, and compared with who calls whom."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.unit.k8s.manifests import Manifest, Workload, environment, is_ours, matches, of_kind, workloads

CALLS: dict[str, set[str]] = {
    "gateway": {"search", "importer", "workspace", "cache"},
    "search": {"workspace", "cache"},
    "importer": {"workspace", "search"},
    "workspace": {"importer", "search"},
    "cache": set(),
}
"""Every call between our processes, caller first."""
GRPC, HTTP, DNS, OTLP = 50051, 8080, 53, 4317


def default_deny(objects: list[Manifest]) -> Iterator[str]:
    """One policy closes both directions for every pod, so that a new pod starts with nothing."""
    for policy in of_kind(objects, "NetworkPolicy"):
        spec = policy["spec"]
        for_all = spec["podSelector"] == {} and sorted(spec.get("policyTypes", [])) == ["Egress", "Ingress"]
        if for_all and not spec.get("ingress") and not spec.get("egress"):
            return
    yield "no policy denies all that is not allowed"


def paths(objects: list[Manifest]) -> Iterator[str]:
    """The calls in CALLS get through, and between our processes nothing else does."""
    ours = {_label(one): one for one in workloads(objects) if is_ours(one.containers[0])}
    for name in CALLS.keys() - ours.keys():
        yield f"no workload {name}"
    for caller in CALLS.keys() & ours.keys():
        for called in CALLS.keys() & ours.keys() - {caller}:
            port = HTTP if called == "gateway" else GRPC
            through = _sends(objects, ours[caller], ours[called], port) and _takes(
                objects, ours[called], ours[caller], port
            )
            if through != (called in CALLS[caller]):
                yield f"{caller} {'may' if through else 'may not'} call {called}"


def outside(objects: list[Manifest]) -> Iterator[str]:
    """Names resolve; only the gateway takes requests from any namespace; spans reach their collector."""
    makers = workloads(objects)
    for workload in makers:
        if not _resolves(objects, workload):
            yield f"{workload.name} cannot resolve names"
        for port in (GRPC, HTTP):
            open_to_all = any(
                "namespaceSelector" in peer and peer["namespaceSelector"] == {} and "podSelector" not in peer
                for rule in _rules(objects, workload, "ingress")
                for peer in rule.get("from", [{"namespaceSelector": {}}])
                if _port(rule, port)
            )
            if open_to_all != (_label(workload) == "gateway" and port == HTTP):
                yield f"{workload.name}: port {port} is {'' if open_to_all else 'not '}open to other namespaces"
        if "OTEL_EXPORTER_OTLP_ENDPOINT" in environment(objects, workload.containers[0]):
            collectors = [one for one in makers if one.port(OTLP) is not None]
            if not any(
                _sends(objects, workload, one, OTLP) and _takes(objects, one, workload, OTLP) for one in collectors
            ):
                yield f"{workload.name} cannot send its spans"


def _label(workload: Workload) -> str:
    return workload.labels["app.kubernetes.io/name"]


def _rules(objects: list[Manifest], workload: Workload, direction: str) -> list[Manifest]:
    """All rules of one direction that hold for a workload's pods. They add up; there is no rule that takes away."""
    return [
        rule
        for policy in of_kind(objects, "NetworkPolicy")
        if matches(policy["spec"]["podSelector"], workload.labels)
        for rule in policy["spec"].get(direction, [])
    ]


def _port(rule: Manifest, port: int, protocol: str = "TCP") -> bool:
    ports = rule.get("ports", [])
    return not ports or any(one.get("port", port) == port and one.get("protocol", "TCP") == protocol for one in ports)


def _peer(rule: Manifest, key: str, other: Workload) -> bool:
    """Whether a rule names a pod of our own namespace: by its labels, by naming every namespace or nobody."""
    peers = rule.get(key, [])
    return not peers or any(
        "ipBlock" not in peer
        and matches(peer.get("podSelector", {}), other.labels)
        and peer.get("namespaceSelector", {}) == {}
        for peer in peers
    )


def _sends(objects: list[Manifest], caller: Workload, called: Workload, port: int) -> bool:
    return any(_port(rule, port) and _peer(rule, "to", called) for rule in _rules(objects, caller, "egress"))


def _takes(objects: list[Manifest], called: Workload, caller: Workload, port: int) -> bool:
    return any(_port(rule, port) and _peer(rule, "from", caller) for rule in _rules(objects, called, "ingress"))


def _resolves(objects: list[Manifest], workload: Workload) -> bool:
    system = {"kubernetes.io/metadata.name": "kube-system"}
    return all(
        any(
            _port(rule, DNS, protocol)
            and any(
                "namespaceSelector" in peer and matches(peer["namespaceSelector"], system)
                for peer in rule.get("to", [])
            )
            for rule in _rules(objects, workload, "egress")
        )
        for protocol in ("UDP", "TCP")
    )


CHECKS: tuple[Callable[[list[Manifest]], Iterator[str]], ...] = (default_deny, paths, outside)
