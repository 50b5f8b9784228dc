"""Running what users hand in to be called back: done callbacks, listeners of events.

They run on the event loop, so while one of them takes its time no call of the process moves.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

__all__ = ["BLOCKING", "Listeners", "run_callback"]

_E = TypeVar("_E")

#: Seconds after which a callback is said to block the loop.
BLOCKING = 0.1
#: Callbacks that are remembered as told of; after that many nothing is told any more.
_MOST = 1000

log = logging.getLogger("kit")
_told: set[str] = set()


class Listeners(Generic[_E]):
    """Whom to tell of events. Each is a line in the log too; `str()` of it is a sentence."""

    def __init__(self, logger: str, listeners: Sequence[Callable[[_E], object]] = ()) -> None:
        self._log = logging.getLogger(logger)
        #: By a number of their own: a listener may be added twice, and each is removed for itself.
        self._listeners: dict[int, Callable[[_E], object]] = dict(enumerate(listeners))
        self._next = len(self._listeners)

    def __len__(self) -> int:
        return len(self._listeners)

    def add(self, listener: Callable[[_E], object]) -> Callable[[], None]:
        """Tells `listener` too; what is returned removes it again, and lets go of it."""
        number = self._next
        self._next += 1
        self._listeners[number] = listener

        def remove() -> None:
            self._listeners.pop(number, None)

        return remove

    def tell(self, event: _E, *, level: int = logging.INFO) -> None:
        """Logs the event and hands it to every listener. What one raises is logged, and harms nobody."""
        self._log.log(level, "%s", event)
        for listener in tuple(self._listeners.values()):
            try:
                run_callback(listener, event)
            except Exception:  # noqa: BLE001 - it is logged
                self._log.exception("a listener failed on %s", type(event).__name__)


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
