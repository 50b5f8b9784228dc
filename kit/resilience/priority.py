"""What is shed first under overload.

Theory of operation. A call has one of three priorities. Whoever has to refuse some of many refuses the sheddable ones
first and the critical ones last; a call that is made while another is served matters no more than that one.
"""

from __future__ import annotations

import enum

__all__ = ["Priority"]


class Priority(enum.IntEnum):
    """How much a call matters. The smaller number matters more; the values are those of kitapi.v1.Priority.Level."""

    CRITICAL = 1
    DEFAULT = 2
    SHEDDABLE = 3
