"""The plan of a query as text. Pure."""

from __future__ import annotations

from typing import Any

from services.cli import render


def lines(plan: dict[str, Any]) -> list[str]:
    """The normal form, what would be looked at, and the steps."""
    splits, pruned = int(plan.get("splits", 0)), int(plan.get("splitsPruned", 0))
    candidates, total = int(plan.get("candidateLines", 0)), int(plan.get("lines", 0))
    how = "each is read to know that it matches" if plan.get("readsLines") else "the index alone tells them"
    found = [
        f"query    {render.printable(str(plan.get('normalForm', ''))) or '(every line)'}",
        f"splits   {splits - pruned:,} of {splits:,}" + (f" (their times rule out {pruned:,})" if pruned else ""),
        f"lines    {candidates:,} of {total:,} may match; {how}",
    ]
    steps = plan.get("steps") or []
    if steps:
        rows: list[tuple[str, ...]] = [("PART", "FOUND BY", "LINES")]
        rows += [
            (
                render.printable(str(step.get("part", ""))),
                str(step.get("method", "")),
                f"{int(step.get('estimate', -1)):,}" if int(step.get("estimate", -1)) >= 0 else "?",
            )
            for step in steps
        ]
        found += ["", *render.table(rows)]
    return found
