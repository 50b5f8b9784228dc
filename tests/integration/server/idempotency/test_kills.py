"""SIGKILL at every step from pending over running to completed, and thousands of duplicates.

One effect for each key, and no key that is stuck when its lease is over: on SQLite and on PostgreSQL.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from kit.server.idempotency import SqlStore
from tests.datafiles import ROOT
from tests.integration.server.idempotency.conftest import Serve
from tests.integration.server.idempotency.orders import in_database, in_file, make_table, rows, states
from tests.integration.server.idempotency.shop import Answered, Context, send

LEASE = 0.5
KILLED = -signal.SIGKILL
RUNNING, COMPLETED = 2, 3
#: Every step of a call whose effect is in the store's database.
STEPS = [
    "before claim",
    "commit 1",
    "after claim",
    "in handler",
    "before transaction",
    "in transaction",
    "effect written",
    "commit 2",
    "after transaction",
    "effect done",
    "before release",
    "after release",
    "before renew",
    "after renew",
]
#: Every step of a call whose effect is elsewhere, and how often the effect is there in the end.
ELSEWHERE = {
    "after claim": 1,
    "in handler": 1,
    # Nobody can know that it happened: only a transaction, or a receiver that deduplicates as well, helps here.
    "effect done": 2,
    "before complete": 2,
    "commit 2": 2,
    "after complete": 1,
}


@dataclass
class Child:
    """A server of its own process."""

    pid: int
    channel: grpc.aio.Channel | None


class Nursery:
    """The process that forks servers."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._running: set[int] = set()
        self._channels: list[grpc.aio.Channel] = []
        self._turn = asyncio.Lock()

    async def fork(self, url: str, step: str = "", *, file: str = "", lease: float = LEASE) -> Child:
        """A server that serves, or has died of `step`."""
        said = await self._ask(url=url, step=step, file=file, lease=lease)
        self._running.add(said["pid"])
        if not said["address"]:
            return Child(said["pid"], None)
        # Closed at the end: calls that are under way when a process dies are to fail, and not to be cancelled.
        self._channels.append(grpc.aio.insecure_channel(said["address"]))
        return Child(said["pid"], self._channels[-1])

    async def end(self, child: Child) -> int | None:
        """Waits for its end."""
        status: int | None = (await self._ask(wait=child.pid))["status"]
        if status is not None:
            self._running.remove(child.pid)
        return status

    async def close(self) -> None:
        for pid in list(self._running):
            os.kill(pid, signal.SIGKILL)
            await self._ask(wait=pid)
        for channel in self._channels:
            await channel.close()
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()

    async def _ask(self, **command: object) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        async with self._turn, asyncio.timeout(60):
            self._process.stdin.write(json.dumps(command).encode() + b"\n")
            answer: dict[str, Any] = json.loads(await self._process.stdout.readline())
            return answer


@pytest.fixture(scope="module")
async def nursery() -> AsyncIterator[Nursery]:
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos' / 'gen'}"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "tests.integration.server.idempotency.program"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=environment,
        cwd=ROOT,
    )
    nursery = Nursery(process)
    yield nursery
    await nursery.close()


async def sent_to_a_victim(child: Child, text: str, key: str) -> Answered | None:
    """What came of it, if the victim got as far as serving."""
    return None if child.channel is None else await send(child.channel, text, key)


async def order(text: str, _context: Context) -> object:
    return await in_database(text)


async def test_killed_at_any_step_a_call_has_one_effect_and_frees_its_key(
    serve: Serve, nursery: Nursery, url: str, request: pytest.FixtureRequest
) -> None:
    await make_table(url)
    survivor = await serve(SqlStore(url, lease=LEASE), order)
    # On PostgreSQL a claim is one statement; the first commit is that of the effect.
    of_database = [step for step in STEPS if step != "commit 2" or url.startswith("sqlite")]
    steps, places = of_database * request.config.getoption("--kills"), asyncio.Semaphore(5)

    async def kill(number: int, step: str) -> None:
        key = f"{number} {step}".replace(" ", "-")
        async with places:
            victim = await nursery.fork(url, step)
            await sent_to_a_victim(victim, step, key)
            assert await nursery.end(victim) == KILLED, step
            answer = await survivor.send(step, key)
            assert answer.code is grpc.StatusCode.OK, (step, answer)
            again = await survivor.send(step, key)
            assert (again.text, again.replayed) == (answer.text, True), step
            assert (await rows(url))[key] == 1, step

    await asyncio.gather(*(kill(number, step) for number, step in enumerate(steps)))
    assert await states(url) == {COMPLETED: len(steps)}


async def test_killed_while_it_makes_the_tables_a_server_leaves_them_to_the_next(
    serve: Serve, nursery: Nursery, url: str
) -> None:
    victim = await nursery.fork(url, "commit at the start")
    assert victim.channel is None
    assert await nursery.end(victim) == KILLED
    survivor = await serve(url)
    assert (await survivor.send("a book", "k")).text == "a book 1"


