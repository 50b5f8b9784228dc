"""Text to tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass

from services.search.query.errors import QuerySyntaxError

__all__ = ["RESERVED", "Token", "plain_name", "quoted", "tokens", "unquoted"]

#: Names before a colon that are no fields of lines; in quotes they are.
RESERVED = ("case", "contains", "contains_case", "last", "level", "source", "source_id", "time")

_KEYWORDS = ("AND", "OR", "NOT")
_QUOTED = r'"(?:[^"\\]|\\.)*+"'
_TOKEN = re.compile(
    rf"""\s+
    | (?P<open>\()
    | (?P<close>\))
    | (?P<regex>/(?P<body>(?:[^/\\]|\\.)++)/(?P<flags>i?)(?=[\s)]|$))
    | (?P<range>time:(?P<between>\[[^\]]*\]?))
    | (?P<field>(?P<name>[^\W\d][\w.@-]*+|@[\w.@-]*+|{_QUOTED}):
        (?P<sign>>=|<=|>|<|~)?(?P<value>{_QUOTED}|[^\s()"]*+))
    | (?P<phrase>{_QUOTED})
    | (?P<unended>")
    | (?P<word>[^\s()"]++)
    """,
    re.VERBOSE | re.DOTALL,
)
_NO_FIELD = re.compile(rf'(?P<phrase>{_QUOTED})|(?P<word>[^\s()"]+)', re.DOTALL)
_NAME = re.compile(r"(?:[^\W\d]|@)[\w.@-]*")


@dataclass(frozen=True, slots=True)
class Token:
    """`kind` is open, close, regex, field, phrase, word, AND, OR, NOT or end. `value` is free of quotes and escapes.

    Of a field: its name, what stands between the colon and the value, the value and where that begins.
    """

    kind: str
    text: str
    position: int
    name: str = ""
    sign: str = ""
    value: str = ""
    at: int = 0
    #: The name, or the value, is in quotes.
    name_quoted: bool = False
    value_quoted: bool = False


def tokens(text: str) -> list[Token]:
    """The tokens of a query, the end as the last one. Raises QuerySyntaxError."""
    found: list[Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        assert match is not None
        if match.lastgroup is not None:
            token = _token(text, match)
            if token is None:
                match = _NO_FIELD.match(text, at)
                assert match is not None
                token = _plain(match.lastgroup or "", match[0], at)
            found.append(token)
        at = match.end()
    return [*found, Token("end", "", len(text.rstrip()))]


def _token(text: str, found: re.Match[str]) -> Token | None:
    """None for what only looks like a field."""
    kind, position = found.lastgroup or "", found.start()
    match kind:
        case "unended":
            raise _no_end(text)
        case "field":
            return _field(text, found)
        case "range":
            return Token("field", found[0], position, "time", "[", found["between"], found.start("between"))
        case "regex":
            body = re.sub(r"\\(.)", lambda pair: "/" if pair[1] == "/" else pair[0], found["body"], flags=re.DOTALL)
            return Token("regex", found[0], position, sign=found["flags"], value=body, at=position + 1)
        case _:
            return _plain(kind, found[0], position)


def _plain(kind: str, text: str, position: int) -> Token:
    if kind == "word" and text in _KEYWORDS:
        return Token(text, text, position)
    return Token(kind, text, position, value=unquoted(text) if kind == "phrase" else text, at=position)


def _field(text: str, match: re.Match[str]) -> Token | None:
    name, sign, value = match["name"], match["sign"] or "", match["value"]
    name_quoted, value_quoted = name.startswith('"'), value.startswith('"')
    if not value and text.startswith('"', match.end()):
        raise _no_end(text)
    if name not in RESERVED and not sign and (not value or value[0] in "/\\:"):
        return None
    return Token(
        "field",
        match[0],
        match.start(),
        unquoted(name) if name_quoted else name,
        sign,
        unquoted(value) if value_quoted else value,
        match.start("value"),
        name_quoted,
        value_quoted,
    )


def _no_end(text: str) -> QuerySyntaxError:
    return QuerySyntaxError(text, len(text), "expected '\"' to end the phrase")


def plain_name(name: str) -> bool:
    """Whether a field's name may stand without quotes."""
    return name not in RESERVED and _NAME.fullmatch(name) is not None


def quoted(text: str) -> str:
    """The text in quotes."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def unquoted(text: str) -> str:
    r"""What stands in quotes; \ stands for the character behind it."""
    return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)
