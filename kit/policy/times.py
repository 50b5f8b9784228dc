"""Times as they are written in TOML files."""

from __future__ import annotations

import re

__all__ = ["A_TIME", "seconds_of"]

#: What is expected, for messages.
A_TIME = 'a number of seconds, or a time such as "500ms", "1.5s", "2m" or "1h"'

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_TIME = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")


def seconds_of(value: object) -> float | None:
    """Seconds; None for what is no time. A number counts as it is, `inf` and negative ones too."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    return None if found is None else float(found[1]) * _UNITS[found[2]]
