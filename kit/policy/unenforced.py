"""What a policy can say and nothing enforces yet, and what to do instead.

A policy that says it is refused when it is loaded, in whatever source it stands: a limit or a right that is written
down and not kept is worse than none. The dataclasses have no field for any of it.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping

__all__ = ["INSTEAD", "reason"]

#: By dotted field; a group speaks for all of its fields.
INSTEAD: Mapping[str, str] = {
    "cache": "remove it, and keep answers where the call is made",
    "coalesce": "remove it, and call the batch method itself",
}


def reason(field: str, known: Collection[str] = ()) -> str:
    """Why `field` (dotted) is refused, and what to do. `known` are the fields that it may be a misspelling of."""
    for name in (field, field.partition(".")[0]):
        if name in INSTEAD:
            return f"no layer enforces this; {INSTEAD[name]}"
    near = difflib.get_close_matches(field, known, n=1)
    return f"no field has this name, or it is misspelt{f'; did you mean {near[0]}?' if near else ''}"