@pytest.mark.parametrize("step", ["before look", "after look"])
async def test_one_that_is_killed_while_it_waits_for_another_changes_nothing(
    serve: Serve, nursery: Nursery, url: str, step: str
) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    async def act(text: str, _context: Context) -> object:
        began.set()
        await go_on.wait()
        return await in_database(text)

    await make_table(url)
    # It takes long, and nobody takes over.
    survivor = await serve(SqlStore(url, lease=60.0), act)
    first = asyncio.ensure_future(survivor.send("a book", "k"))
    await began.wait()
    victim = await nursery.fork(url, step, lease=60.0)
    await sent_to_a_victim(victim, "a book", "k")
    assert await nursery.end(victim) == KILLED
    go_on.set()
    assert (await first).code is grpc.StatusCode.OK
    assert await rows(url) == {"k": 1}


async def test_one_that_is_stopped_for_longer_than_its_lease_gives_the_answer_of_the_one_that_took_over(
    serve: Serve, nursery: Nursery, url: str
) -> None:
    await make_table(url)
    survivor = await serve(SqlStore(url, lease=LEASE), order)
    sleeper = await nursery.fork(url)
    assert sleeper.channel is not None
    # Its handler stands still; its lease is renewed, until the whole process stands still.
    first = asyncio.ensure_future(send(sleeper.channel, "stand still", "k"))
    async with asyncio.timeout(30):
        while await states(url) != {RUNNING: 1}:
            await asyncio.to_thread(bool)
    os.kill(sleeper.pid, signal.SIGSTOP)
    second = await survivor.send("stand still", "k")
    os.kill(sleeper.pid, signal.SIGCONT)
    answer = await first
    assert (second.text, second.replayed) == ("order 1", False)
    assert (answer.text, answer.replayed) == ("order 1", True)
    assert await rows(url) == {"k": 1}


@pytest.mark.parametrize("step", ELSEWHERE)
async def test_an_effect_elsewhere_is_there_again_only_if_the_kill_came_between_it_and_its_record(
    serve: Serve, nursery: Nursery, tmp_path: Path, step: str
) -> None:
    url, file = f"sqlite:///{tmp_path / 'keys.db'}", tmp_path / "orders"

    async def act(text: str, _context: Context) -> object:
        return in_file(file, text)

    survivor = await serve(SqlStore(url, lease=LEASE), act)
    victim = await nursery.fork(url, step, file=str(file))
    await sent_to_a_victim(victim, "a book", "k")
    assert await nursery.end(victim) == KILLED
    answers = [await survivor.send("a book", "k") for _ in "12"]
    assert {answer.text for answer in answers} == {"order of a book"}
    assert len(file.read_text().splitlines()) == ELSEWHERE[step]


async def test_duplicates_over_several_processes_that_are_killed_have_one_effect_for_each_key(
    nursery: Nursery, url: str, request: pytest.FixtureRequest
) -> None:
    """With --kills 20: 500 keys, 20 calls each, ten thousand in all."""
    size = request.config.getoption("--kills")
    keys, times = (500, 20) if size > 1 else (40, 5)
    await make_table(url)
    chance = random.Random(size)
    alive = [await nursery.fork(url, lease=2.0) for _ in range(3)]
    calls = [f"key-{number}" for number in range(keys) for _ in range(times)]
    chance.shuffle(calls)
    answers: dict[str, set[str]] = {key: set() for key in calls}
    done, places = 0, asyncio.Semaphore(60)
    quarters = {quarter * len(calls) // 4: asyncio.Event() for quarter in (1, 2, 3)}

    async def call(key: str) -> None:
        nonlocal done
        async with places:
            while True:
                child = chance.choice(alive)
                assert child.channel is not None
                answer = await send(child.channel, f"what {key} wants", key)
                if answer.code is grpc.StatusCode.OK:
                    break
                assert answer.code is grpc.StatusCode.UNAVAILABLE, answer
            answers[key].add(answer.text)
            done += 1
            if done in quarters:
                quarters[done].set()

    async def kill() -> None:
        for quarter in quarters.values():
            await quarter.wait()
            victim = alive.pop(0)
            os.kill(victim.pid, signal.SIGKILL)
            assert await nursery.end(victim) == KILLED
            alive.append(await nursery.fork(url, lease=2.0))

    async with asyncio.timeout(600), asyncio.TaskGroup() as group:
        group.create_task(kill())
        for key in calls:
            group.create_task(call(key))
    assert {key: len(texts) for key, texts in answers.items()} == dict.fromkeys(answers, 1)
    assert await rows(url) == dict.fromkeys(answers, 1)
    assert await states(url) == {COMPLETED: keys}
