"""Running what users hand in to be called back: done callbacks, listeners.

They run on the event loop, so while one of them takes its time no call of the process moves.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

__all__ = ["BLOCKING", "run_callback"]

#: Seconds after which a callback is said to block the loop.
BLOCKING = 0.1
#: Callbacks that are remembered as told of; after that many nothing is told any more.
_MOST = 1000

log = logging.getLogger("kit")
_told: set[str] = set()


def run_callback(
    callback: Callable[..., object], /, *arguments: Any, now: Callable[[], float] = time.monotonic
) -> None:
    """Calls it, and warns by the log, once for each callback, where that takes longer than `BLOCKING`.

    What it raises is passed on.
    """
    started = now()
    try:
        callback(*arguments)
    finally:
        took = now() - started
        if took > BLOCKING:
            _tell(callback, took)


def _tell(callback: Callable[..., object], took: float) -> None:
    name = _name(callback)
    if name not in _told and len(_told) < _MOST:
        _told.add(name)
        log.warning(
            "the callback %s blocked the event loop for %.0f ms; no call moved meanwhile. Let it start a task or a "
            "thread instead. It is not told again",
            name,
            took * 1000,
        )


def _name(callback: Any) -> str:
    """What a reader finds it by: its qualified name, and where it is written."""
    plain = getattr(callback, "func", callback)
    code = getattr(plain, "__code__", None)
    name = f"{getattr(plain, '__module__', '?')}.{getattr(plain, '__qualname__', type(plain).__qualname__)}"
    return name if code is None else f"{name} ({code.co_filename}:{code.co_firstlineno})"
