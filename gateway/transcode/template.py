"""Path templates of google.api.http: "/v1/{name=workspaces/*/logs/*}:context"."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Template", "TemplateError", "Variable", "parse"]

_FIELD_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
_LITERAL = re.compile(r"[^{}*/:]+")


class TemplateError(ValueError):
    """A template that does not follow the grammar. The message quotes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A field that takes the segments [start, end) of the path; `end` is None where it ends in `**`."""

    field_path: str
    start: int
    end: int | None
    #: A variable of one segment is decoded fully; in one of several, %2F stays as it is.
    multi: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A parsed template. `segments` holds literals, "*" and, at the end only, "**"; variables are ranges over them."""

    text: str
    segments: tuple[str, ...]
    variables: tuple[Variable, ...]
    #: Without its colon; "" when there is none.
    verb: str

    @property
    def shape(self) -> tuple[str, ...]:
        """What two templates that match the same paths have in common."""
        return (*self.segments, f":{self.verb}")

    @property
    def static_path(self) -> str | None:
        """The only path that it matches, or None where it has wildcards."""
        if "*" in self.segments or "**" in self.segments:
            return None
        return "/" + "/".join(self.segments) + (f":{self.verb}" if self.verb else "")


def parse(text: str) -> Template:
    """Parses a template. Raises TemplateError."""
    if not text.startswith("/"):
        raise TemplateError(f"{text!r}: a path begins with '/'")
    path, verb = _split_verb(text)
    segments: list[str] = []
    variables: list[Variable] = []
    for part in _split(path[1:], text):
        if not part.startswith("{"):
            segments.append(_segment(part, text))
            continue
        field_path, equals, pattern = part[1:-1].partition("=")
        if not _FIELD_PATH.fullmatch(field_path):
            raise TemplateError(f"{text!r}: {field_path!r} is not a field path")
        inner = [_segment(piece, text) for piece in pattern.split("/")] if equals else ["*"]
        start = len(segments)
        segments += inner
        open_end = inner[-1] == "**"
        variables.append(
            Variable(
                field_path=field_path,
                start=start,
                end=None if open_end else len(segments),
                multi=open_end or len(inner) > 1,
            )
        )
    if "**" in segments[:-1]:
        raise TemplateError(f"{text!r}: '**' must be the last segment")
    names = [variable.field_path for variable in variables]
    if len(set(names)) != len(names):
        raise TemplateError(f"{text!r}: a field is bound twice")
    return Template(text=text, segments=tuple(segments), variables=tuple(variables), verb=verb)


def _split_verb(text: str) -> tuple[str, str]:
    after = max(text.rfind("/"), text.rfind("}"))
    colon = text.find(":", after)
    if colon < 0:
        return text, ""
    verb = text[colon + 1 :]
    if not _LITERAL.fullmatch(verb):
        raise TemplateError(f"{text!r}: {verb!r} is not a verb")
    return text[:colon], verb


def _split(path: str, text: str) -> list[str]:
    """Cuts at slashes that stand outside braces."""
    parts, depth, begin = [], 0, 0
    for index, char in enumerate(path):
        if char == "{":
            depth += 1
        elif char == "}":
            depth -= 1
        elif char == "/" and depth == 0:
            parts.append(path[begin:index])
            begin = index + 1
        if depth not in {0, 1}:
            break
    if depth != 0:
        raise TemplateError(f"{text!r}: braces do not match")
    parts.append(path[begin:])
    return parts


def _segment(piece: str, text: str) -> str:
    if piece in {"*", "**"} or _LITERAL.fullmatch(piece):
        return piece
    raise TemplateError(f"{text!r}: {piece!r} is not a segment")
