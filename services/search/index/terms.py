"""What a term is, on both sides: for lines when they are indexed and for the words of a query.

A term is a maximal run of letters and digits (Unicode categories L* and N*), compared without case by simple case
folding, as PCRE does with the flags `i` and UTF. Bytes that are not UTF-8 separate terms. The engine's own tokenizer
differs (it takes marks such as U+0345 for letters, and folds case with multi-character mappings), so whatever is not
ASCII is brought to a form that it cannot misread before it sees it: every other character becomes a space, every letter
its folded self.

A run of LONG or more characters is replaced by its head and a hash, LONG characters in all, so that the dictionary of
the index stays small. No text can forge such a term: a run that long is itself replaced.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from functools import lru_cache

__all__ = ["LONG", "SEPARATORS", "TERM_CHARS", "canonical", "fold", "normalise_blob", "runs", "terms"]

#: Runs of this many characters or more are hashed.
LONG = 128
_HASH_BYTES = 16
_HEAD = LONG - 2 * _HASH_BYTES

_LOWER = {upper: upper + 32 for upper in range(65, 91)}
_NOT_ASCII = re.compile("[^\x00-\x7f]+")
#: For a character class: what terms consist of after folding, when whatever is not ASCII is part of one.
TERM_CHARS = "0-9A-Za-z\x80-\U0010ffff"
#: The others, which are all ASCII once a text is folded: a class that compiles fifty times as fast.
SEPARATORS = r"\x00-/:-@\[-`{-\x7f"
_TERM = re.compile(f"[{TERM_CHARS}]+")
_LONG_TERM = re.compile(f"[{TERM_CHARS}]{{{LONG},}}")

# Every byte that may be part of a term becomes "a": a search for "aaa..." then finds long runs at the speed of memory.
_SHAPE = bytes(97 if byte >= 0x80 or chr(byte).isalnum() else 32 for byte in range(256))
_LONG_SHAPE = b"a" * LONG
# ASCII: letters in lower case, a space for whatever separates terms but a line feed.
_PLAIN = bytes(
    byte if byte >= 0x80 or byte == 10 else ord(chr(byte).lower()) if chr(byte).isalnum() else 32 for byte in range(256)
)


def _fold_char(char: str) -> str:
    """Simple case folding of one character. Where full folding gives several, the simple one is the lower case."""
    folded = char.casefold()
    if len(folded) > 1:
        folded = char.lower()
        if len(folded) > 1:
            return char
    lowered = folded.lower()  # Cherokee folds to upper case; the engine would lower it again
    return lowered if len(lowered) == 1 else folded


class _Folding(dict[int, str]):
    """For str.translate: a letter or digit -> its folded self, anything else -> a space."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        self[code] = value = _fold_char(char) if unicodedata.category(char)[0] in "LN" else " "
        return value


_FOLDING = _Folding()


@lru_cache(1 << 14)
def _folded(run: str) -> str:
    return run.translate(_FOLDING)


def _fold_run(match: re.Match[str]) -> str:
    run = match[0]
    # The same few words come again and again.
    return _folded(run) if len(run) <= 32 else run.translate(_FOLDING)


def _engine_lower(text: str) -> str:
    """Lower case as the engine does it: character by character."""
    return text.lower() if text.isascii() else "".join([char.lower() for char in text])


def _shorten(match: re.Match[str]) -> str:
    return _short(_engine_lower(match.group()))


def _short(run: str) -> str:
    return run[:_HEAD] + hashlib.blake2b(run.encode(), digest_size=_HASH_BYTES).hexdigest()


def fold(text: str) -> str:
    """`text` with separators beyond ASCII as spaces and letters beyond ASCII folded; each character stays one."""
    return text if text.isascii() else _NOT_ASCII.sub(_fold_run, text)


def normalise_blob(blob: bytes) -> str:
    """What the engine gets to index for the lines of `blob`: terms apart by single or several spaces, each line ended.

    Letters are folded as the definition asks. An engine that lowers case has nothing to do any more but for U+0130.
    """
    plain, shape = blob.translate(_PLAIN), blob.translate(_SHAPE)
    if plain.isascii():
        return _shorten_ascii(plain.decode("ascii"), shape)
    text = fold(plain.decode("utf-8", "replace"))
    return _LONG_TERM.sub(_shorten, text) if _LONG_SHAPE in shape else text


def _shorten_ascii(text: str, shape: bytes) -> str:
    """`text` with its long runs replaced. `shape` has "a" where the text has a part of a run."""
    parts, done, at = [], 0, shape.find(_LONG_SHAPE)
    if at < 0:
        return text
    while at >= 0:
        end = shape.find(b" ", at)
        end = len(text) if end < 0 else end
        parts += [text[done:at], _short(text[at:end])]
        done, at = end, shape.find(_LONG_SHAPE, end)
    return "".join([*parts, text[done:]])


def canonical(text: str) -> str:
    """The form of a term that a query tree holds: two terms match the same if their canonical forms are equal."""
    return text.lower() if text.isascii() else fold(text).translate(_LOWER)


def runs(text: str) -> list[str]:
    """The terms of `text` in order, in canonical form."""
    return [canonical(run) for run in _TERM.findall(fold(text))]


def terms(text: str) -> list[str]:
    """The terms of `text` in order, as the engine keeps them."""
    return [
        _shorten(match) if len(match.group()) >= LONG else _engine_lower(match.group())
        for match in _TERM.finditer(fold(text))
    ]
