"""A program that logs in its own way sees the kit's records as text, with tracebacks."""

from __future__ import annotations

import io
import logging

import pytest

from kit.observe import get_logger


def test_a_plain_handler_gets_the_event_the_fields_and_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [logging.StreamHandler(stream)])
    try:
        raise ValueError("what went wrong")
    except ValueError as error:
        get_logger("test.foreign").error("a handler failed", method="/p.S/M", error_id="ab12", exc_info=error)
    text = stream.getvalue()
    assert text.startswith("a handler failed method='/p.S/M' error_id='ab12'\n")
    assert "Traceback (most recent call last)" in text
    assert "ValueError: what went wrong" in text
