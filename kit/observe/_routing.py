"""Which handlers the process's log and its channels have. `kit.observe.logging.configure` sets them."""

from __future__ import annotations

import io
import json
import logging
import signal
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

from kit.observe import tracing
from kit.observe._writer import LineHandler, LineWriter
from kit.observe.channels import CHANNELS, KEPT, Route, channel, route_of

__all__ = ["lines_of", "route", "write"]

_encode = json.JSONEncoder(separators=(", ", ": "), default=str).encode


class _Routing:
    """What was set up last."""

    def __init__(self) -> None:
        self.root: logging.Handler | None = None
        self.channels: dict[str, logging.Handler] = {}
        #: Writers by what they write to: "" for the process's log.
        self.writers: dict[str, LineWriter] = {}
        self.json = False
        self.service = ""


_current = _Routing()


def route(stream: TextIO, formatter: logging.Formatter, *, service: str, json: bool) -> None:
    """Sends the process's log to `stream`, and channels where the environment says; takes the place of what was there.

    Raises ConfigurationError, and has changed nothing then.
    """
    global _current
    wanted = {name: route_of(name) for name in CHANNELS}
    new = _Routing()
    new.service, new.json = service, json
    for found in wanted.values():
        if found is not None and found.path and found.path not in new.writers:
            new.writers[found.path] = LineWriter(found.path)
    descriptor = _descriptor(stream)
    if descriptor is None:
        new.root = logging.StreamHandler(stream)
    else:
        new.writers[""] = LineWriter(descriptor)
        new.root = LineHandler(new.writers[""])
    new.root.setFormatter(formatter)
    old, _current = _current, new
    logging.getLogger().handlers[:] = [new.root]
    for name in CHANNELS:
        _route_channel(name, wanted[name], formatter)
    for writer in old.writers.values():
        writer.close()
    if any(path for path in new.writers):
        _reopen_at_sighup()


def lines_of(name: str) -> tuple[Callable[[bytes], None], str] | None:
    """What takes whole JSON lines of a channel, and the service's name; None where they must go through its logger.

    For a channel of which there are so many lines that the way through the logger would cost too much. They do where
    their format is not the kit's own or somebody else listens.
    """
    if not _current.json:
        return None
    logger = logging.getLogger(f"kit.{name}")
    own = _current.channels.get(name)
    if own is None:
        if logger.handlers or not logger.propagate:
            return None
        handlers, own = logging.getLogger().handlers, _current.root
    else:
        handlers = logger.handlers
    if len(handlers) != 1 or handlers[0] is not own or not isinstance(own, LineHandler):
        return None
    return own.writer.put, _current.service


def write(name: str, level: int, event: str, fields: Mapping[str, Any]) -> None:
    """Writes a line of a channel that has very many, past its logger where that is the same: it costs a third.

    The fields are texts and numbers, and the caller has seen to it that there are no secrets in them.
    """
    logger = f"kit.{name}"
    if not logging.getLogger(logger).isEnabledFor(level):
        return
    direct = lines_of(name)
    if direct is None:
        channel(name).log(level, event, **fields)
        return
    put, service = direct
    ids = tracing.current_ids()
    line = {
        "event": event,
        "level": logging.getLevelName(level).lower(),
        "logger": logger,
        "channel": name,
        "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        **({} if ids is None else {"trace_id": ids[0], "span_id": ids[1]}),
        **({"service": service} if service else {}),
        **fields,
    }
    put(_encode(line).encode() + b"\n")


def _route_channel(name: str, wanted: Route | None, formatter: logging.Formatter) -> None:
    logger = logging.getLogger(f"kit.{name}")
    for handler in [one for one in logger.handlers if isinstance(one, LineHandler | logging.NullHandler)]:
        logger.removeHandler(handler)
    logger.propagate = True
    logger.setLevel(logging.NOTSET if wanted is None else logging.CRITICAL + 1 if wanted.off else wanted.level)
    if wanted is None or not wanted.path or wanted.off:
        return
    handler = LineHandler(_current.writers[wanted.path], keep=name in KEPT)
    handler.setFormatter(formatter)
    logger.addHandler(handler)
    logger.propagate = False
    _current.channels[name] = handler


def _descriptor(stream: TextIO) -> int | None:
    """The descriptor behind a stream; None for a terminal, or where there is none: those are written to at once."""
    try:
        return None if stream.isatty() else stream.fileno()
    except (AttributeError, OSError, ValueError, io.UnsupportedOperation):
        return None


def _reopen_at_sighup() -> None:
    """Programs that rotate files send a SIGHUP, which would end the process. One that has a handler of its own for it
    keeps that: a file is opened again without it, a little later."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGHUP"):
        return
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, lambda _number, _frame: _reopen())


def _reopen() -> None:
    for writer in _current.writers.values():
        writer.reopen()
