"""Rendering by kubectl, once for each folder and session."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import yaml

from tests.unit.k8s.manifests import Manifest

K8S = Path(__file__).parents[3] / "k8s"
OLDEST = (1, 27)
"""The first kubectl with kustomize 5. It only renders: the version of the cluster is another matter."""


def _missing() -> str | None:
    """Why kubectl cannot be used; None when it can."""
    needed = f"kubectl {OLDEST[0]}.{OLDEST[1]} or newer is a prerequisite of the manifests' tests"
    if shutil.which("kubectl") is None:
        return f"{needed}: none is on the PATH"
    answer = subprocess.run(
        ["kubectl", "version", "--client", "--output=json"], capture_output=True, text=True, timeout=30, check=False
    )
    found = re.match(r"v(\d+)\.(\d+)", json.loads(answer.stdout or "{}").get("clientVersion", {}).get("gitVersion", ""))
    if found is None:
        return f"{needed}: this one does not tell its version"
    if (int(found[1]), int(found[2])) < OLDEST:
        return f"{needed}: this one is {found[0]}"
    return None


@pytest.fixture(scope="session")
def render() -> Callable[[str], list[Manifest]]:
    """render("base") gives the objects of that folder under k8s/, a fresh copy each time: a test may break them."""
    reason = _missing()
    if reason is not None:
        pytest.skip(reason)

    @cache
    def run(folder: str) -> list[Manifest]:
        answer = subprocess.run(
            ["kubectl", "kustomize", str(K8S / folder)], capture_output=True, text=True, timeout=60, check=False
        )
        assert answer.returncode == 0, answer.stderr
        assert answer.stderr == "", "kustomize warns of something, as of a field that is deprecated"
        return [one for one in yaml.safe_load_all(answer.stdout) if one is not None]

    return lambda folder: copy.deepcopy(run(folder))
