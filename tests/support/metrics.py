"""What has been counted, for tests that count what happens meanwhile."""

from __future__ import annotations

from kit.observe import metrics


def counted(name: str) -> dict[tuple[str, ...], float]:
    """The values of a counter of this process by the values of its labels."""
    families = [family for family in metrics.snapshot()["families"] if family["name"] == name]
    return {tuple(one["labels"].values()): one["value"] for family in families for one in family["series"]}
