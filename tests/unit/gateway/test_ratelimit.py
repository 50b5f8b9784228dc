"""GCRA, in virtual time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ratelimit import Limit, Limiter, identity_of
from kit.errors import ConfigurationError


def _limiter(rate: float = 10, burst: int = 5, identities: int = 100) -> Limiter:
    return Limiter(Limit(rate=rate, burst=burst, max_identities=identities))


def test_a_burst_is_allowed_and_the_next_request_is_not() -> None:
    limiter = _limiter()
    assert [limiter.take("a", 1, 0.0).allowed for _ in range(6)] == [True] * 5 + [False]


def test_a_token_comes_back_after_its_time() -> None:
    limiter = _limiter()
    for _ in range(5):
        limiter.take("a", 1, 0.0)
    refused = limiter.take("a", 1, 0.05)
    assert not refused.allowed
    assert refused.reset == pytest.approx(0.05)
    assert limiter.take("a", 1, 0.1).allowed
    assert not limiter.take("a", 1, 0.1).allowed


def test_a_refusal_costs_nothing() -> None:
    limiter = _limiter()
    limiter.take("a", 5, 0.0)
    for _ in range(100):
        limiter.take("a", 1, 0.0)
    assert limiter.take("a", 1, 0.1).allowed


def test_costs_weigh() -> None:
    limiter = _limiter()
    assert limiter.take("a", 3, 0.0).remaining == 2
    assert not limiter.take("a", 3, 0.0).allowed
    assert limiter.take("a", 2, 0.0).allowed


def test_a_cost_of_nothing_is_always_allowed() -> None:
    limiter = _limiter()
    limiter.take("a", 5, 0.0)
    assert limiter.take("a", 0, 0.0).allowed


def test_a_cost_above_the_burst_is_the_whole_burst() -> None:
    limiter = _limiter()
    assert limiter.take("a", 50, 0.0).allowed
    assert not limiter.take("a", 50, 0.4).allowed
    assert limiter.take("a", 50, 0.5).allowed


def test_identities_do_not_touch_each_other() -> None:
    limiter = _limiter()
    limiter.take("a", 5, 0.0)
    assert limiter.take("b", 5, 0.0).allowed


def test_the_least_recently_seen_identity_is_forgotten() -> None:
    limiter = _limiter(identities=2)
    limiter.take("a", 5, 0.0)
    limiter.take("b", 5, 0.0)
    assert not limiter.take("a", 1, 0.0).allowed
    limiter.take("c", 1, 0.0)
    assert not limiter.take("a", 1, 0.0).allowed
    assert limiter.take("b", 5, 0.0).allowed


def test_the_headers_have_the_names_and_forms_of_the_draft() -> None:
    limiter = Limiter(Limit(rate=100 / 60, burst=100))
    decision = limiter.take("a", 50, 0.0)
    assert decision.headers(limiter.limit) == (
        (b"ratelimit-policy", b'"burst";q=100;w=60'),
        (b"ratelimit", b'"burst";r=50;t=30'),
    )


def test_a_refusal_says_when_to_come_back_and_no_sooner_than_its_header() -> None:
    limiter = _limiter(rate=0.5, burst=2)
    limiter.take("a", 2, 0.0)
    decision = limiter.take("a", 1, 0.5)
    problem = decision.problem()
    assert problem.status == 429
    assert problem.type == "https://iana.org/assignments/http-problem-types#quota-exceeded"
    assert problem.retry_header == ((b"retry-after", b"2"),)
    assert decision.headers(limiter.limit)[1] == (b"ratelimit", b'"burst";r=0;t=2')


@pytest.mark.parametrize("options", [{"rate": -1}, {"rate": float("inf")}, {"burst": 0}, {"max_identities": 0}])
def test_an_impossible_limit_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=f"limit.{next(iter(options))}"):
        Limit(**options)  # type: ignore[arg-type]


@given(
    st.lists(st.tuples(st.floats(0, 0.3), st.integers(0, 4)), max_size=60),
    st.integers(1, 6),
    st.sampled_from([0.5, 1.0, 7.0, 1000.0]),
)
def test_no_more_is_ever_given_than_the_burst_and_what_came_back(
    steps: list[tuple[float, int]], burst: int, rate: float
) -> None:
    limiter = _limiter(rate=rate, burst=burst)
    now = 0.0
    given_tokens = 0
    for pause, cost in steps:
        now += pause
        decision = limiter.take("a", cost, now)
        if decision.allowed:
            given_tokens += min(cost, burst)
        assert 0 <= decision.remaining <= burst
        assert decision.reset >= 0
        assert given_tokens <= burst + rate * now + 1e-3 * rate


@pytest.mark.parametrize(
    ("address", "identity"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "unknown"),
    ],
)
def test_an_identity_is_an_address_or_an_ipv6_network(address: str, identity: str) -> None:
    assert identity_of(address) == identity
