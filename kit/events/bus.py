"""What a bus is: a log of events with positions, that takes more at its end and is read from any position on.

The same protocol fits a ring in memory, a table, and a stream of a broker:

- `append` returns when the event is in the log, as safe as the log is: what it has returned for is not lost. It is for
  who must know, such as an outbox that may then strike its row out. An event whose id is in the log already is not
  appended again, so what was sent and not acknowledged may be sent again.
- `post` does not wait: it is called on the path of calls, where something has just happened. A log that has to wait for
  a disk or a network queues what is posted, within bounds, and writes it in the background.
- `watch` has no queue for a slow reader: it reads the log by position. What has left the log before it was read is told
  by an `EventsLost` in its place.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from kitapi.v1 import events_pb2

__all__ = ["Bus"]


class Bus(Protocol):
    """See the module. Sequences begin at 1 and have no holes."""

    @property
    def last(self) -> int:
        """The sequence of the newest event; 0 before the first."""
        ...

    def post(self, event: events_pb2.Event) -> None:
        """Takes the event without waiting, from any thread. It gets its sequence when it is in the log."""
        ...

    async def append(self, event: events_pb2.Event) -> int:
        """Returns the event's sequence when it is in the log."""
        ...

    def watch(self, after: int = 0) -> AsyncGenerator[events_pb2.Event, None]:
        """Events after that position, then those to come, without end. 0: from the first that is kept.

        A position that is beyond the newest is one of another log, as of a process that has been started again: then it
        begins with the first that is kept, too. Yields are not to be changed.
        """
        ...
