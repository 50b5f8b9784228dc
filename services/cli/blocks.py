"""Hits with the lines around them, joined into blocks as grep -C does. Pure."""

from __future__ import annotations

from typing import Any

from services.cli import render

Json = dict[str, Any]


class Blocks:
    """Joins contexts whose lines touch, of hits that follow each other in either direction of a source."""

    def __init__(self) -> None:
        self._source: object = None
        #: Lines of the block by their number, and whether each is a hit.
        self._lines: dict[int, tuple[Json, bool]] = {}
        self._printed = False

    def add(self, context: Json, *, colour: bool) -> list[str]:
        """Takes in a context (`before`, `hit`, `after`); gives the lines of the block before, where it is complete."""
        hit = context["hit"]
        lines = [*(context.get("before") or []), hit, *(context.get("after") or [])]
        numbers = [int(line["lineNumber"]) for line in lines]
        apart = (
            not self._lines
            or hit["source"] != self._source
            or numbers[0] > max(self._lines) + 1
            or numbers[-1] < min(self._lines) - 1
        )
        done = self.end(colour=colour) if apart else []
        self._source = hit["source"]
        for number, line in zip(numbers, lines, strict=True):
            if line is hit or number not in self._lines:
                self._lines[number] = line, line is hit
        return done

    def end(self, *, colour: bool) -> list[str]:
        """The lines of the block that is held, and of the separator before it."""
        if not self._lines:
            return []
        lines = ["--"] if self._printed else []
        for _, (line, is_hit) in sorted(self._lines.items()):
            lines.append(render.hit(line, colour=colour) if is_hit else render.context_line(line, colour=colour))
        self._lines = {}
        self._printed = True
        return lines
