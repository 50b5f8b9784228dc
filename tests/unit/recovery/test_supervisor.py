"""The supervisor with real, tiny processes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.errors import ConfigurationError, UsageError
from kit.recovery import AliveRules, Child, ChildEvent, ChildState, RestartPolicy, Supervisor
from kit.testing import VirtualClock
from tests.datafiles import ROOT

# It ends when its parent does, as `kit.run` makes a service do.
GOOD = (
    "import os, kit.recovery.stopping as s; t = s.watch_parent(lambda: os._exit(0)); print('up', flush=True); t.join()"
)
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause()"
QUICK = RestartPolicy(base=0, cap=0)


class Events:
    """What happened, and a way to wait for it."""

    def __init__(self) -> None:
        self.all: list[ChildEvent] = []
        self._changed = asyncio.Event()

    def __call__(self, event: ChildEvent) -> None:
        self.all.append(event)
        self._changed.set()

    def of(self, state: ChildState) -> list[ChildEvent]:
        return [event for event in self.all if event.state is state]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


def child(name: str, code: str, log: Path, **options: object) -> Child:
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos' / 'gen'}"}
    return Child(name, [sys.executable, "-P", "-c", code], env=env, log=log, **options)  # type: ignore[arg-type]


def says_up(log: Path) -> Callable[[], bool]:
    return lambda: log.exists() and b"up" in log.read_bytes()


def gone(pid: int) -> bool:
    """Whether no process has that id, or only its remains."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


async def test_a_child_that_is_killed_is_started_again(tmp_path: Path) -> None:
    events, stop, log = Events(), asyncio.Event(), tmp_path / "a.log"
    supervisor = Supervisor([child("a", GOOD, log, ready=says_up(log))], policy=QUICK, on_event=events)
    running = asyncio.create_task(supervisor.run(stop))
    await events.until(lambda: len(events.of(ChildState.READY)) == 1)
    first = supervisor.pids["a"]
    os.kill(first, signal.SIGKILL)
    await events.until(lambda: len(events.of(ChildState.READY)) == 2)
    second = supervisor.pids["a"]
    stop.set()
    await running
    assert first != second
    assert gone(second)
    assert [event.state.value for event in events.all] == [
        *("started", "ready", "exited", "restarting"),
        *("started", "ready", "exited"),
    ]
    assert [event.exit_code for event in events.of(ChildState.EXITED)] == [-signal.SIGKILL, -signal.SIGTERM]


async def test_a_child_that_ends_again_and_again_is_given_up(tmp_path: Path) -> None:
    events = Events()
    supervisor = Supervisor([child("a", "raise SystemExit(7)", tmp_path / "a.log")], policy=QUICK, on_event=events)
    async with asyncio.timeout(30):
        await supervisor.run(asyncio.Event())
    assert [event.exit_code for event in events.of(ChildState.EXITED)] == [7, 7, 7, 7]
    assert events.all[-1].state is ChildState.GAVE_UP
    assert events.all[-1].restarts == 3


async def test_a_program_that_is_not_there_is_given_up_like_one_that_ends(tmp_path: Path) -> None:
    events = Events()
    supervisor = Supervisor([Child("a", [str(tmp_path / "nothing")])], policy=QUICK, on_event=events)
    async with asyncio.timeout(30):
        await supervisor.run(asyncio.Event())
    assert events.all[-1].state is ChildState.GAVE_UP


async def test_children_are_stopped_in_reverse_order(tmp_path: Path) -> None:
    events, stop = Events(), asyncio.Event()
    children = [child(name, GOOD, tmp_path / name, ready=says_up(tmp_path / name)) for name in ("a", "b", "c")]
    supervisor = Supervisor(children, policy=QUICK, on_event=events)
    running = asyncio.create_task(supervisor.run(stop))
    await events.until(lambda: len(events.of(ChildState.READY)) == 3)
    stop.set()
    await running
    assert [event.child for event in events.of(ChildState.EXITED)] == ["c", "b", "a"]


async def test_a_child_that_ignores_sigterm_is_killed_after_the_grace(tmp_path: Path) -> None:
    events, stop, log = Events(), asyncio.Event(), tmp_path / "a.log"
    supervisor = Supervisor([child("a", STUBBORN, log, ready=says_up(log))], policy=QUICK, on_event=events, grace=0.1)
    running = asyncio.create_task(supervisor.run(stop))
    await events.until(lambda: len(events.of(ChildState.READY)) == 1)
    stop.set()
    await running
    assert events.of(ChildState.EXITED)[0].exit_code == -signal.SIGKILL


