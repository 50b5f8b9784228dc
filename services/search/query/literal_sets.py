"""Which strings stand in what a pattern matches: small sets of them, and how they are put together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["ANYTHING", "EMPTY", "GAP", "MOST", "Found", "either", "exactly", "repeated", "row"]

#: Stands in a string for a character that may also be another one.
GAP = "\ufffe"
#: Strings that are followed at once, and alternatives of one clause.
MOST = 16
_LONGEST = 512


@dataclass(frozen=True, slots=True)
class Found:
    """`exact`: the only texts that it matches, None where there are too many.

    `clauses`: in each match stands one string of each.
    """

    exact: tuple[str, ...] | None
    clauses: tuple[tuple[str, ...], ...] = ()


EMPTY = Found(("",))
ANYTHING = Found(None)


def exactly(texts: Iterable[str]) -> Found:
    unique = tuple(dict.fromkeys(texts))
    return Found(unique) if len(unique) <= MOST and max(map(len, unique), default=0) <= _LONGEST else ANYTHING


def row(parts: Sequence[Found]) -> Found:
    clauses: list[tuple[str, ...]] = []
    ends: tuple[str, ...] = ("",)
    whole = True
    for part in parts:
        clauses += part.clauses
        if part.exact is not None:
            joined = exactly(end + text for end in ends for text in part.exact)
            if joined.exact is not None:
                ends = joined.exact
                continue
        if any(ends):
            clauses.append(ends)
        whole, ends = False, part.exact or ("",)
    if whole:
        return Found(ends, tuple(clauses))
    return Found(None, (*clauses, ends) if any(ends) else tuple(clauses))


def either(parts: Sequence[Found]) -> Found:
    exacts = [part.exact for part in parts]
    if all(exact is not None for exact in exacts):
        joined = exactly(text for exact in exacts for text in exact or ())
        if joined.exact is not None:
            return joined
    together: list[str] = []
    for part in parts:
        choices: list[tuple[str, ...]] = [part.exact] if part.exact is not None else list(part.clauses)
        if not choices:
            return ANYTHING
        best: tuple[str, ...] = max(choices, key=_worth)
        together += best
    return Found(None, (tuple(dict.fromkeys(together)),))


def _worth(clause: tuple[str, ...]) -> tuple[int, int]:
    return min(max(map(len, text.split(GAP))) for text in clause), -len(clause)


def repeated(part: Found, least: int, most: int | None) -> Found:
    if (least, most) == (1, 1):
        return part
    if most == 0:
        return EMPTY
    if least == 0:
        return exactly(["", *part.exact]) if most == 1 and part.exact is not None else ANYTHING
    # At least once, at whatever place of the match.
    exact = (part.exact,) if part.exact is not None else ()
    return Found(None, (*part.clauses, *exact))
