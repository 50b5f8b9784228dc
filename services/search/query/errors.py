"""The one error of the query language."""

from __future__ import annotations

import re

__all__ = ["QuerySyntaxError"]


class QuerySyntaxError(ValueError):
    """The text is no query. `position` counts characters from 0; `expected` says what should stand there.

    The message is a sentence and, below it, the line with a caret under the place. `reason` follows the place.
    """

    def __init__(self, text: str, position: int, expected: str, reason: str = "") -> None:
        super().__init__(f"{expected} at character {position + 1}{reason}\n{_excerpt(text, position)}")
        self.position = position
        self.expected = expected


def _excerpt(text: str, position: int) -> str:
    """The part of the text around the place, and a caret below it."""
    first, last = max(0, position - 60), position + 20
    shown = re.sub(r"\s", " ", text[first:last])
    return f"{shown}\n{' ' * (position - first)}^"