@pytest.mark.parametrize("waits_for", [ChildState.STARTED, ChildState.READY])
async def test_no_child_is_left_when_the_supervisor_is_cancelled(tmp_path: Path, waits_for: ChildState) -> None:
    events, log = Events(), tmp_path / "a.log"
    supervisor = Supervisor([child("a", GOOD, log, ready=says_up(log))], policy=QUICK, on_event=events)
    running = asyncio.create_task(supervisor.run(asyncio.Event()))
    await events.until(lambda: len(events.of(waits_for)) == 1)
    pid = supervisor.pids["a"]
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert gone(pid)


async def test_a_listener_that_fails_changes_nothing(tmp_path: Path) -> None:
    seen: list[ChildState] = []

    def fail(event: ChildEvent) -> None:
        seen.append(event.state)
        raise ValueError("bug")

    supervisor = Supervisor(
        [child("a", "pass", tmp_path / "a.log")], policy=RestartPolicy(max_restarts=0), on_event=fail
    )
    async with asyncio.timeout(30):
        await supervisor.run(asyncio.Event())
    assert seen[-1] is ChildState.GAVE_UP
    assert supervisor.pids == {}


SUPERVISED = """
import asyncio, sys
from pathlib import Path
from kit.recovery import Child, Supervisor

folder = Path(sys.argv[1])
children = [Child(name, [sys.executable, "-P", "-c", sys.argv[2]], log=folder / name) for name in ("a", "b")]
supervisor = Supervisor(children, on_event=lambda event: print(event.state.value, event.pid, flush=True))
asyncio.run(supervisor.run(asyncio.Event()))
"""


async def test_no_child_is_left_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-c", SUPERVISED, str(tmp_path), GOOD),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos' / 'gen'}"},
    )
    assert process.stdout is not None
    pids: set[int] = set()
    async with asyncio.timeout(60):
        while len(pids) < 2:
            state, pid = (await process.stdout.readline()).split()
            if state == b"ready":
                pids.add(int(pid))
        watched = [os.pidfd_open(pid) for pid in pids]
        process.kill()
        await process.wait()
        loop = asyncio.get_running_loop()
        for descriptor in watched:
            ended = asyncio.Event()
            loop.add_reader(descriptor, ended.set)
            await ended.wait()
            loop.remove_reader(descriptor)
            os.close(descriptor)
    assert all(gone(pid) for pid in pids)


