"""Log lines: JSON with trace ids, or text for a terminal."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace

from kit.errors import ConfigurationError
from kit.observe import configure_logging, get_logger


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where `configure_logging` writes; the root logger is as before afterwards."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_json_line_with_its_fields(stream: io.StringIO) -> None:
    configure_logging("search", console=False, stream=stream)
    get_logger("a.b").info("split published", lines=10, path=object)
    (line,) = lines(stream)
    assert (line["event"], line["level"], line["logger"], line["service"]) == (
        "split published",
        "info",
        "a.b",
        "search",
    )
    assert line["lines"] == 10
    assert line["timestamp"].endswith("Z")
    assert "trace_id" not in line


def test_a_line_inside_a_span_carries_its_ids(stream: io.StringIO) -> None:
    configure_logging(console=False, stream=stream)
    context = trace.SpanContext(0xABC, 0xDEF, is_remote=False)
    with trace.use_span(trace.NonRecordingSpan(context)):
        get_logger("a").info("ours")
        logging.getLogger("library").warning("of %s", "another")
    assert [line["event"] for line in lines(stream)] == ["ours", "of another"]
    assert {line["trace_id"] for line in lines(stream)} == {f"{0xABC:032x}"}
    assert {line["span_id"] for line in lines(stream)} == {f"{0xDEF:016x}"}


def test_an_exception_is_part_of_its_line(stream: io.StringIO) -> None:
    configure_logging(console=False, stream=stream)
    try:
        raise ValueError("bad")
    except ValueError:
        get_logger("a").exception("failed")
    (line,) = lines(stream)
    assert "ValueError: bad" in line["exception"]


def test_a_terminal_gets_text(stream: io.StringIO) -> None:
    configure_logging(console=True, stream=stream)
    get_logger("a").info("hello", lines=10)
    assert "hello" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


@pytest.mark.parametrize(("level", "seen"), [("DEBUG", 2), ("warning", 0), ("", 1)])
def test_the_level_comes_from_the_environment(
    stream: io.StringIO, monkeypatch: pytest.MonkeyPatch, level: str, seen: int
) -> None:
    monkeypatch.setenv("KIT_LOG_LEVEL", level)
    configure_logging(console=False, stream=stream)
    get_logger("levels").debug("a")
    get_logger("levels").info("b")
    assert len(lines(stream)) == seen


@pytest.mark.parametrize(
    ("name", "says"), [("KIT_LOG_LEVEL", "one of CRITICAL, .* is needed"), ("KIT_LOG_FORMAT", '"json" or "console"')]
)
def test_what_the_environment_cannot_mean_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, says: str) -> None:
    monkeypatch.setenv(name, "nonsense")
    with pytest.raises(ConfigurationError, match=f"{name}: {says}"):
        configure_logging()


def test_the_format_comes_from_the_environment(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIT_LOG_FORMAT", "console")
    configure_logging(stream=stream)
    get_logger("a").info("b")
    assert not stream.getvalue().startswith("{")


def test_without_configuration_records_reach_the_programs_own_handlers(caplog: pytest.LogCaptureFixture) -> None:
    get_logger("kit.x").warning("something", n=1)
    (record,) = caplog.records
    assert (record.name, record.getMessage()) == ("kit.x", "something n=1")
