"""What must not be read in a log is taken out of what is printed there.

Three things are secrets: the fields of a message that are declared so (`(kitapi.v1.sensitive) = true`), anywhere below
it; what stands under a name that says so (password, authorization, api_key ...); and text that looks like one, wherever
it stands: credentials of HTTP, JSON web tokens, passwords in URLs, private keys, keys of well-known services. All this
is pure and errs on the side of redacting. What looks like nothing known and has an innocent name is not found.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, MutableMapping
from functools import lru_cache
from typing import Any

from google.protobuf.message import Message

from kit.observe._sensitive import REDACTED, redacted

__all__ = ["REDACTED", "is_secret", "redact_fields", "redacted", "redacted_metadata", "redacted_text"]

#: Deeper than this a value is printed as text.
_MAX_DEPTH = 8

# Names

#: Names that have one of these words name a secret.
_SECRET_WORDS = frozenset(
    (
        *("authorization", "cookie", "credential", "credentials", "jwt", "passphrase", "passwd", "password"),
        *("passwords", "pwd", "secret"),
    )
)
#: So do names that end like this.
_SECRET_ENDS = (
    *("token", "apikey", "api_key", "access_key", "private_key", "secret_key", "signing_key", "encryption_key"),
    *("session_id", "session_key", "cookies", "secrets"),
)
#: Tokens that are no secret.
_INNOCENT_TOKENS = ("page_token", "sync_token", "resume_token", "continuation_token", "cancellation_token")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


@lru_cache(maxsize=4096)
def is_secret(name: str) -> bool:
    """Whether what is called so is secret: "db_password", "X-Api-Key", "accessToken"; but not "page_token"."""
    words = [word.lower() for word in _WORD.findall(name[:256])]
    if not _SECRET_WORDS.isdisjoint(words):
        return True
    plain = "_".join(words)
    return plain.endswith(_SECRET_ENDS) and not plain.endswith(_INNOCENT_TOKENS)


# Text

_IS = r"""\\*["']?\s*[:=]\s*"""
_HEADER = r"(?:proxy-)?authorization|(?:set-)?cookie"
_NAME = r"pass(?:word|wd|phrase)|pwd|secret|(?:api|access|private|secret|signing)[_-]?key"
#: A value after a name: quoted, quoted in quoted text, or bare, with HTTP's scheme before it; not another name, and not
#: one that is taken out already.
_VALUE = (
    rf"""(?!\[redacted\]|\\*["']?(?:\w+[_-])?(?:{_NAME}|token){_IS})(?:(?:bearer|basic)\s+[^\s"',;]+"""
    r"""|[bru]{0,2}(?:"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?)"""
    r"""|\\{1,9}"(?:(?!\\{1,9}").)*(?:\\{1,9}")?|\\{1,9}'(?:(?!\\{1,9}').)*(?:\\{1,9}')?"""
    r"""|[({\[]+[^\s"',;&<>)}\]\\]*|[^\s"',;&<>(){}\[\]\\][^\s,;&<>)}\]\\]*)"""
)
_KEY_OF = (
    r"gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[abprs]-[\w-]{8,}|AIza[\w-]{30,}|[sr]k_live_\w{10,}"
)
#: In this order: what stands under a name is taken out whole before its parts are looked at.
_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    # A private key whose end is missing goes to the end of the text.
    (
        re.compile(
            r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----(?:(?!-----END ).)*(?:-----END [A-Z0-9 ]*-----)?", flags=re.DOTALL
        ),
        REDACTED,
    ),
    (
        re.compile(rf"(?i)(?<![a-z0-9])({_HEADER})(\\*[\"']?\s*[:=,]\s*\\*[\"']?)[^\r\n\"'\\]+"),
        rf"\1\2{REDACTED}",
    ),
    (re.compile(rf"(?i)(?<![a-z0-9])((?:{_NAME}){_IS}){_VALUE}", flags=re.DOTALL), rf"\1{REDACTED}"),
    # "unexpected token: x" is the talk of parsers, and a page's token is no secret.
    (
        re.compile(
            rf"(?i)(?<!page_)(?<!page-)(?<![a-z0-9])(token(?:\\*[\"']?\s*=\s*|\\*[\"']\s*:\s*)){_VALUE}",
            flags=re.DOTALL,
        ),
        rf"\1{REDACTED}",
    ),
    # "bearer of news" and "Basic Authentication" are no credentials.
    (
        re.compile(
            r"\b((?i:bearer|basic)\s+)(?!\[redacted\])"
            r"(?=[^\s\"']{20}|[A-Z]?[a-z]*[^A-Za-z\s\"'.,;:)]|[A-Z]?[a-z]+[A-Z]|[A-Z]{2})[^\s\"',;)}\]]+"
        ),
        rf"\1{REDACTED}",
    ),
    (re.compile(r"(?<![\w-])eyJ[\w-]{4,}\.[\w-]{4,}(?:\.[\w-]*){0,3}"), REDACTED),
    (re.compile(r"(?<=://)[^\s/?#\"'<>]*@"), f"{REDACTED}@"),
    (re.compile(rf"\b(?:{_KEY_OF})"), REDACTED),
)


