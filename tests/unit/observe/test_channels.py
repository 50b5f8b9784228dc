"""Channels go where the environment says, and no line has secrets, whichever way it goes."""

from __future__ import annotations

import io
import json
import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit import observe
from kit.errors import ConfigurationError, UsageValueError
from kit.observe import _routing, channel, configure_logging, get_logger
from kit.observe.channels import CHANNELS, Route, route_of

LIMIT = 20.0
LOGGERS = [logging.getLogger(), *(logging.getLogger(f"kit.{name}") for name in CHANNELS)]


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Logging is as before afterwards."""
    for name in list(os.environ):
        if name.startswith("KIT_LOG"):
            monkeypatch.delenv(name)
    kept = [(logger, list(logger.handlers), logger.level, logger.propagate) for logger in LOGGERS]
    hangup = signal.getsignal(signal.SIGHUP)
    yield
    monkeypatch.undo()
    configure_logging(stream=io.StringIO(), console=False)
    for logger, handlers, level, propagate in kept:
        logger.handlers[:] = handlers
        logger.setLevel(level)
        logger.propagate = propagate
    signal.signal(signal.SIGHUP, hangup)


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def flush() -> None:
    for handler in [handler for logger in LOGGERS for handler in logger.handlers]:
        handler.flush()


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, None),
        ({"KIT_LOG_AUDIT": "off"}, Route(off=True)),
        ({"KIT_LOG_AUDIT": "on"}, Route()),
        ({"KIT_LOG_AUDIT": "stderr"}, Route()),
        ({"KIT_LOG_AUDIT": "/var/log/audit.jsonl"}, Route(path="/var/log/audit.jsonl")),
        ({"KIT_LOG_AUDIT_LEVEL": "warning"}, Route(level=logging.WARNING)),
        ({"KIT_LOG_AUDIT": "./a", "KIT_LOG_AUDIT_LEVEL": "ERROR"}, Route(path="./a", level=logging.ERROR)),
    ],
)
def test_the_environment_says_where_a_channel_goes(environ: dict[str, str], wanted: Route | None) -> None:
    assert route_of("audit", environ) == wanted


@pytest.mark.parametrize("environ", [{"KIT_LOG_AUDIT": "aduit"}, {"KIT_LOG_AUDIT_LEVEL": "LOUD"}])
def test_what_can_only_be_a_slip_is_refused(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(environ))):
        route_of("audit", environ)


def test_there_are_four_channels_and_no_other() -> None:
    with pytest.raises(UsageValueError, match="access, error, audit, business"):
        channel("debug")
    names = (observe.access, observe.errors, observe.audit, observe.business)
    assert [logger.name for logger in names] == ["kit.access", "kit.error", "kit.audit", "kit.business"]


def test_a_channels_lines_are_in_the_log_with_its_name() -> None:
    stream = io.StringIO()
    configure_logging("shop", console=False, stream=stream)
    observe.business.info("order placed", order="orders/1")
    get_logger("kit.audit").info("key revoked")
    get_logger("elsewhere").info("nothing")
    assert [(line["logger"], line.get("channel")) for line in lines(stream.getvalue())] == [
        ("kit.business", "business"),
        ("kit.audit", "audit"),
        ("elsewhere", None),
    ]


def test_a_channel_has_a_file_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, stream = tmp_path / "audit.jsonl", io.StringIO()
    monkeypatch.setenv("KIT_LOG_AUDIT", str(path))
    configure_logging("shop", console=False, stream=stream)
    observe.audit.info("key revoked", key_id="k1")
    observe.business.info("order placed")
    flush()
    (line,) = lines(path.read_text())
    assert (line["event"], line["key_id"], line["channel"], line["service"]) == ("key revoked", "k1", "audit", "shop")
    assert [line["event"] for line in lines(stream.getvalue())] == ["order placed"]


def test_two_channels_may_share_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "both.jsonl"
    monkeypatch.setenv("KIT_LOG_AUDIT", str(path))
    monkeypatch.setenv("KIT_LOG_BUSINESS", str(path))
    configure_logging(console=False, stream=io.StringIO())
    observe.audit.info("a")
    observe.business.info("b")
    flush()
    assert [line["event"] for line in lines(path.read_text())] == ["a", "b"]


def test_a_channel_can_be_off_and_have_a_level(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setenv("KIT_LOG_AUDIT", "off")
    monkeypatch.setenv("KIT_LOG_BUSINESS_LEVEL", "WARNING")
    configure_logging(console=False, stream=stream)
    observe.audit.error("nobody reads this")
    observe.business.info("nor this")
    observe.business.warning("but this")
    assert [line["event"] for line in lines(stream.getvalue())] == ["but this"]


def test_a_file_that_cannot_be_written_is_refused_and_all_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    configure_logging(console=False, stream=stream)
    monkeypatch.setenv("KIT_LOG_AUDIT", str(tmp_path / "nowhere" / "audit.jsonl"))
    with pytest.raises(ConfigurationError, match="nowhere"):
        configure_logging(console=False, stream=io.StringIO())
    observe.audit.info("still here")
    assert "still here" in stream.getvalue()


def test_a_hangup_opens_files_again_and_does_not_end_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    path = tmp_path / "audit.jsonl"
    monkeypatch.setenv("KIT_LOG_AUDIT", str(path))
    configure_logging(console=False, stream=io.StringIO())
    observe.audit.info("before")
    flush()
    path.rename(tmp_path / "audit.jsonl.1")
    signal.raise_signal(signal.SIGHUP)
    observe.audit.info("after")
    flush()
    assert [line["event"] for line in lines(path.read_text())] == ["after"]


def test_a_programs_own_handler_of_the_hangup_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def own(_number: int, _frame: object) -> None:
        pass

    signal.signal(signal.SIGHUP, own)
    monkeypatch.setenv("KIT_LOG_AUDIT", str(tmp_path / "audit.jsonl"))
    configure_logging(console=False, stream=io.StringIO())
    assert signal.getsignal(signal.SIGHUP) is own


def test_whole_lines_go_past_the_logger_only_where_nobody_else_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure_logging(console=False, stream=io.StringIO())
    assert _routing.lines_of("access") is None
    monkeypatch.setenv("KIT_LOG_ACCESS", str(tmp_path / "access.jsonl"))
    configure_logging("shop", console=False, stream=io.StringIO())
    found = _routing.lines_of("access")
    assert found is not None
    assert found[1] == "shop"
    logging.getLogger("kit.access").addHandler(logging.NullHandler())
    assert _routing.lines_of("access") is None


# Secrets


def crash() -> None:
    raise ValueError("cannot connect to postgres://kit:hunter2@db/kit")


@pytest.mark.parametrize("console", [False, True])
def test_no_line_has_secrets(console: bool) -> None:
    stream = io.StringIO()
    configure_logging(console=console, stream=stream)
    log = get_logger("a")
    log.info("called with Bearer hunter2hunter2", password="hunter2", headers={"Cookie": "hunter2"})
    try:
        crash()
    except ValueError:
        log.exception("failed")
        logging.getLogger("library").exception("failed with %s", "api_key=hunter2")
    said = stream.getvalue()
    assert "hunter2" not in said
    assert "cannot connect to postgres://[redacted]@db/kit" in said
    assert "Traceback" in said


def test_programs_that_log_in_their_own_way_get_no_secrets_either(caplog: pytest.LogCaptureFixture) -> None:
    log = get_logger("kit.x")
    try:
        crash()
    except ValueError:
        log.exception("failed", token="hunter2")
    assert "hunter2" not in caplog.text
    assert "ValueError: cannot connect to postgres://[redacted]@db/kit" in caplog.text
    assert caplog.text.count("Traceback") == 1
