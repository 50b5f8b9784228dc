"""What a predicate decides about: a line, and the forms of it that tests look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from services.search.index.terms import canonical
from services.search.query.patterns import indexed

__all__ = ["LineForms", "Subject", "SubjectLine"]


class Subject(Protocol):
    """A line to decide about."""

    @property
    def raw(self) -> bytes:
        """Without its line feed."""

    @property
    def time(self) -> int | None:
        """Microseconds since 1970."""

    @property
    def level(self) -> int:
        """A query_pb2.Level; 0 where there is none."""

    @property
    def source_id(self) -> str: ...

    @property
    def source(self) -> str:
        """The source's name."""


@dataclass(slots=True)
class SubjectLine:
    """A subject as plain values; may be filled again for the next line."""

    raw: bytes
    time: int | None = None
    level: int = 0
    source_id: str = ""
    source: str = ""


class LineForms:
    """A line and what has been made of it so far: each form is made once, when a node first needs it."""

    __slots__ = ("_canon", "_indexed", "_text", "raw", "subject")

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.raw = subject.raw
        self._canon: bytes | None = None
        self._indexed: bytes | None = None
        self._text: str | None = None

    @property
    def text(self) -> str:
        if self._text is None:
            self._text = self.raw.decode("utf-8", "replace")
        return self._text

    @property
    def canon(self) -> bytes:
        """Canonical terms between separators, which are all ASCII."""
        if self._canon is None:
            self._canon = self.raw.lower() if self.raw.isascii() else canonical(self.text).encode()
        return self._canon

    @property
    def indexed(self) -> bytes:
        if self._indexed is None:
            self._indexed = indexed(self.canon)
        return self._indexed
