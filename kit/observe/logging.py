"""Logs: one JSON object per line on stderr, with the ids of the current trace; readable text on a terminal.

Everything goes through the standard library's logging, so a program that uses the kit as a library and configures
logging itself gets the kit's records in its own handlers.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Any, TextIO

import structlog
from opentelemetry import trace
from structlog.typing import EventDict, Processor, WrappedLogger

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
    readable text where the stream is a terminal and JSON everywhere else.
    """
    stream = sys.stderr if stream is None else stream
    if console is None:
        wanted = os.environ.get("KIT_LOG_FORMAT", "")
        console = wanted == "console" if wanted else stream.isatty()

    def add_service(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        if service_name:
            event.setdefault("service", service_name)
        return event

    last: list[Processor] = (
        [structlog.dev.ConsoleRenderer(colors=stream.isatty())]
        if console
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_SHARED, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, add_service, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    name = (level if level is not None else os.environ.get("KIT_LOG_LEVEL", "INFO")).upper()
    root.setLevel(name if name in logging.getLevelNamesMapping() else "INFO")
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
    said = event.pop("event", "")
    fields = " ".join(f"{key}={value!r}" for key, value in event.items() if key not in _RECORD_HAS)
    return (f"{said} {fields}".rstrip(),), {"exc_info": error}


#: What a log record says anyway.
_RECORD_HAS = frozenset({"level", "logger", "timestamp"})


def _add_trace(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = trace.format_trace_id(context.trace_id)
        event["span_id"] = trace.format_span_id(context.span_id)
    return event


_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
    _add_trace,
]
