"""What asks a process to stop."""

from __future__ import annotations

import os
import signal

import pytest

from kit.recovery import PARENT_FD, StopRequest, watch_parent


async def test_one_signal_asks_and_the_same_again_hastens() -> None:
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        await stop.requested.wait()
        assert not stop.hastened.is_set()
        assert stop.reason == "SIGINT"
        os.kill(os.getpid(), signal.SIGINT)
        await stop.hastened.wait()


async def test_a_supervisors_sigterm_after_ctrl_c_does_not_hasten() -> None:
    with StopRequest() as stop:
        stop.signalled(signal.SIGINT)
        stop.signalled(signal.SIGTERM)
        assert not stop.hastened.is_set()
        stop.signalled(signal.SIGTERM)
        assert stop.hastened.is_set()


async def test_signals_have_their_usual_effect_again_after_the_block() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopRequest():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) in (before, signal.SIG_DFL)


async def test_the_end_of_the_parent_asks_for_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    read_end, write_end = os.pipe()
    monkeypatch.setenv(PARENT_FD, str(read_end))
    with StopRequest(kill_after=10_000) as stop:
        # Not for the programs that this one starts.
        assert PARENT_FD not in os.environ
        assert not os.get_inheritable(read_end)
        os.close(write_end)
        await stop.requested.wait()
        assert stop.parent_gone
    os.close(read_end)


@pytest.mark.parametrize("value", ["", "x", "999999"])
def test_without_a_pipe_nothing_is_watched(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(PARENT_FD, value)
    assert watch_parent(lambda: None) is None
