"""Names in certificates, and patterns of them. Pure.

A certificate names whom it is for by subject alternative names (SAN). Two kinds are heeded: URIs, as SPIFFE's, and DNS
names. The common name is not: it has been no place for names of machines since RFC 6125, and authorities may leave it
to whoever asks for a certificate.

    pattern                                 what matches
    spiffe://shop.example/ns/a/sa/search    that URI, to the letter
    spiffe://shop.example/ns/*/sa/search    any text without a slash in the star's place
    spiffe://shop.example/ns/a/**           everything below
    dns:search.default.svc                  that DNS name, in any case
    search.default.svc                      the same
    *.default.svc                           any one label in the star's place, as everywhere in DNS
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from kit.errors import ConfigurationError

__all__ = ["NamePattern", "first_match", "patterns"]

_HOST = re.compile(r"(\*|[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)(\.(\*|[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?))*")


@dataclass(frozen=True, slots=True)
class NamePattern:
    """A pattern of one kind of name. Make it with `of`."""

    text: str
    is_uri: bool
    _expression: re.Pattern[str]

    @classmethod
    def of(cls, text: object) -> NamePattern:
        """Raises ConfigurationError for what is no pattern."""
        if not isinstance(text, str) or not text or text != text.strip():
            raise ConfigurationError(f'names: {text!r} is no pattern; give "spiffe://..." or a DNS name')
        if "://" in text:
            if "***" in text or "**" in text.removesuffix("/**"):
                raise ConfigurationError(f'names: {text!r}: "**" stands at the end only, after a slash')
            stem, rest = (text.removesuffix("/**"), r"/.+") if text.endswith("/**") else (text, "")
            scheme, _, rest_of_it = stem.partition("://")
            host = rest_of_it.partition("/")[0]
            if not scheme or not host or "*" in scheme + host:
                raise ConfigurationError(
                    f"names: {text!r}: a URI begins with a scheme and a host, or trust domain, without stars there"
                )
            return cls(text, True, re.compile(re.escape(stem).replace(r"\*", "[^/]+") + rest))
        name = text.removeprefix("dns:").lower()
        if not _HOST.fullmatch(name) or name.replace("*", "").strip(".") == "":
            raise ConfigurationError(
                f'names: {text!r} is no pattern; give a URI ("spiffe://domain/ns/*/sa/name"), or a DNS name with or '
                'without "dns:", where a star stands for a whole label'
            )
        return cls(text, False, re.compile(re.escape(name).replace(r"\*", r"[^.]+")))

    def matches(self, uri_or_dns: str, is_uri: bool) -> bool:
        """Whether the name is of the pattern's kind, and matches as a whole."""
        name = uri_or_dns if is_uri else uri_or_dns.lower()
        return is_uri is self.is_uri and self._expression.fullmatch(name) is not None


def patterns(texts: Iterable[object], field: str) -> tuple[NamePattern, ...]:
    """Raises ConfigurationError for what is no pattern, and where a single text is given for a list."""
    if isinstance(texts, (str, bytes)) or not isinstance(texts, Iterable):
        raise ConfigurationError(f"{field}: give a list of patterns, not {texts!r}")
    return tuple(NamePattern.of(text) for text in texts)


def first_match(
    allowed: Iterable[NamePattern], uris: Iterable[str], dns: Iterable[str]
) -> tuple[NamePattern, str] | None:
    """The first pattern, in their order, that one of the names matches, and that name."""
    for pattern in allowed:
        for name in uris if pattern.is_uri else dns:
            if pattern.matches(name, pattern.is_uri):
                return pattern, name
    return None
