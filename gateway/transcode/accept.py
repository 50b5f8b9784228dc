"""Which form of an answer a client wants: one JSON document, or a stream as NDJSON, SSE or a JSON array."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from functools import lru_cache

__all__ = ["Form", "choose"]


class Form(enum.Enum):
    """A form of an answer, with the media type that it is sent as."""

    #: The answer of a unary method; of a stream, an array of its messages.
    JSON = "application/json"
    NDJSON = "application/x-ndjson"
    SSE = "text/event-stream"


_TYPES = {
    "application/json": Form.JSON,
    "application/x-ndjson": Form.NDJSON,
    "application/ndjson": Form.NDJSON,
    "application/jsonl": Form.NDJSON,
    "text/event-stream": Form.SSE,
}


@lru_cache(maxsize=512)
def choose(accept: str, offered: tuple[Form, ...]) -> Form | None:
    """The form, of those `offered`, that an Accept header wants most; the first of equals; None where it takes none.

    Media types that are not known and parameters other than q are passed over. An empty header takes anything.
    """
    ranges = list(_ranges(accept))
    if not ranges:
        return offered[0]
    best = max(offered, key=lambda form: (_quality(form, ranges), -offered.index(form)))
    return best if _quality(best, ranges) > 0 else None


def _ranges(accept: str) -> list[tuple[str, float]]:
    found = []
    for part in accept.split(","):
        media, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if not media:
            continue
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    quality = min(1.0, max(0.0, float(parameter[2:])))
                except ValueError:
                    quality = 0.0
        found.append((media, quality))
    return found


def _quality(form: Form, ranges: Sequence[tuple[str, float]]) -> float:
    """By the range that names the form most closely."""
    family = form.value.partition("/")[0]
    for matches in (lambda media: _TYPES.get(media) is form, f"{family}/*".__eq__, "*/*".__eq__):
        qualities = [quality for media, quality in ranges if matches(media)]
        if qualities:
            return max(qualities)
    return 0.0
