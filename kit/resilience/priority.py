"""What is shed first under overload."""

from __future__ import annotations

import enum

__all__ = ["Priority"]


class Priority(enum.IntEnum):
    """How much a call matters. The smaller number matters more; the values are those of kitapi.v1.Priority.Level."""

    CRITICAL = 1
    DEFAULT = 2
    SHEDDABLE = 3
