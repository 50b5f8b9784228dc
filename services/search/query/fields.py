r"""What fields a line has, and when the value of one compares as a query asks.

**Lines of JSON.** A line that begins (behind white space) with { and is an object for a strict reader has the fields
of that object and no others. A field `user.id` is the key "user.id", or the field "id" of an object "user", or so on
at any dot: all of them that are there. A list counts as each of its items, also on the way ("items.id" where items is
a list of objects). Of a key that stands twice in one object the last one counts. Objects and empty lists have no
value, they only exist. The text of a number is its shortest form (1.10 is "1.1"); true, false and null are those words.

**Other lines**, also those whose JSON is damaged, have the fields that are written in them as

    key=value    key = value    key:value    key: value    "key": value    'key'=value    --key=value

where the key is the field's whole name, with case, and stands at the beginning or behind a character that is no
letter, digit, _ . @ or -. The value is

- behind ": up to the next " without a backslash, or the end of the line; read as a JSON string where it is one, else a
  backslash stands for the character behind it;
- behind ': up to the next ';
- else, behind any [ ( { <, everything up to white space or one of , ; & | ( ) [ ] { } < > " ' without . and : at the
  end. It may be empty. A wanted text with one of these characters in it must stand there and end before anything but
  a letter or a digit.

**Comparing.** A value equals the wanted text if it is the same without case (`fold_text`), or if both are numbers of
the same size: 5, 5.0 and "5.00" are equal. A number is written as in 5, -5, +5.25, .5 or 5e-3, in JSON also as a
string. Numbers of JSON, but not strings, that have a fraction or an exponent or need more than 64 bits are the nearest
binary64, and so is then what they are compared with: a value is found as it is written, whatever was rounded. Less and
greater: where the wanted value is a number only numbers compare, by size; else texts do, without case, by code points.
LIKE: * stands for any characters, ? for one. A field that is there more than once matches if one of its values does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

import orjson

from loganalyzer.search.v1 import query_pb2
from services.search.query.folding import fold_text
from services.search.query.regexes import compile_glob

__all__ = [
    "Comparison",
    "TextValue",
    "field_values",
    "json_values",
    "key_pattern",
    "number_of",
    "text_of",
    "text_values",
    "value_at",
]

_Match = query_pb2.FieldMatch
_NUMBER = re.compile(r"[+-]?(?:\d{1,400}(?:\.\d{0,400})?|\.\d{1,400})(?:[eE][+-]?\d{1,4})?", re.ASCII)
#: Also such as are too long to be compared by their exact size.
_ANY_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?", re.ASCII)
_QUOTED = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"?', re.DOTALL)
_SINGLE = re.compile(r"'([^']*)'")
_PLAIN = re.compile(r"[\[({<]*([^\s,;&|()\[\]{}<>\"']*)")
_ENDS_PLAIN = re.compile(r"[\s,;&|()\[\]{}<>\"']|[.:]$")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_KEY_BYTES = re.compile(rb"[0-9A-Za-z_.@-]+")


@dataclass(frozen=True, slots=True)
class TextValue:
    """A value in a text: [start, end) in code points, without quotes and brackets.

    `begin` is where it starts with them. `open`: it may go on behind its end.
    """

    text: str
    start: int
    end: int
    begin: int
    open: bool


class Comparison:
    """Whether values compare as a FieldMatch wants."""

    def __init__(self, wanted: query_pb2.FieldMatch) -> None:
        self._operator = wanted.operator or _Match.EQUAL
        self._text = fold_text(wanted.value)
        self._number = number_of(wanted.value)
        self._rounded = float(self._text) if _ANY_NUMBER.fullmatch(self._text) else None
        self._like = compile_glob(self._text) if self._operator == _Match.LIKE else None
        self._spans_words = self._operator == _Match.EQUAL and _ENDS_PLAIN.search(wanted.value) is not None

    def json(self, value: object) -> bool:
        """For a value that JSON has, but no list."""
        if self._operator == _Match.EXISTS:
            return True
        return not isinstance(value, dict) and self._compare(value)

    def text(self, value: TextValue, line: str) -> bool:
        """For a value that stands in a line."""
        return self.place(value, line) is not None

    def place(self, value: TextValue, line: str) -> tuple[int, int] | None:
        """[start, end) of what compares so; None if it does not."""
        if self._operator == _Match.EXISTS or self._compare(value.text):
            return value.start, value.end
        if self._spans_words and value.open:
            for at in (value.start, value.begin):
                if self._stands(line, at):
                    return at, at + len(self._text)
        return None

    def _stands(self, line: str, at: int) -> bool:
        end = at + len(self._text)
        return fold_text(line[at:end]) == self._text and not line[end : end + 1].isalnum()

    def _compare(self, value: object) -> bool:
        text = fold_text(text_of(value))
        if self._like is not None:
            return self._like.fullmatch(text.encode()) is not None
        one: Decimal | float | str | None
        other: Decimal | float | str | None
        one, other = number_of(value), self._number
        if isinstance(value, float):
            # JSON has rounded it. What is written the same has to be equal, and so the other is rounded the same way.
            one, other = value, self._rounded
        if self._operator == _Match.EQUAL:
            return text == self._text or (other is not None and one == other)
        if other is None:
            one, other = text, self._text
        if one is None:
            return False
        match self._operator:
            case _Match.LESS:
                return one < other  # type: ignore[operator]
            case _Match.LESS_OR_EQUAL:
                return one <= other  # type: ignore[operator]
            case _Match.GREATER:
                return one > other  # type: ignore[operator]
            case _:
                return one >= other  # type: ignore[operator]


def number_of(value: object) -> Decimal | None:
    """A number by its size; None for anything else."""
    if isinstance(value, str):
        return Decimal(value) if _NUMBER.fullmatch(value) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return Decimal(repr(value))


def text_of(value: object) -> str:
    """A value as text."""
    if isinstance(value, str):
        return value
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else repr(value)


def json_values(line: bytes, name: str) -> list[object] | None:
    """The values of a field, lists as their items; None where the line is no JSON object."""
    if line.lstrip()[:1] != b"{":
        return None
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return list(_inside(found, name))


def _inside(found: dict[str, object], name: str) -> Iterator[object]:
    if name in found:
        # An empty list is there, and has no value.
        yield from list(_items(found[name])) or [{}]
    dot = name.find(".")
    while dot >= 0:
        for part in _items(found.get(name[:dot])):
            if isinstance(part, dict):
                yield from _inside(part, name[dot + 1 :])
        dot = name.find(".", dot + 1)


def _items(value: object) -> Iterator[object]:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting += reversed(item)
        else:
            yield item


@lru_cache(256)
def key_pattern(name: str) -> re.Pattern[str]:
    """Finds a key and what separates it from its value."""
    return re.compile(rf"(?<![\w.@-])-*([\"']?){re.escape(name)}\1(?:[ \t]*:[ \t]*|=|[ \t]+=[ \t]+)")


def text_values(text: str, name: str) -> Iterator[TextValue]:
    """The values of a field in a text that is no JSON object."""
    return (value_at(text, found.end()) for found in key_pattern(name).finditer(text))


def value_at(text: str, at: int) -> TextValue:
    """The value that begins at a place."""
    if quoted := _QUOTED.match(text, at):
        return TextValue(_unquoted(quoted[1]), *quoted.span(1), at, open=False)
    if single := _SINGLE.match(text, at):
        return TextValue(single[1], *single.span(1), at, open=False)
    plain = _PLAIN.match(text, at)
    assert plain is not None
    value = plain[1].rstrip(".:")
    return TextValue(value, plain.start(1), plain.start(1) + len(value), at, open=True)


def _unquoted(inner: str) -> str:
    if "\\" not in inner:
        return inner
    try:
        return str(orjson.loads(f'"{inner}"'))
    except orjson.JSONDecodeError:
        return _ESCAPED.sub(r"\1", inner)


def field_values(name: str) -> Callable[[bytes], list[str]]:
    """A function from a line to the texts of a field's values, in order. Objects have none."""
    keys = [run for run in _KEY_BYTES.findall(name.encode()) for run in run.split(b".")]

    def values(line: bytes) -> list[str]:
        if not all(key in line for key in keys):
            return []
        found = json_values(line, name)
        if found is None:
            return [value.text for value in text_values(line.decode("utf-8", "replace"), name)]
        return [text_of(value) for value in found if not isinstance(value, dict)]

    return values
