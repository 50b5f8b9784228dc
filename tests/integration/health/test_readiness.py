"""A server is ready as what it needs is; seen from outside by a stock client."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio
import pytest

from kit.errors import ConfigurationError, UsageError
from kit.health import Health
from kit.server import Server
from tests.integration.client.caring import eventually
from tests.integration.health.conftest import Enter, Switch, says, server, until
from tests.integration.server.echo import SERVICE, Echo, add_echo


async def test_readiness_services_and_the_whole_follow_what_is_required(enter: Enter) -> None:
    database = Switch()
    made = server().add(Echo(), add_echo).depends_on("database", database, every=0.01)
    await enter(made)
    async with grpc.aio.insecure_channel(made.address) as channel:
        for name in ("readiness", SERVICE, ""):
            database.well = True
            await until(channel, name, "SERVING")
            database.well = False
            await until(channel, name, "NOT_SERVING")
        assert [await says(channel, name) for name in ("liveness", "startup")] == ["SERVING", "SERVING"]
        assert made.health.in_the_way == ("database",)


async def test_a_probe_asks_nobody(enter: Enter) -> None:
    database = Switch()
    made = server().depends_on("database", database)
    await enter(made)
    async with grpc.aio.insecure_channel(made.address) as channel:
        await until(channel, "readiness", "SERVING")
        for _ in range(20):
            await says(channel, "readiness")
    assert database.asked == 1


async def test_two_servers_that_need_each_other_a_little_are_both_ready_and_say_what_is_missing(enter: Enter) -> None:
    first, second = server(), server()
    address: list[str] = []

    def other(number: int) -> Switch:
        """Asks the other server, whose address is known later."""

        class Neighbour(Switch):
            async def __call__(self) -> bool:
                async with grpc.aio.insecure_channel(address[number]) as channel:
                    return await says(channel, "") == "SERVING"

        return Neighbour()

    first.depends_on("second", other(1), required=False, every=0.01)
    second.depends_on("first", other(0), required=False, every=0.01)
    await enter(first)
    address.append(first.address)
    await enter(second)
    address.append(second.address)
    await eventually(lambda: {first.components.status, second.components.status} == {Health.HEALTHY})
    await second.stop()
    await eventually(lambda: first.components.result("second").status is Health.UNHEALTHY)
    assert first.health.serving("readiness")
    assert first.components.status is Health.DEGRADED


async def test_a_neighbour_is_asked_by_its_target_and_by_a_channel(enter: Enter) -> None:
    neighbour = server()
    await enter(neighbour)
    neighbour.health.set("sold", False)
    async with grpc.aio.insecure_channel(neighbour.address) as channel:
        made = server().depends_on("by target", neighbour.address, every=0.01)
        made.depends_on("by channel", channel, every=0.01)
        await enter(made)
        async with grpc.aio.insecure_channel(made.address) as client:
            await until(client, "readiness", "SERVING")
            neighbour.health.set("", False)
            await until(client, "readiness", "NOT_SERVING")
            await eventually(lambda: len(made.health.in_the_way) >= 2)
            said = {one.component: (one.status, one.message) for one in made.health_components()}
            assert said["by channel"] == (Health.UNHEALTHY, "answers NOT_SERVING")
            assert said["by target"][0] is Health.UNHEALTHY
            assert "NOT_SERVING" in said["by target"][1]
        await made.stop()


async def test_a_neighbour_without_a_health_service_is_well_if_it_answers(enter: Enter) -> None:
    bare = grpc.aio.server()
    port = bare.add_insecure_port("127.0.0.1:0")
    await bare.start()
    made = server().depends_on("bare", f"127.0.0.1:{port}").depends_on("gone", "127.0.0.1:1", required=False)
    await enter(made)
    async with grpc.aio.insecure_channel(made.address) as channel:
        await until(channel, "readiness", "SERVING")
    await eventually(lambda: made.components.result("gone").status is not Health.UNKNOWN)
    assert made.components.result("gone").status is Health.DEGRADED
    await made.stop()
    await bare.stop(None)


async def test_a_warm_up_holds_back_readiness_and_nothing_else(enter: Enter) -> None:
    gate = asyncio.Event()
    made = server().warm_up(gate.wait)
    await enter(made)
    async with grpc.aio.insecure_channel(made.address) as channel:
        assert await says(channel, "readiness") == "NOT_SERVING"
        assert await says(channel, "startup") == "SERVING"
        gate.set()
        await until(channel, "readiness", "SERVING")


async def test_what_it_depends_on_is_used_before_it_is_closed_and_after_it_is_open(enter: Enter) -> None:
    order: list[str] = []

    async def opened() -> None:
        order.append("open")

    async def closed() -> None:
        order.append("close")

    async def check() -> None:
        order.append("check")

    made = server().on_start(opened).on_stop(closed).depends_on("database", check, every=0.001)
    await enter(made)
    await eventually(lambda: order.count("check") >= 3)
    await made.stop()
    assert (order[0], order[-1]) == ("open", "close")


async def test_probes_are_answered_on_a_port_of_their_own_from_the_start_to_the_end() -> None:
    starting, stopping, go = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def start_slowly() -> None:
        starting.set()
        await go.wait()

    async def stop_slowly() -> None:
        stopping.set()
        await go.wait()

    made = server(health_listen="127.0.0.1:0").on_start(start_slowly).on_stop(stop_slowly)
    being_started = asyncio.create_task(made.start())
    async with asyncio.timeout(20):
        await starting.wait()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{made.health_port}") as channel:
            names = ("liveness", "startup", "readiness", "")
            assert [await says(channel, name) for name in names] == ["SERVING", *["NOT_SERVING"] * 3]
            go.set()
            await being_started
            assert [await says(channel, name) for name in names] == ["SERVING"] * 4
            go.clear()
            being_stopped = asyncio.create_task(made.stop())
            await stopping.wait()
            assert [await says(channel, name) for name in names] == ["SERVING", *["NOT_SERVING"] * 3]
            go.set()
            await being_stopped
    with pytest.raises(OSError, match=r"refused|failed"):
        await asyncio.open_connection("127.0.0.1", made.health_port)


async def test_a_port_for_probes_that_is_taken_ends_the_start(enter: Enter) -> None:
    first = server(health_listen="127.0.0.1:0")
    await enter(first)
    second = server(health_listen=f"127.0.0.1:{first.health_port}")
    with pytest.raises(ConfigurationError, match="is the port taken"):
        await second.start()
    with pytest.raises(UsageError):
        server().health_port  # noqa: B018


async def test_the_health_of_a_server_is_a_document_too(enter: Enter) -> None:
    made = server().depends_on("database", Switch(), every=0.01)
    await enter(made)
    async with grpc.aio.insecure_channel(made.address) as channel:
        await until(channel, "readiness", "SERVING")
    said = made.health_snapshot()
    assert said["statuses"]["readiness"] == "SERVING"
    assert {one["component"]: one["status"] for one in said["components"]}["database"] == "healthy"


@pytest.mark.parametrize("timeout", [0.0, -1.0, float("nan")])
def test_a_warm_up_has_a_time_to_end_in(timeout: float) -> None:
    with pytest.raises(ConfigurationError, match="timeout"):
        Server("shop").warm_up(asyncio.sleep, timeout=timeout)  # type: ignore[arg-type]


async def test_a_server_that_stops_leaves_no_task_and_no_thread() -> None:
    import threading

    # Its thread is there from now on.
    await asyncio.to_thread(bool)
    tasks, threads = asyncio.all_tasks(), threading.active_count()
    made = server().depends_on("database", Switch(), every=0.001).depends_on("gone", "127.0.0.1:1", required=False)
    made.warm_up(asyncio.Event().wait)
    await made.start()
    await made.stop()
    # grpc's own tasks end a little later.
    await eventually(lambda: not asyncio.all_tasks() - tasks and threading.active_count() <= threads)
