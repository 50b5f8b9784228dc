"""The echo service with two workers. A unary call is answered with the process's id; "unready" makes it unready."""

from __future__ import annotations

import asyncio
import os
import sys

from google.protobuf.wrappers_pb2 import StringValue

import kit
from kit.recovery import AliveRules
from kit.server import _run, _workers
from tests.integration.server.echo import Context, Echo, add_echo


class Pids(Echo):
    """Says who answers."""

    async def UnaryUnary(self, request: StringValue, context: Context) -> StringValue:
        if request.value == "unready":
            server.health.hold("a test")
        await asyncio.sleep(0.003)
        return StringValue(value=str(os.getpid()))


class Impatient(_workers.Workers):
    """Asks more often than a real one."""

    def __init__(self, served: kit.Server, count: int) -> None:
        super().__init__(served, count, alive=AliveRules(every=0.2, timeout=1.0, failures=3))


server = kit.Server("pids", register=True, metrics_listen=os.environ.get("METRICS")).add(Pids(), add_echo)

if __name__ == "__main__":
    if os.environ.get("IMPATIENT"):
        _run.Workers = Impatient  # type: ignore[attr-defined, assignment]
    sys.exit(kit.run(server, argv=sys.argv[1:]))
