r"""Strings of which a line must hold one for a pattern to be found in it.

A small reader of RE2's syntax. It is conservative: of what it does not know for certain (classes of more than a few
characters, \d, counts, deep nesting) it says nothing, and it never says more than is so.
"""

from __future__ import annotations

from services.search.query.literal_sets import ANYTHING, EMPTY, GAP, MOST, Found, either, exactly, repeated, row

__all__ = ["GAP", "clauses_of", "is_plain"]

_DEEPEST = 40
_OPERATORS = frozenset(r"\.+*?()|[]{}^$")
_OCTAL = "01234567"
_CONTROLS = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


class _UnknownError(Exception):
    """The pattern has something in it that this reader does not follow."""


def clauses_of(pattern: str, ignore_case: bool) -> list[tuple[str, ...]]:
    """Clauses of which every line with a match holds at least one string each.

    ASCII letters stand for both cases; other characters that are compared without case are a GAP.
    """
    try:
        found = _Reader(pattern, ignore_case).read()
    except _UnknownError:
        return []
    clauses = [*found.clauses, *([found.exact] if found.exact is not None else [])]
    return [clause for clause in clauses if all(clause)]


def is_plain(pattern: str) -> bool:
    """Whether a pattern has no operators: it finds just its own text."""
    return not _OPERATORS.intersection(pattern)


