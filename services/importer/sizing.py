"""How many worker processes this machine, or container, has room for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

#: What a worker takes at its most, measured, with room to spare.
WORKER_BYTES = 150 << 20
#: Share of the free memory that workers may take: search, the page cache and others live there too.
_SHARE = 0.5
_MOST = 32


def worker_count(*, cores: int | None = None, available: int | None = None) -> int:
    """Worker processes for this many cores and free bytes; None is what this process may use. At least 1."""
    cores = usable_cores() if cores is None else cores
    available = available_memory() if available is None else available
    return max(1, min(cores, int(available * _SHARE) // WORKER_BYTES, _MOST))


def usable_cores(root: Path = Path("/")) -> int:
    """Cores that the process may use: its affinity, and the quota of its control groups (v2)."""
    count = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    for group in _groups(root):
        quota, _, period = _text(group / "cpu.max").partition(" ")
        if quota.isdigit() and period.strip().isdigit() and int(period):
            count = min(count, int(quota) / int(period))
    return max(1, int(count + 0.5))


def available_memory(root: Path = Path("/")) -> int:
    """Bytes that can be had without swapping: of the machine, and below the limits of the control groups (v2)."""
    free = _machine(root)
    for group in _groups(root):
        limit, used = _text(group / "memory.max"), _text(group / "memory.current")
        if limit.isdigit() and used.isdigit():
            cached = next(
                (line.split()[1] for line in _lines(group / "memory.stat") if line.startswith("inactive_file ")), "0"
            )
            free = min(free, max(0, int(limit) - int(used) + int(cached)))
    return free


def _machine(root: Path) -> int:
    for line in _lines(root / "proc/meminfo"):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (ValueError, OSError):
        return 4 << 30


def _groups(root: Path) -> Iterator[Path]:
    """The process's control group and those above it."""
    top = root / "sys/fs/cgroup"
    path = next((line[3:] for line in _lines(root / "proc/self/cgroup") if line.startswith("0::")), "")
    group = top / path.lstrip("/")
    while group != top and top in group.parents:
        yield group
        group = group.parent
    yield top


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _lines(path: Path) -> list[str]:
    return _text(path).splitlines()
