"""The states of an import as a machine: the pure answers, and the store that records only what may follow."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from services.importer.database import Database
from services.importer.records import TRANSITIONS, Ask, Ended, State, answer
from services.importer.store import ImportStore, WrongState

ENDS = {State.SUCCEEDED, State.FAILED, State.CANCELLED}
#: What a caller gets: a state, None for no change, Ended for a refusal.
ANSWERS: dict[tuple[State, Ask], object] = {
    (State.QUEUED, Ask.PAUSE): State.PAUSED,
    (State.QUEUED, Ask.RESUME): None,
    (State.QUEUED, Ask.CANCEL): State.CANCELLED,
    (State.RUNNING, Ask.PAUSE): State.PAUSED,
    (State.RUNNING, Ask.RESUME): None,
    (State.RUNNING, Ask.CANCEL): State.CANCELLED,
    (State.PAUSED, Ask.PAUSE): None,
    (State.PAUSED, Ask.RESUME): State.QUEUED,
    (State.PAUSED, Ask.CANCEL): State.CANCELLED,
    **{(end, ask): Ended for end in ENDS for ask in (Ask.PAUSE, Ask.RESUME)},
    **{(end, Ask.CANCEL): None for end in ENDS},
}


@pytest.mark.parametrize(("state", "ask"), [(state, ask) for state in State for ask in Ask])
def test_everything_that_can_be_asked_has_its_answer(state: State, ask: Ask) -> None:
    wanted = ANSWERS[state, ask]
    if wanted is Ended:
        with pytest.raises(Ended):
            answer(state, ask)
    else:
        assert answer(state, ask) is wanted


def test_an_answer_is_always_a_transition() -> None:
    for (state, ask), wanted in ANSWERS.items():
        if isinstance(wanted, State):
            assert wanted in TRANSITIONS[state], (state, ask)


def test_every_state_has_its_followers_and_can_reach_an_end() -> None:
    assert set(TRANSITIONS) == set(State)
    assert {state for state, after in TRANSITIONS.items() if not after} == ENDS
    for state in State:
        reached, ahead = {state}, [state]
        while ahead:
            new = TRANSITIONS[ahead.pop()] - reached
            reached |= new
            ahead += new
        assert reached & ENDS


def test_only_what_works_succeeds_or_fails_and_only_what_is_paused_is_queued_again() -> None:
    before = {state: {one for one, after in TRANSITIONS.items() if state in after} for state in State}
    assert before == {
        State.QUEUED: {State.PAUSED},
        State.RUNNING: {State.QUEUED},
        State.PAUSED: {State.QUEUED, State.RUNNING},
        State.SUCCEEDED: {State.RUNNING},
        State.FAILED: {State.QUEUED, State.RUNNING},
        State.CANCELLED: {State.QUEUED, State.RUNNING, State.PAUSED},
    }


@pytest.mark.parametrize("seed", range(5))
async def test_the_store_goes_only_where_the_table_leads(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    database = Database(tmp_path / "importer.db")
    await database.open()
    store = ImportStore(database)
    await store.create("abcd", "default", [("/a", "/a")], 1)
    state = State.QUEUED
    for _ in range(60):
        wanted = chance.choice(list(State))
        allowed = wanted in TRANSITIONS[state]
        try:
            if wanted in ENDS:
                await store.finish("abcd", wanted, {}, message="", now=2)
            else:
                await store.set_state("abcd", wanted)
        except WrongState:
            assert not allowed
            assert wanted is not state or state in ENDS
        else:
            assert allowed or wanted is state
            state = wanted
        row = await store.get("abcd")
        assert row is not None
        assert row.state is state
        assert row.ended == (state in ENDS)
    await database.close()
