"""Widths of histogram bars that a person would choose."""

from __future__ import annotations

__all__ = ["Bars", "bars_for"]

from dataclasses import dataclass

_MS = 1_000
_S = 1_000 * _MS
_M = 60 * _S
_H = 60 * _M
_D = 24 * _H
_WIDTHS = (
    *(step * _MS for step in (1, 2, 5, 10, 20, 50, 100, 200, 500)),
    *(step * _S for step in (1, 2, 5, 10, 15, 30)),
    *(step * _M for step in (1, 2, 5, 10, 15, 30)),
    *(step * _H for step in (1, 2, 3, 6, 12)),
    *(step * _D for step in (1, 2, 7, 14, 30, 90, 365)),
)


@dataclass(frozen=True, slots=True)
class Bars:
    """`count` bars of `width` microseconds each; `start` is a multiple of the width."""

    start: int
    width: int
    count: int


def bars_for(low: int, high: int, wanted: int) -> Bars:
    """The narrowest natural bars that cover [low, high), `low` < `high`, with at most `wanted` of them, or two.

    Two, because a range that is no wider than a bar may still lie across the border of two.
    """
    years = 365 * _D
    widths = [*_WIDTHS, *(years * 10**power * step for power in range(8) for step in (2, 5, 10))]
    for width in widths:
        start = low // width * width
        count = -(-(high - start) // width)
        if count <= max(wanted, 2):
            break
    return Bars(start, width, count)
