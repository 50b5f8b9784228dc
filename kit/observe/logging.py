"""Logs: one JSON object per line on stderr, with the ids of the current trace; readable text on a terminal.

Everything goes through the standard library's logging, so a program that uses the kit as a library and configures
logging itself gets the kit's records in its own handlers. Secrets are taken out of every line (`redaction`), and kinds
of lines may go their own ways (`channels`). Lines that are not for a terminal are written by a thread (`_writer`).
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from kit.errors import ConfigurationError
from kit.observe import _routing, tracing
from kit.observe.channels import BY_LOGGER
from kit.observe.redaction import redact_fields, redacted_text

__all__ = ["configure", "get_logger"]

#: Libraries whose INFO tells nothing about the service.
_CHATTY = ("httpx", "httpcore", "asyncio", "grpc", "uvicorn.access", "hpack")


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger whose calls take an event and fields: `log.info("split published", lines=10)`."""
    logger: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        logging.getLogger(name),
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.PositionalArgumentsFormatter(),
            _for_handlers,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    return logger


def configure(
    service_name: str = "", *, level: str | None = None, console: bool | None = None, stream: TextIO | None = None
) -> None:
    """Sends the process's log to `stream` (stderr). Replaces the root logger's handlers; may be called again.

    `level` None means KIT_LOG_LEVEL, else INFO. `console` None means KIT_LOG_FORMAT ("json" or "console"), else
    readable text where the stream is a terminal and JSON everywhere else. KIT_LOG_AUDIT and its siblings send channels
    elsewhere. Raises ConfigurationError for a file that cannot be written, and for
    what the variables cannot mean.
    """
    stream = sys.stderr if stream is None else stream
    name = (level if level is not None else os.environ.get("KIT_LOG_LEVEL") or "INFO").upper()
    if name not in logging.getLevelNamesMapping():
        known = ", ".join(logging.getLevelNamesMapping())
        raise ConfigurationError(f"KIT_LOG_LEVEL: one of {known} is needed, not {name!r}")
    if console is None:
        wanted = os.environ.get("KIT_LOG_FORMAT", "")
        if wanted not in ("", "json", "console"):
            raise ConfigurationError(f'KIT_LOG_FORMAT: "json" or "console" is needed, not {wanted!r}')
        console = wanted == "console" if wanted else stream.isatty()

    def add_service(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        if service_name:
            event.setdefault("service", service_name)
        return event

    last: Processor = (
        structlog.dev.ConsoleRenderer(colors=stream.isatty())
        if console
        else structlog.processors.JSONRenderer(default=str)
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*_SHARED, structlog.stdlib.ExtraAdder()],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            add_service,
            structlog.processors.format_exc_info,
            _redact,
            last,
        ],
    )
    root = logging.getLogger()
    _routing.route(stream, formatter, service="" if console else service_name, json=not console)
    root.setLevel(name)
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(max(root.level, logging.WARNING))


def _for_handlers(logger: WrappedLogger, name: str, event: EventDict) -> Any:
    """The last step: what the standard library's handlers get.

    Those of `configure` take the fields as they are. Others, in a program that logs in its own way, get one text and
    the exception, which they show with its traceback.
    """
    formatters = (handler.formatter for handler in logging.getLogger().handlers)
    if any(isinstance(formatter, structlog.stdlib.ProcessorFormatter) for formatter in formatters):
        return structlog.stdlib.ProcessorFormatter.wrap_for_formatter(logger, name, event)
    error = event.pop("exc_info", None)
    redact_fields(event, _SAFE)
    said = event.pop("event", "")
    fields = " ".join(f"{key}={value!r}" for key, value in event.items() if key not in _RECORD_HAS)
    text = f"{said} {fields}".rstrip()
    if (trace_text := _secret_traceback(error)) is not None:
        text, error = f"{text}\n{trace_text}", None
    return (text,), {"exc_info": error}


def _secret_traceback(error: Any) -> str | None:
    """The traceback without its secrets; None where it has none, and the handlers may print it as they like."""
    if error is True:
        error = sys.exc_info()[1]
    elif isinstance(error, tuple):
        error = error[1]
    if not isinstance(error, BaseException):
        return None
    said = "".join(traceback.format_exception(error)).rstrip()
    clean = redacted_text(said)
    return None if clean == said else clean


#: What a log record says anyway.
_RECORD_HAS = frozenset({"level", "logger", "timestamp"})
#: What the kit itself writes into a line, and no secret can be in.
_SAFE = frozenset({"level", "logger", "timestamp", "service", "channel", "trace_id", "span_id", "exc_info"})


def _redact(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    redact_fields(event, _SAFE)
    return event


def _add_channel(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    channel = BY_LOGGER.get(event.get("logger", ""))
    if channel is not None:
        event["channel"] = channel
    return event


def _add_trace(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    ids = tracing.current_ids()
    if ids is not None:
        event["trace_id"], event["span_id"] = ids
    return event


_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    _add_channel,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
    _add_trace,
]
