"""How the messages of a stream stand in a body: NDJSON, server-sent events, a JSON array. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.transcode.accept import Form

__all__ = ["FRAMINGS", "Framing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Framing:
    """One form. Every piece is whole in itself, so that a heartbeat may stand between any two."""

    content_type: bytes
    begin: bytes
    #: Before every record but the first.
    between: bytes
    before: bytes
    after: bytes
    #: What marks an error's record, in place of `before`.
    before_error: bytes
    end: bytes
    end_after_error: bytes
    heartbeat: bytes

    def record(self, json: bytes, *, first: bool) -> bytes:
        """One message."""
        return (b"" if first else self.between) + self.before + json + self.after

    def error(self, json: bytes, *, first: bool) -> bytes:
        """The last record of a stream that failed after it had begun. `json` is the problem."""
        return (b"" if first else self.between) + self.before_error + b'{"error":' + json + b"}" + self.after


FRAMINGS = {
    Form.NDJSON: Framing(
        content_type=b"application/x-ndjson",
        begin=b"",
        between=b"",
        before=b"",
        after=b"\n",
        before_error=b"",
        end=b"",
        end_after_error=b"",
        heartbeat=b"\n",
    ),
    Form.SSE: Framing(
        content_type=b"text/event-stream",
        begin=b"",
        between=b"",
        before=b"data: ",
        after=b"\n\n",
        before_error=b"event: error\ndata: ",
        # A browser's EventSource connects again after the end unless the page closes it on this event.
        end=b"event: end\ndata: {}\n\n",
        end_after_error=b"",
        heartbeat=b": ping\n\n",
    ),
    Form.JSON: Framing(
        content_type=b"application/json",
        begin=b"[",
        between=b",",
        before=b"",
        after=b"\n",
        before_error=b"",
        end=b"]\n",
        end_after_error=b"]\n",
        heartbeat=b"\n",
    ),
}
