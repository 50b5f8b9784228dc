"""Lengths of time and sizes as people write them: 15m, 30d, 50GB."""

from __future__ import annotations

import re

_SPAN = re.compile(r"(\d{1,9})\s*(s|m|h|d|w)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s*([kmgt]?)(i?)b?", re.IGNORECASE)
_POWERS = " kmgt"


def seconds_of(text: str) -> int:
    """Seconds in 30s, 15m, 2h, 3d or 1w. ValueError for anything else."""
    found = _SPAN.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no length of time: give 30s, 15m, 2h, 3d or 1w")
    return int(found[1]) * _SECONDS[found[2]]


def bytes_of(text: str) -> int:
    """Bytes in 500MB, 1.5GB or 10GiB; a number alone is bytes. ValueError for anything else."""
    found = _SIZE.fullmatch(text.strip())
    if found is None or (found[3] and not found[2]):
        raise ValueError(f"{text!r} is no size: give 500MB, 50GB or 10GiB")
    base = 1024 if found[3] else 1000
    power: int = base ** _POWERS.index(found[2].lower() or " ")
    return round(float(found[1]) * power)


def span(seconds: float) -> str:
    """A length of time in the two units that suit it: 4 s, 2 min 5 s, 3 h 20 min, 30 d."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    for unit, size, smaller, part in (("min", 60, "s", 1), ("h", 3600, "min", 60), ("d", 86_400, "h", 3600)):
        if whole < size * (60 if unit == "min" else 24) or unit == "d":
            rest = whole % size // part
            return f"{whole // size} {unit}" + (f" {rest} {smaller}" if rest else "")
    raise AssertionError("days take everything")
