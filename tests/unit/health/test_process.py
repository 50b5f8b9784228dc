"""Readiness follows the components and the warm-up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from kit.errors import ConfigurationError, UsageError
from kit.health import LIVENESS, READINESS, STARTUP, Health, ProcessHealth

SERVICE = "shop.v1.Shop"


def serving(process: ProcessHealth) -> set[str]:
    return {name for name in process.service.names() if process.service.serving(name)}


@asynccontextmanager
async def started(process: ProcessHealth) -> AsyncIterator[ProcessHealth]:
    await process.begin([SERVICE])
    assert serving(process) == {LIVENESS}
    process.started()
    try:
        yield process
    finally:
        process.drain()
        await process.stop()
        await process.close()


async def until(holds: Callable[[], bool]) -> None:
    """Returns when it holds."""
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - it is computed
            await asyncio.sleep(0.001)


async def well() -> None:
    """A check that succeeds."""


async def test_a_process_that_needs_nothing_is_ready_with_its_start() -> None:
    async with started(ProcessHealth(listen="")) as process:
        assert serving(process) == {"", SERVICE, LIVENESS, READINESS, STARTUP}


async def test_it_is_ready_when_all_that_is_required_was_found_well() -> None:
    let_through = asyncio.Event()
    process = ProcessHealth(listen="")
    process.depends_on("database", let_through.wait)
    process.depends_on("cache", asyncio.Event().wait, required=False)
    async with started(process):
        assert serving(process) == {LIVENESS, STARTUP}
        assert process.service.in_the_way == ("database",)
        let_through.set()
        await until(lambda: process.service.serving(READINESS))
        assert serving(process) == {"", SERVICE, LIVENESS, READINESS, STARTUP}


async def test_it_is_unready_while_what_is_required_is_unhealthy_and_liveness_is_not_concerned() -> None:
    answer: list[bool] = [True]

    async def check() -> bool:
        return answer[0]

    process = ProcessHealth(listen="")
    process.depends_on("database", check, every=0.001)
    async with started(process):
        for healthy in (True, False, True):
            answer[0] = healthy
            await until(lambda healthy=healthy: process.service.serving(READINESS) is healthy)  # type: ignore[misc]
            assert process.service.serving(LIVENESS)
            assert process.service.serving(STARTUP)


async def test_a_neighbour_that_never_answers_changes_nothing_of_the_processs_own() -> None:
    process = ProcessHealth(listen="")
    process.depends_on("neighbour", asyncio.Event().wait, required=False, timeout=0.001, every=0.001)
    async with started(process):
        await until(lambda: process.registry.result("neighbour").status is Health.UNHEALTHY)
        assert serving(process) == {"", SERVICE, LIVENESS, READINESS, STARTUP}
        assert process.registry.status is Health.DEGRADED


async def test_warm_ups_run_at_once_and_hold_back_readiness_until_the_last_has_ended() -> None:
    gates = [asyncio.Event(), asyncio.Event()]
    process = ProcessHealth(listen="")
    for gate in gates:
        process.warm_up(gate.wait, 60.0)
    async with started(process):
        assert serving(process) == {LIVENESS, STARTUP}
        gates[1].set()
        await asyncio.sleep(0)
        assert process.service.in_the_way == ("warm-up",)
        gates[0].set()
        await until(lambda: process.service.serving(READINESS))
        await until(lambda: process.registry.result("warm-up").status is Health.HEALTHY)


async def test_a_warm_up_that_fails_or_hangs_leaves_a_process_that_is_ready_and_degraded() -> None:
    async def broken() -> None:
        raise RuntimeError("broken")

    process = ProcessHealth(listen="")
    process.warm_up(broken, 60.0)
    process.warm_up(asyncio.Event().wait, 0.001)
    async with started(process):
        await until(lambda: process.service.serving(READINESS))
        await until(lambda: "cold" in process.registry.result("warm-up").message)
        result = process.registry.result("warm-up")
        assert result.status is Health.DEGRADED
        assert "broken raised RuntimeError" in result.message
        assert "took more than 0.001 s" in result.message


async def test_a_stop_during_the_warm_up_ends_it() -> None:
    entered, cancelled = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    process = ProcessHealth(listen="")
    process.warm_up(hang, 60.0)
    before = asyncio.all_tasks()
    async with started(process):
        await entered.wait()
    assert cancelled.is_set()
    assert asyncio.all_tasks() == before


async def test_the_loop_is_a_component_of_every_process() -> None:
    async with started(ProcessHealth(listen="")) as process:
        await until(lambda: process.registry.result("event loop").status is not Health.UNKNOWN)
        assert process.registry.result("event loop").message.startswith("turns")


def test_where_probes_are_answered_comes_from_the_environment_or_from_the_program() -> None:
    environ = {"KIT_HEALTH_LISTEN": "nonsense"}
    with pytest.raises(ConfigurationError, match="health_listen"):
        ProcessHealth(environ=environ)
    with pytest.raises(ConfigurationError, match="health_listen"):
        ProcessHealth(listen="127.0.0.1:99999", environ={})
    for process in (ProcessHealth(listen="", environ=environ), ProcessHealth(environ={})):
        with pytest.raises(UsageError, match="health_listen"):
            process.port  # noqa: B018
