"""What a channel tells whoever listens: frozen records, handed to `on_event` on the event loop as they happen.

Every event is a line in the log as well. A listener that raises or takes its time harms no call: the error is logged,
and one that blocks the loop is named once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from kit.callbacks import run_callback

__all__ = ["ChannelEvent", "Listener", "Listeners"]

log = logging.getLogger("kit.client")


@dataclass(frozen=True, kw_only=True, slots=True)
class ChannelEvent:
    """Base of every event. `str()` of it is a sentence."""

    #: What the channel was opened to; "" on a stock channel.
    target: str


Listener: TypeAlias = Callable[[ChannelEvent], object]


class Listeners:
    """Whom to tell."""

    def __init__(self, listeners: Sequence[Listener] = ()) -> None:
        self._listeners = list(listeners)

    def add(self, listener: Listener) -> Callable[[], None]:
        """Tells `listener` too; what is returned removes it again."""
        self._listeners.append(listener)

        def remove() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return remove

    def tell(self, event: ChannelEvent, *, level: int = logging.INFO) -> None:
        """Logs the event and hands it to every listener."""
        log.log(level, "%s", event)
        for listener in tuple(self._listeners):
            try:
                run_callback(listener, event)
            except Exception:
                log.exception("a listener failed on %s", type(event).__name__)
