"""A server is ready as long as its database is, and says what it knows of it; probes ask nobody.

python examples/health.py
"""

import asyncio
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

import kit
from kit.health import DiskSpace, HealthLayer


class Database:
    """Stands for one."""

    up = True

    async def ping(self) -> None:
        if not self.up:
            raise ConnectionError("the database does not answer")


async def main() -> None:
    database, filled = Database(), asyncio.Event()

    server = kit.Server("shop", register=False)
    server.depends_on("database", database.ping, every=0.1, timeout=2.0)
    server.depends_on("disk", DiskSpace("/tmp"))
    server.depends_on("billing", "127.0.0.1:1", required=False)
    server.warm_up(filled.wait)

    events: asyncio.Queue[object] = asyncio.Queue()
    server.components.listen(lambda event: events.put_nowait(event) if event.component == "database" else None)

    async with server, grpc.aio.insecure_channel(server.address) as channel:
        probe = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service="readiness"))
        print("readiness:", await status(probe), "until it is warm")
        filled.set()
        print("readiness:", await status(probe))
        print("event:", await events.get())

        database.up = False
        print("readiness:", await status(probe), "for want of", *server.health.in_the_way)
        print("event:", await events.get())

        database.up = True
        print("readiness:", await status(probe))
        print("event:", await events.get())

        for one in server.health_components():
            if one.layer is HealthLayer.SERVICES:
                print(f"{one.component} is {one.status.value}")


async def status(watch: Any) -> str:
    """The next one that the stream tells."""
    answer = await watch.read()
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


if __name__ == "__main__":
    asyncio.run(main())
