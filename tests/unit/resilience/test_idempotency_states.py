"""The states of an idempotency key: every event in every state, and what a call does about it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kit.resilience.idempotency_states import (
    TRANSITIONS,
    Decision,
    Event,
    KeyState,
    Record,
    Verdict,
    claimed,
    completed,
    decide,
    is_over,
    released,
    renewed,
)

LEASE, TTL = 10.0, 100.0
PRINT, OTHER = b"a request", b"another request"


def claim(record: Record | None, owner: str, now: float, fingerprint: bytes = PRINT) -> Record:
    assert decide(record, fingerprint, owner, now).verdict is Verdict.RUN
    return claimed(record, fingerprint=fingerprint, owner=owner, now=now, lease=LEASE, ttl=TTL)


def complete(record: Record | None, owner: str, now: float, answer: bytes = b"done") -> Record | None:
    return completed(record, owner=owner, answer=answer, now=now, ttl=TTL)


def at(state: KeyState | None) -> Record | None:
    """A record of "a" in that state, made at 0."""
    if state is None:
        return None
    running = claim(None, "a", 0.0)
    if state is KeyState.PENDING:
        return released(running, owner="a")
    return complete(running, "a", 0.0) if state is KeyState.COMPLETED else running


def apply(record: Record | None, event: Event) -> KeyState | None:
    """The state after the event, "a" being the owner; raises where it cannot happen."""
    if event is Event.CLAIM:
        return claim(record, "b", 1.0).state
    if event is Event.TAKE_OVER:
        assert record is not None
        assert record.owner == "a"
        assert record.state is KeyState.RUNNING
        return claim(record, "b", LEASE).state
    if event is Event.FORGET:
        assert is_over(record, TTL) if record is not None else False
        return None
    after = {
        Event.RENEW: renewed(record, owner="a", now=1.0, lease=LEASE),
        Event.COMPLETE: complete(record, "a", 1.0),
        Event.RELEASE: released(record, owner="a"),
    }[event]
    assert after is not None
    return after.state


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("state", [None, *KeyState])
def test_the_functions_do_what_the_table_says_and_nothing_else(state: KeyState | None, event: Event) -> None:
    record = at(state)
    if (state, event) in TRANSITIONS:
        assert apply(record, event) == TRANSITIONS[state, event]
        return
    again = {(KeyState.COMPLETED, Event.COMPLETE), (KeyState.PENDING, Event.RELEASE)}
    if (state, event) in again:
        assert apply(record, event) is state
        return
    with pytest.raises(AssertionError):
        apply(record, event)


def test_every_state_can_be_reached_and_left() -> None:
    assert set(TRANSITIONS.values()) == {None, *KeyState}
    assert {before for before, _ in TRANSITIONS} == {None, *KeyState}


def test_a_twin_waits_for_the_rest_of_the_lease_and_takes_over_at_its_end() -> None:
    record = claim(None, "a", 0.0)
    assert decide(record, PRINT, "b", 4.0) == Decision(Verdict.WAIT, wait=6.0)
    assert decide(record, PRINT, "b", LEASE).verdict is Verdict.RUN
    renewal = renewed(record, owner="a", now=4.0, lease=LEASE)
    assert decide(renewal, PRINT, "b", LEASE) == Decision(Verdict.WAIT, wait=4.0)


def test_an_owner_that_was_taken_over_changes_nothing() -> None:
    record = claim(claim(None, "a", 0.0), "b", LEASE)
    assert record.generation == 2
    assert complete(record, "a", LEASE) is None
    assert released(record, owner="a") is None
    assert renewed(record, owner="a", now=LEASE, lease=LEASE) is None
    done = complete(record, "b", LEASE)
    assert complete(done, "a", LEASE) is None


def test_an_owner_whose_lease_is_over_may_complete_while_nobody_took_over() -> None:
    record = claim(None, "a", 0.0)
    done = complete(record, "a", 3 * LEASE)
    assert done is not None
    assert decide(done, PRINT, "b", 3 * LEASE) == Decision(Verdict.REPLAY, answer=b"done")


def test_what_is_said_twice_is_done_once() -> None:
    record = claim(None, "a", 0.0)
    assert claim(record, "a", 1.0) == replace(record, lease_until=1.0 + LEASE)
    done = complete(record, "a", 2.0)
    assert complete(done, "a", 3.0, b"another answer") == done
    free = released(record, owner="a")
    assert released(free, owner="a") == free


@pytest.mark.parametrize("state", KeyState)
def test_another_request_under_the_same_key_is_refused_until_it_is_forgotten(state: KeyState) -> None:
    record = at(state)
    assert record is not None
    assert decide(record, OTHER, "b", TTL - 1).verdict is Verdict.REUSED
    assert claim(record, "b", TTL, OTHER).generation == record.generation + 1


def test_what_runs_is_not_forgotten_however_short_the_time_that_answers_are_kept() -> None:
    record = claimed(None, fingerprint=PRINT, owner="a", now=0.0, lease=LEASE, ttl=1.0)
    assert not is_over(record, 5.0)
    assert decide(record, PRINT, "b", 5.0).verdict is Verdict.WAIT
    assert is_over(record, LEASE)
    assert renewed(record, owner="a", now=5.0, lease=LEASE) == replace(record, lease_until=15.0, expires_at=15.0)


def test_an_answer_is_kept_from_when_it_was_given() -> None:
    record = renewed(claim(None, "a", 0.0), owner="a", now=TTL, lease=LEASE)
    done = complete(record, "a", TTL)
    assert done is not None
    assert not is_over(done, 2 * TTL - 1)
    assert is_over(done, 2 * TTL)
