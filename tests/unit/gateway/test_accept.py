"""Which form of an answer a client gets."""

from __future__ import annotations

import pytest

from gateway.framing import FRAMINGS
from gateway.transcode.accept import Form, choose

PAIR = (Form.JSON, Form.NDJSON, Form.SSE)
STREAM = (Form.NDJSON, Form.SSE, Form.JSON)
ONE = (Form.JSON,)


@pytest.mark.parametrize(
    ("accept", "offered", "form"),
    [
        ("", PAIR, Form.JSON),
        ("*/*", PAIR, Form.JSON),
        ("application/json", PAIR, Form.JSON),
        ("application/x-ndjson", PAIR, Form.NDJSON),
        ("application/ndjson", PAIR, Form.NDJSON),
        ("application/jsonl", PAIR, Form.NDJSON),
        ("text/event-stream", PAIR, Form.SSE),
        ("TEXT/Event-Stream", PAIR, Form.SSE),
        ("application/json;q=0.5, application/x-ndjson", PAIR, Form.NDJSON),
        ("text/html, application/xhtml+xml, */*;q=0.8", PAIR, Form.JSON),
        ("application/*", STREAM, Form.NDJSON),
        ("text/*", PAIR, Form.SSE),
        ("", STREAM, Form.NDJSON),
        ("application/json", STREAM, Form.JSON),
        ("application/json;q=0", ONE, None),
        ("application/json;q=0, */*", ONE, None),
        ("text/html", ONE, None),
        ("text/event-stream", ONE, None),
        ("application/json;q=x", ONE, None),
        ("application/json; charset=utf-8", ONE, Form.JSON),
        (", ,", ONE, Form.JSON),
    ],
)
def test_the_accept_header_chooses(accept: str, offered: tuple[Form, ...], form: Form | None) -> None:
    assert choose(accept, offered) is form


def test_an_array_is_json_with_and_without_an_error_at_its_end() -> None:
    import json

    framing = FRAMINGS[Form.JSON]
    good = framing.begin + framing.record(b"1", first=True) + framing.heartbeat + framing.record(b"2", first=False)
    assert json.loads(good + framing.end) == [1, 2]
    assert json.loads(framing.begin + framing.end) == []
    bad = good + framing.error(b'{"status":500}', first=False) + framing.end_after_error
    assert json.loads(bad) == [1, 2, {"error": {"status": 500}}]


def test_an_event_is_ended_by_a_blank_line() -> None:
    framing = FRAMINGS[Form.SSE]
    assert framing.record(b"{}", first=False) == b"data: {}\n\n"
    assert framing.error(b"{}", first=True) == b'event: error\ndata: {"error":{}}\n\n'
    assert framing.heartbeat == b": ping\n\n"