def runs(pid: int) -> bool:
    """Whether the process is not stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="it reads /proc")
async def test_a_child_that_hangs_is_killed_and_started_again(tmp_path: Path) -> None:
    events, stop, log = Events(), asyncio.Event(), tmp_path / "a.log"
    asked: list[int] = []
    often = asyncio.Event()

    async def alive() -> bool:
        asked.append(supervisor.pids["a"])
        if len(asked) == 5:
            often.set()
        return runs(asked[-1])

    supervisor = Supervisor(
        [child("a", GOOD, log, ready=says_up(log), alive=alive)],
        policy=QUICK,
        alive=AliveRules(every=0.01, failures=3),
        on_event=events,
    )
    running = asyncio.create_task(supervisor.run(stop))
    await events.until(lambda: len(events.of(ChildState.READY)) == 1)
    first = supervisor.pids["a"]
    async with asyncio.timeout(30):
        await often.wait()  # it answers, and nothing happens to it
    assert supervisor.pids["a"] == first
    os.kill(first, signal.SIGSTOP)
    await events.until(lambda: len(events.of(ChildState.READY)) == 2)
    assert [event.pid for event in events.of(ChildState.HUNG)] == [first]
    assert events.of(ChildState.EXITED)[0].exit_code == -signal.SIGKILL
    assert len(events.of(ChildState.RESTARTING)) == 1
    stop.set()
    await running


async def test_a_child_that_says_no_because_it_drains_is_left_to_it(tmp_path: Path) -> None:
    events, stop, clock, log = Events(), asyncio.Event(), VirtualClock(), tmp_path / "a.log"
    may_end = tmp_path / "end"
    code = (
        "import os, signal, sys, time\n"
        "def drain(*_):\n    print('draining', flush=True)\n"
        f"    while not os.path.exists({str(may_end)!r}): time.sleep(0.01)\n"
        "    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, drain)\nprint('up', flush=True)\nsignal.pause()"
    )

    async def alive() -> bool:
        return not stop.is_set()

    supervisor = Supervisor(
        [child("a", code, log, ready=says_up(log), alive=alive)],
        alive=AliveRules(every=1.0, failures=3),
        on_event=events,
        grace=60.0,
        clock=clock,
    )
    running = asyncio.create_task(supervisor.run(stop))
    async with asyncio.timeout(30):
        while not events.of(ChildState.READY):
            await clock.advance(1.0)
        stop.set()
        while b"draining" not in log.read_bytes():
            await asyncio.to_thread(os.sched_yield)
    await clock.advance(10.0)
    may_end.touch()
    async with asyncio.timeout(30):
        await running
    assert not events.of(ChildState.HUNG)
    assert [event.exit_code for event in events.of(ChildState.EXITED)] == [0]


async def test_failures_that_are_not_in_a_row_hang_nobody(tmp_path: Path) -> None:
    events, stop, log = Events(), asyncio.Event(), tmp_path / "a.log"
    answers = iter([False, False, True, False, True, False, False, True])
    ended = asyncio.Event()

    async def alive() -> bool:
        answer = next(answers, None)
        if answer is None:
            ended.set()
            return True
        if not answer:
            raise OSError("no answer")
        return answer

    supervisor = Supervisor(
        [child("a", GOOD, log, ready=says_up(log), alive=alive)],
        alive=AliveRules(every=0.001, failures=3),
        on_event=events,
    )
    running = asyncio.create_task(supervisor.run(stop))
    async with asyncio.timeout(30):
        await ended.wait()
    stop.set()
    await running
    assert not events.of(ChildState.HUNG)


async def test_a_second_restart_joins_the_first_and_neither_is_counted(tmp_path: Path) -> None:
    events, stop, log = Events(), asyncio.Event(), tmp_path / "a.log"
    supervisor = Supervisor([child("a", GOOD, log, ready=says_up(log))], policy=QUICK, on_event=events)
    running = asyncio.create_task(supervisor.run(stop))
    await events.until(lambda: len(events.of(ChildState.READY)) == 1)
    assert all(await asyncio.gather(supervisor.restart("a"), supervisor.restart("a")))
    assert len(events.of(ChildState.STARTED)) == 2
    assert not events.of(ChildState.RESTARTING)
    assert await supervisor.restart("a")
    assert len(events.of(ChildState.STARTED)) == 3
    with pytest.raises(UsageError, match="no child 'b'; there are a"):
        await supervisor.restart("b")
    stop.set()
    await running


async def test_children_can_be_told_to_end_all_at_once(tmp_path: Path) -> None:
    events, stop = Events(), asyncio.Event()
    logs = [tmp_path / "a.log", tmp_path / "b.log"]
    # Each ends only when the other one has been told too.
    code = (
        "import pathlib, signal, sys, time; own, other = map(pathlib.Path, {paths!r})\n"
        "signal.signal(signal.SIGTERM, lambda *_: own.write_text('told'))\n"
        "print('up', flush=True)\n"
        "while not other.exists() or not own.exists(): time.sleep(0.01)\n"
    )
    told = [str(tmp_path / "a.told"), str(tmp_path / "b.told")]
    children = [
        child(name, code.format(paths=paths), log, ready=says_up(log))
        for name, log, paths in zip("ab", logs, (told, told[::-1]), strict=True)
    ]
    supervisor = Supervisor(children, on_event=events, grace=60, together=True)
    running = asyncio.create_task(supervisor.run(stop))
    await events.until(lambda: len(events.of(ChildState.READY)) == 2)
    stop.set()
    async with asyncio.timeout(30):
        await running
    assert [event.exit_code for event in events.of(ChildState.EXITED)] == [0, 0]


@pytest.mark.parametrize("wrong", [{"every": 0.0}, {"timeout": float("nan")}, {"failures": 0}])
def test_rules_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError):
        AliveRules(**wrong)  # type: ignore[arg-type]  # what is wrong differs
