"""What happened in this process, told once to whoever listens: `publish`, and the bus behind it.

    kit.events.publish(events_pb2.CacheInvalidated(key="a"), subject="caches/a")
    async for event in kit.events.bus().watch(): ...

An event is a `kitapi.v1.Event`: an id, a time, a position, the trace context of what caused it, and a payload of any
type. `memory` is the bus that each process has from the start; one that keeps events elsewhere has the same `Bus`
protocol. Here live the protocol, the memory bus and what is told by the kit itself (debounced, where something goes to
and fro). Who tells stands where it happens: breakers in `kit.layers`, channels in `kit.client`, servers in
`kit.server`.
"""

from kit.events.bus import Bus
from kit.events.memory import MemoryBus
from kit.events.publishing import bus, caused_by, publish, use

__all__ = ["Bus", "MemoryBus", "bus", "caused_by", "publish", "use"]
