"""Reading rendered manifests: objects by kind, pods of workloads, selectors, environment. No check lives here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

Manifest = dict[str, Any]
"""One Kubernetes object as YAML gives it."""

WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """What makes pods: the object and the parts of it that nearly every check asks for."""

    manifest: Manifest

    @property
    def name(self) -> str:
        return f"{self.manifest['kind']}/{self.manifest['metadata']['name']}"

    @property
    def spec(self) -> Manifest:
        spec: Manifest = self.manifest["spec"]
        return spec

    @property
    def replicas(self) -> int:
        return int(self.spec.get("replicas", 1))

    @property
    def pod(self) -> Manifest:
        pod: Manifest = self.spec["template"]["spec"]
        return pod

    @property
    def labels(self) -> dict[str, str]:
        """The labels of its pods."""
        return dict(self.spec["template"]["metadata"].get("labels", {}))

    @property
    def containers(self) -> list[Manifest]:
        """Init containers too: a check that holds for one holds for all."""
        return [*self.pod.get("initContainers", []), *self.pod["containers"]]

    def port(self, wanted: int | str) -> int | None:
        """The number of a declared container port, by number or by name; None when no container declares it."""
        for container in self.containers:
            for port in container.get("ports", []):
                if wanted in (port["containerPort"], port.get("name")):
                    return int(port["containerPort"])
        return None


def of_kind(objects: Iterable[Manifest], *kinds: str) -> list[Manifest]:
    return [one for one in objects if one["kind"] in kinds]


def named(objects: Iterable[Manifest], kind: str, name: str) -> Manifest | None:
    return next((one for one in of_kind(objects, kind) if one["metadata"]["name"] == name), None)


def workloads(objects: Iterable[Manifest]) -> list[Workload]:
    return [Workload(manifest=one) for one in of_kind(objects, *WORKLOADS)]


def containers(objects: Iterable[Manifest]) -> Iterator[tuple[Workload, Manifest]]:
    for workload in workloads(objects):
        for container in workload.containers:
            yield workload, container


def matches(selector: Manifest, labels: dict[str, str]) -> bool:
    """Whether a label selector ({"matchLabels", "matchExpressions"}) takes these labels. An empty one takes all."""
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for expression in selector.get("matchExpressions", []):
        value, values = labels.get(expression["key"]), expression.get("values", [])
        holds = {
            "In": value is not None and value in values,
            "NotIn": value is None or value not in values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }[expression["operator"]]
        if not holds:
            return False
    return True


def environment(objects: Iterable[Manifest], container: Manifest) -> dict[str, str]:
    """What a container's environment will be, as far as it is written down: ConfigMaps of `envFrom`, then `env`.

    Raises LookupError when a ConfigMap is missing."""
    found: dict[str, str] = {}
    objects = list(objects)
    for source in container.get("envFrom", []):
        reference = source.get("configMapRef")
        if reference is None:
            continue
        config = named(objects, "ConfigMap", reference["name"])
        if config is None:
            raise LookupError(f"ConfigMap {reference['name']} is not among the manifests")
        found.update(config.get("data", {}))
    found.update({one["name"]: one["value"] for one in container.get("env", []) if "value" in one})
    return found


def is_ours(container: Manifest) -> bool:
    """A process of this project, not a third party's image."""
    return str(container["image"]).startswith("grpc-service-kit/")
