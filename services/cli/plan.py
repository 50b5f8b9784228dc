"""What `loganalyzer up` starts, and with which environment. Decides only; `up` acts."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import kit
import kitapi.v1
import loganalyzer.search.v1
import services

HOST = "127.0.0.1"
#: In the order in which they are listed; all are started at once.
SERVICES = ("workspace", "cache", "search", "importer")
GATEWAY = "gateway"
EVERYTHING = (*SERVICES, GATEWAY)

# What the user's shell may hold for services started by hand would lead these children astray.
_NOT_PASSED_ON = (
    *("KIT_LISTEN", "KIT_HEALTH_LISTEN", "KIT_METRICS_LISTEN", "KIT_REGISTER"),
    *("KIT_PARENT_FD", "KIT_WORKERS"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """One run of everything on this machine."""

    data_dir: Path
    #: The gateway's port; not 0.
    port: int
    #: Where spans are sent (OTLP), or None.
    otlp: str | None = None

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def log_dir(self) -> Path:
        return self.data_dir / "logs"

    @property
    def registry_dir(self) -> Path:
        return self.data_dir / "run" / "registry"

    @property
    def children_file(self) -> Path:
        """Process ids of the children; see `leftovers`."""
        return self.data_dir / "run" / "children.json"

    def log_file(self, name: str) -> Path:
        return self.log_dir / f"{name}.log"


def command(name: str) -> list[str]:
    """How one of EVERYTHING is started. -P: a file in the current folder must not be taken for a module."""
    return [sys.executable, "-P", "-m", name if name == GATEWAY else f"services.{name}"]


def environment(plan: Plan, base: Mapping[str, str]) -> dict[str, str]:
    """The children's environment: `base`, what the plan says, and a PYTHONPATH that finds this very code."""
    kept = {
        key: value for key, value in base.items() if key not in _NOT_PASSED_ON and not key.startswith("KIT_TARGET_")
    }
    kept |= {
        "KIT_DATA_DIR": str(plan.data_dir),
        "KIT_GATEWAY_HOST": HOST,
        "KIT_GATEWAY_PORT": str(plan.port),
        # On loopback whatever the user can read may be imported, unless the user has said otherwise.
        "KIT_IMPORT_ROOTS": base.get("KIT_IMPORT_ROOTS", "*"),
    }
    if plan.otlp is not None:
        kept["OTEL_EXPORTER_OTLP_ENDPOINT"] = plan.otlp
    if path := python_path(base.get("PYTHONPATH", ""), code_roots(), installed_roots()):
        kept["PYTHONPATH"] = path
    return kept


def python_path(inherited: str, roots: Iterable[str], installed: frozenset[str]) -> str:
    """PYTHONPATH with `roots` in front, but for those that every interpreter of this installation has anyway."""
    old = [os.path.abspath(entry) for entry in inherited.split(os.pathsep) if entry]
    wanted = [root for root in roots if root not in installed]
    return os.pathsep.join(dict.fromkeys([*wanted, *old]))


def code_roots() -> list[str]:
    """Folders that hold the packages that the children import."""
    found = [Path(next(iter(package.__path__))) for package in (kit, services)]
    generated = [Path(next(iter(package.__path__))).parents[1] for package in (kitapi.v1, loganalyzer.search.v1)]
    return list(dict.fromkeys(str(path.resolve()) for path in (*(path.parent for path in found), *(generated))))


def installed_roots() -> frozenset[str]:
    """Where packages are installed."""
    paths = sysconfig.get_paths()
    return frozenset(str(Path(paths[key]).resolve()) for key in ("purelib", "platlib"))
