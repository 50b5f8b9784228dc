"""Errors that mean that a disk is full."""

from __future__ import annotations

import errno

# Of a disk, a quota or a file that cannot hold more.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def is_full(error: BaseException) -> bool:
    """Whether there was no room for what was written. The search engine tells it in the text of its errors."""
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    return any(f"(os error {number})" in str(error) for number in _FULL)
