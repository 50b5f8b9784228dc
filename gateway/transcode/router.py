"""Finds the route of a path: static paths in a dict, the rest in a trie of segments.

Paths are matched as they were sent, percent escapes included, so that an escaped slash never parts two segments. Only
escapes of characters that need none (letters, digits, "-._~") are undone first; they mean the same by RFC 3986.
A literal segment wins over "*", "*" over "**"; a verb counts only where some template ends in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from urllib.parse import unquote_to_bytes

from gateway.transcode.template import Template

__all__ = ["Found", "Router", "decode"]

R = TypeVar("R")

_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_MALFORMED = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPED_SLASH = re.compile(r"(%2[Ff])")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


@dataclass(frozen=True, slots=True)
class Found(Generic[R]):
    """What a path led to: a route and its path's segments, or only the verbs that the path would have taken."""

    route: R | None
    segments: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()


@dataclass(slots=True)
class _Leaf(Generic[R]):
    methods: dict[str, R] = field(default_factory=dict)


@dataclass(slots=True)
class _Node(Generic[R]):
    literals: dict[str, _Node[R]] = field(default_factory=dict)
    star: _Node[R] | None = None
    #: By verb: templates that end here, and templates that go on with "**".
    ends: dict[str, _Leaf[R]] = field(default_factory=dict)
    rests: dict[str, _Leaf[R]] = field(default_factory=dict)


class Router(Generic[R]):
    """Routes by HTTP method and template."""

    def __init__(self) -> None:
        self._static: dict[str, tuple[_Leaf[R], tuple[str, ...]]] = {}
        self._root: _Node[R] = _Node()
        self._verbs: set[str] = set()

    def add(self, method: str, template: Template, route: R) -> R | None:
        """Adds a route; where another one matches the same, changes nothing and returns that one."""
        leaf = self._leaf(template)
        if method in leaf.methods:
            return leaf.methods[method]
        leaf.methods[method] = route
        if template.verb:
            self._verbs.add(template.verb)
        if (path := template.static_path) is not None:
            self._static[path] = (leaf, template.segments)
        return None

    def find(self, method: str, raw_path: str) -> Found[R]:
        """The route of a request. `raw_path` is the path as it was sent, without the query."""
        path = _normal(raw_path) if "%" in raw_path else raw_path
        static = self._static.get(path)
        if static is not None and (route := static[0].methods.get(method)) is not None:
            return Found(route, static[1])
        if not path.startswith("/"):
            return Found(None)
        segments = tuple(path[1:].split("/"))
        allowed: list[str] = []
        for candidate, verb in self._readings(segments):
            for leaf in _walk(self._root, candidate, 0, verb):
                if (route := leaf.methods.get(method)) is not None:
                    return Found(route, candidate)
                allowed += leaf.methods
            if allowed:
                break
        return Found(None, allowed=tuple(dict.fromkeys(allowed)))

    def _readings(self, segments: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
        head, colon, verb = segments[-1].rpartition(":")
        if colon and head and verb in self._verbs:
            yield (*segments[:-1], head), verb
        yield segments, ""

    def _leaf(self, template: Template) -> _Leaf[R]:
        node = self._root
        for segment in template.segments:
            if segment == "**":
                return node.rests.setdefault(template.verb, _Leaf())
            if segment == "*":
                node.star = node.star if node.star is not None else _Node()
                node = node.star
            else:
                node = node.literals.setdefault(segment, _Node())
        return node.ends.setdefault(template.verb, _Leaf())


def _walk(node: _Node[R], segments: tuple[str, ...], index: int, verb: str) -> Iterator[_Leaf[R]]:
    """Every leaf that the segments lead to, the most particular one first."""
    if index == len(segments):
        if verb in node.ends:
            yield node.ends[verb]
    else:
        segment = segments[index]
        if (literal := node.literals.get(segment)) is not None:
            yield from _walk(literal, segments, index + 1, verb)
        if node.star is not None and segment:
            yield from _walk(node.star, segments, index + 1, verb)
    if verb in node.rests and all(segments[index:]):
        yield node.rests[verb]


def _normal(path: str) -> str:
    def plain(match: re.Match[str]) -> str:
        char = chr(int(match[1], 16))
        return char if char in _UNRESERVED else match[0]

    return _ESCAPE.sub(plain, path)


def decode(raw: str, *, keep_slashes: bool) -> str:
    """Undoes percent escapes; with `keep_slashes` all but %2F. ValueError for what is no escape or no UTF-8."""
    if "%" not in raw:
        return raw
    if _MALFORMED.search(raw):
        raise ValueError("has a '%' that is not followed by two hexadecimal digits")
    pieces = _ESCAPED_SLASH.split(raw) if keep_slashes else [raw]
    try:
        # Every second piece is an escaped slash, which stays.
        return "".join(
            piece if keep_slashes and index % 2 else unquote_to_bytes(piece).decode()
            for index, piece in enumerate(pieces)
        )
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 after its percent escapes are undone") from None
