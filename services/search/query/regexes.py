r"""Regular expressions as RE2 takes them: in time linear in the line, whatever the pattern.

A pattern is matched on the bytes of one line, without its line feed, as UTF-8. What follows from that and from RE2:

- ^ and \A are the beginning of the line, $ and \z its end; a carriage return before the line feed is part of the line.
- A byte that is not UTF-8 matches nothing: not ., [^a] or \W. (Forms that only look like UTF-8, as surrogates
  are written by some programs, are one character for . and for negated classes.) \C, any byte, is refused.
- Nothing matches a line feed, so that a pattern finds the same in one line as in a block of lines with (?m).
- Without case is simple case folding. \d, \s, \w and \b know ASCII only; \pL and \pN are letters and digits.
"""

from __future__ import annotations

import re
from functools import lru_cache

import re2

__all__ = ["MAX_MEMORY", "MAX_PROGRAM", "compile_glob", "compile_literal", "compile_regex"]

#: Bytes that RE2 may use for one pattern: its program and the states that it keeps while matching. With less, hard
#: patterns fall back to a simulation that is a thousand times as slow.
MAX_MEMORY = 8 << 20
#: Instructions of a compiled pattern; "error|warn" has 13, \pL{50} has 60,000. Bounds what such a simulation costs: the
#: worst that was found, `[ -~]*a[ -~]*b~|[ -~]*a[ -~]*c~|...`, takes 13 s for a megabyte. So who searches more
#: than a few lines looks in between, the more often the larger the program is, whether somebody still waits.
MAX_PROGRAM = 4_000

#: Compiled patterns in memory, of each kind. The library's own cache holds more than MAX_MEMORY allows for.
_KEPT = 32

_ANY_BYTE = re.compile(r"(?:\\\\)*\\C")


def _options(*, ignore_case: bool, literal: bool = False) -> re2.Options:
    options = re2.Options()
    options.max_mem = MAX_MEMORY
    options.case_sensitive = not ignore_case
    options.literal = literal
    options.never_nl = True
    options.never_capture = True
    options.log_errors = False
    return options


@lru_cache(_KEPT)
def compile_regex(pattern: str, ignore_case: bool = False, *, limited: bool = True) -> re2._Regexp:
    """The pattern for bytes. Raises ValueError in RE2's words where it is none, or too large."""
    if any(found.start() == 0 or pattern[found.start() - 1] != "\\" for found in _ANY_BYTE.finditer(pattern)):
        raise ValueError("invalid escape sequence: \\C")
    try:
        compiled = _compiled(pattern, _options(ignore_case=ignore_case))
    except re2.error as error:
        words = error.args[0] if error.args else b""
        raise ValueError(words.decode("utf-8", "replace") if isinstance(words, bytes) else str(words)) from error
    return _checked(compiled) if limited else compiled


@lru_cache(_KEPT)
def compile_literal(text: str, ignore_case: bool) -> re2._Regexp:
    """A pattern for bytes that finds exactly this text."""
    return _compiled(text, _options(ignore_case=ignore_case, literal=True))


@lru_cache(_KEPT)
def compile_glob(pattern: str) -> re2._Regexp:
    """A pattern for whole texts: * stands for any characters, ? for one. Raises ValueError where it is too large."""
    pieces = {"*": ".*", "?": "."}
    options = _options(ignore_case=False)
    options.never_nl = False
    options.dot_nl = True
    return _checked(_compiled("".join(pieces.get(char) or re2.escape(char) for char in pattern), options))


def _compiled(pattern: str, options: re2.Options) -> re2._Regexp:
    return re2._Regexp(pattern.encode(), options)


def _checked(compiled: re2._Regexp) -> re2._Regexp:
    if compiled.programsize > MAX_PROGRAM:
        raise ValueError(f"pattern too large: {compiled.programsize:,} instructions, at most {MAX_PROGRAM:,}")
    return compiled
