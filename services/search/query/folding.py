"""Texts compared without case: letters and digits by the folding that terms have, anything else as it is.

RE2's own folding takes a few more for equal: letters in circles, three pairs of Greek letters and of ligatures, and the
iota below (a mark, so no part of a term) for iota. Where a term cannot follow it the characters stand in `UNSURE`.
"""

from __future__ import annotations

import re

from services.search.index.terms import canonical

__all__ = ["UNSURE", "fold_text", "written_runs"]

# Letters and digits: the same characters as categories L* and N*.
_RUN = re.compile(r"[^\W_]+")

#: Characters that RE2 takes, without case, for others that are not the same in terms.
UNSURE = frozenset("\u0345\u0390\u0399\u03b0\u03b9\u1fbe\u1fd3\u1fe3\ufb05\ufb06")


class _Folding(dict[int, str]):
    """For str.translate: a character -> its folded self."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        folded = canonical(char)
        # Separators beyond ASCII are spaces in a canonical form.
        self[code] = value = char if folded == " " else folded
        return value


_FOLDING = _Folding()


def fold_text(text: str) -> str:
    """`text` without case; each character stays one."""
    return text.lower() if text.isascii() else text.translate(_FOLDING)


def written_runs(text: str) -> list[str]:
    """The terms of a text as they are written."""
    return _RUN.findall(text)
