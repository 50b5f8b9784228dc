"""Balancing in any order of events, each way to pick against one model."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from kit.resilience.balance import BalanceKind, Balancer, BalanceRules, Pick, balancer

KEYS = st.sampled_from("abcdef")
CHANCE = st.floats(0, 1, exclude_max=True)


class Machine(RuleBasedStateMachine):
    picks = Bundle("picks")

    @initialize(kind=st.sampled_from(BalanceKind), slow_start=st.sampled_from([0.0, 10.0]))
    def begin(self, kind: BalanceKind, slow_start: float) -> None:
        rules = BalanceRules(kind=kind, slow_start=slow_start)
        self.balancer, self.twin = balancer(rules), balancer(rules)
        self.now = 0.0
        self.ready: dict[str, bool] = {}
        #: The life of a key, which ends with its removal, and its picks in flight.
        self.lives: dict[str, int] = {}
        self.in_flight: dict[str, int] = {}
        self.life = 0

    def both(self, method: str, *args: Any, **named: Any) -> Any:
        """The twin is told the same and must answer the same."""
        one, other = (getattr(found, method)(*args, **named) for found in (self.balancer, self.twin))
        assert getattr(one, "key", None) == getattr(other, "key", None)
        return one, other

    @rule(seconds=st.sampled_from([0.001, 0.5, 7.0, 100.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(key=KEYS, weight=st.sampled_from([0.5, 1.0, 7.0]), ready=st.booleans())
    def add(self, key: str, weight: float, ready: bool) -> None:
        self.both("add", key, self.now, weight=weight, ready=ready)
        if key not in self.ready:
            self.life += 1
            self.ready[key], self.lives[key], self.in_flight[key] = ready, self.life, 0

    @rule(key=KEYS)
    def remove(self, key: str) -> None:
        self.both("remove", key)
        for table in (self.ready, self.lives, self.in_flight):
            table.pop(key, None)

    @rule(key=KEYS, ready=st.booleans())
    def set_ready(self, key: str, ready: bool) -> None:
        if key in self.ready:
            self.both("set_ready", key, self.now, ready=ready)
            self.ready[key] = ready

    @rule(target=picks, u1=CHANCE, u2=CHANCE, avoid=st.lists(KEYS, max_size=4), exclude=st.frozensets(KEYS, max_size=3))
    def pick(self, u1: float, u2: float, avoid: list[str], exclude: frozenset[str]) -> Any:
        allowed = {key for key, ready in self.ready.items() if ready} - exclude
        picks = self.both("pick", self.now, u1, u2, avoid=avoid, exclude=exclude)
        if picks[0] is None:
            assert not allowed
            return None
        key = str(picks[0].key)
        assert key in allowed
        if allowed - set(avoid):
            assert key not in avoid
        elif len(allowed) > 1 and avoid:
            assert key != avoid[-1]
        self.in_flight[key] += 1
        return picks, key, self.lives[key]

    @rule(picked=consumes(picks), how=st.sampled_from(["success", "failure", "released"]), again=st.booleans())
    def settle(self, picked: tuple[tuple[Pick, Pick], str, int] | None, how: str, again: bool) -> None:
        if picked is None:
            return
        pair, key, life = picked
        for pick in pair:
            args = () if how == "released" else (self.now,)
            assert getattr(pick, how)(*args)
            if again:
                assert not getattr(pick, how)(*args)
        if self.lives.get(key) == life:
            self.in_flight[key] -= 1

    @invariant()
    def in_flight_is_what_is_not_settled(self) -> None:
        if hasattr(self, "balancer"):
            found: Balancer = self.balancer
            assert {key: found.in_flight(key) for key in self.in_flight} == self.in_flight


TestBalance = Machine.TestCase
TestBalance.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