class _Reader:
    def __init__(self, pattern: str, ignore_case: bool) -> None:
        self._pattern = pattern
        self._at = 0
        self._fold = ignore_case
        self._depth = 0

    def read(self) -> Found:
        found = self._either()
        if self._at < len(self._pattern):
            raise _UnknownError
        return found

    def _either(self) -> Found:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _UnknownError
        parts = [self._row()]
        while self._take("|"):
            parts.append(self._row())
        self._depth -= 1
        return parts[0] if len(parts) == 1 else either(parts)

    def _row(self) -> Found:
        parts: list[Found] = []
        while self._at < len(self._pattern) and self._pattern[self._at] not in "|)":
            if self._pattern.startswith("\\Q", self._at):
                parts += self._quoted()
            else:
                part = self._atom()
                if part is not None:
                    parts.append(part)
                elif self._quantifier() is not None:
                    raise _UnknownError
                else:
                    continue
            if parts and (count := self._quantifier()) is not None:
                parts[-1] = repeated(parts[-1], *count)
        return row(parts)

    def _quoted(self) -> list[Found]:
        end = self._pattern.find("\\E", self._at + 2)
        text = self._pattern[self._at + 2 : end if end >= 0 else None]
        self._at = end + 2 if end >= 0 else len(self._pattern)
        if not text and self._quantifier() is not None:
            raise _UnknownError
        return [self._char(char) for char in text]

    def _atom(self) -> Found | None:
        """One character, class or group; None for a group that only sets flags."""
        char = self._pattern[self._at]
        if char == "(":
            return self._group()
        if char == "[":
            return self._class()
        if char == "\\":
            return self._escape()
        if char in "*+?":
            raise _UnknownError
        self._at += 1
        if char == ".":
            return ANYTHING
        return EMPTY if char in "^$" else self._char(char)

    def _group(self) -> Found | None:
        self._at += 1
        before = self._fold
        if self._take("?"):
            if self._take("P<") or self._take("<"):
                self._at = self._pattern.find(">", self._at) + 1
                if self._at == 0:
                    raise _UnknownError
            elif not self._flags():
                return None
        found = self._either()
        if not self._take(")"):
            raise _UnknownError
        self._fold = before
        return found

    def _flags(self) -> bool:
        """Reads flags; whether a group follows."""
        on = True
        while self._at < len(self._pattern):
            char = self._pattern[self._at]
            self._at += 1
            match char:
                case "i":
                    self._fold = on
                case "m" | "s" | "U":
                    pass
                case "-":
                    on = False
                case ":" | ")":
                    return char == ":"
                case _:
                    raise _UnknownError
        raise _UnknownError

    def _class(self) -> Found:
        """[abc] with a few characters is these; any other class is anything."""
        self._at += 1
        negated, chars, known, first = self._take("^"), [], True, True
        while first or not self._take("]"):
            first = False
            if self._at >= len(self._pattern):
                raise _UnknownError
            if self._pattern.startswith("[:", self._at):
                end = self._pattern.find(":]", self._at + 2)
                if end >= 0:
                    self._at, known = end + 2, False
                    continue
            low = self._class_char()
            if self._pattern.startswith("-", self._at) and not self._pattern.startswith("-]", self._at):
                self._at += 1
                high = self._class_char()
                if low is None or high is None or ord(high) - ord(low) >= MOST:
                    known = False
                    continue
                chars += [chr(code) for code in range(ord(low), ord(high) + 1)]
            elif low is None:
                known = False
            else:
                chars.append(low)
        if negated or not known:
            return ANYTHING
        exact = [text for char in chars for text in self._char(char).exact or ()]
        return exactly(exact)

    def _class_char(self) -> str | None:
        """The next character of a class; None for several."""
        if self._at >= len(self._pattern):
            raise _UnknownError
        if self._pattern[self._at] != "\\":
            self._at += 1
            return self._pattern[self._at - 1]
        found = self._escaped()
        return found or None

    def _escape(self) -> Found:
        if self._pattern[self._at + 1 : self._at + 2] in ("b", "B", "A", "z"):
            self._at += 2
            return EMPTY
        char = self._escaped()
        return self._char(char) if char else ANYTHING

    def _escaped(self) -> str | None:
        r"""The character that an escape stands for; None for a class such as \d."""
        char = self._pattern[self._at + 1 : self._at + 2]
        self._at += 2
        if char in _CONTROLS and char:
            return _CONTROLS[char]
        if char and char in "dDsSwW":
            return None
        if char and char in "pP":
            end = self._pattern.find("}", self._at) if self._pattern.startswith("{", self._at) else self._at
            if end < 0:
                raise _UnknownError
            self._at = end + 1
            return None
        if char == "x":
            return self._hexadecimal()
        if char and char in _OCTAL:
            digits = char
            while len(digits) < 3 and self._pattern[self._at : self._at + 1] in tuple(_OCTAL):
                digits += self._pattern[self._at]
                self._at += 1
            return chr(int(digits, 8))
        if not char or char.isalnum() or not char.isascii():
            raise _UnknownError
        return char

    def _hexadecimal(self) -> str:
        if self._take("{"):
            end = self._pattern.find("}", self._at)
            digits, after = self._pattern[self._at : end], end + 1
            if end < 0:
                raise _UnknownError
        else:
            digits, after = self._pattern[self._at : self._at + 2], self._at + 2
        self._at = after
        try:
            code = int(digits, 16)
            return GAP if 0xD800 <= code < 0xE000 else chr(code)
        except (ValueError, OverflowError) as error:
            raise _UnknownError from error

    def _quantifier(self) -> tuple[int, int | None] | None:
        """The least and the greatest number of times."""
        char = self._pattern[self._at : self._at + 1]
        count: tuple[int, int | None] | None = None
        if char and char in "*+?":
            self._at += 1
            count = {"*": (0, None), "+": (1, None), "?": (0, 1)}[char]
        elif char == "{":
            end = self._pattern.find("}", self._at)
            low, comma, high = self._pattern[self._at + 1 : max(end, 0)].partition(",")
            if end >= 0 and _number(low) and (_number(high) or not high):
                self._at = end + 1
                count = (int(low), (int(high) if high else None) if comma else int(low))
        if count is not None:
            self._take("?")
        return count

    def _take(self, text: str) -> bool:
        if not self._pattern.startswith(text, self._at):
            return False
        self._at += len(text)
        return True

    def _char(self, char: str) -> Found:
        return Found((char if char.isascii() or not self._fold else GAP,))


def _number(text: str) -> bool:
    return text.isascii() and text.isdigit()