def redacted_text(text: str) -> str:
    """The text without the secrets that are known by their looks."""
    if not _may_have_secrets(text.lower()):
        return text
    for pattern, instead in _RULES:
        text = pattern.sub(instead, text)
    return text


def _may_have_secrets(lower: str) -> bool:
    """Whether one of the rules can match; this is the whole cost of a usual text, so it is written out."""
    return (
        "://" in lower
        or "pass" in lower
        or "pwd" in lower
        or "secret" in lower
        or "token" in lower
        or "key" in lower
        or "authorization" in lower
        or "cookie" in lower
        or "bearer" in lower
        or "basic" in lower
        or "eyj" in lower
        or "gh" in lower
        or "_pat_" in lower
        or "glpat-" in lower
        or "xox" in lower
        or "aiza" in lower
        or "k_live_" in lower
    )


# Fields of log lines


def redact_fields(fields: MutableMapping[str, Any], skip: frozenset[str] = frozenset()) -> None:
    """Takes secrets out of a log line's fields, in place; what stands under a name in `skip` is not looked at."""
    for name, value in fields.items():
        kind = type(value)
        if name in skip or kind is int or kind is float or kind is bool or value is None:
            if is_secret(name) and (kind is int or kind is float):
                fields[name] = REDACTED
            continue
        clean = REDACTED if is_secret(name) else redacted_text(value) if kind is str else _clean(value, _MAX_DEPTH)
        if clean is not value:
            fields[name] = clean


def redacted_metadata(metadata: Iterable[tuple[str, str | bytes]]) -> list[tuple[str, str]]:
    """Metadata as it may be printed; binary values are told by their size."""
    return [
        (
            key,
            REDACTED if is_secret(key) else redacted_text(value) if isinstance(value, str) else f"[{len(value)} bytes]",
        )
        for key, value in metadata
    ]


def _clean(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return redacted_text(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return redacted_text(bytes(value).decode("utf-8", "backslashreplace"))
    if isinstance(value, Message):
        return _clean(redacted(value), depth)
    if depth > 0 and isinstance(value, Mapping):
        return {
            key: REDACTED if is_secret(str(key)) and not isinstance(item, bool | None) else _clean(item, depth - 1)
            for key, item in value.items()
        }
    if depth > 0 and isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str) and is_secret(value[0]):
        return [value[0], REDACTED]
    if depth > 0 and isinstance(value, list | tuple | set | frozenset):
        return [_clean(item, depth - 1) for item in value]
    try:
        return redacted_text(str(value))
    except Exception:  # noqa: BLE001 - a line is no reason for the code that writes it to fail
        return f"[{type(value).__name__} that cannot be printed]"
