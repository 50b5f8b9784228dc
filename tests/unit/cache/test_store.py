"""The cache itself: size, age, order of use."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.cache.store import OVERHEAD, ByteCache

HOUR = 3600.0


def room_for(entries: int, value_size: int = 10, key_size: int = 1) -> int:
    return entries * (OVERHEAD + value_size + key_size)


def test_a_value_is_found_until_its_time_is_over() -> None:
    cache = ByteCache(1 << 20)
    cache.set("k", b"value", ttl=10.0, now=100.0)
    found = cache.get("k", now=109.9)
    assert found is not None
    assert (found.value, found.expires_at) == (b"value", 110.0)
    assert cache.get("k", now=110.0) is None


def test_the_least_recently_used_entry_makes_room() -> None:
    cache = ByteCache(room_for(2))
    cache.set("a", b"." * 10, HOUR, now=0)
    cache.set("b", b"." * 10, HOUR, now=1)
    assert cache.get("a", now=2)
    cache.set("c", b"." * 10, HOUR, now=3)
    assert [key for key in "abc" if cache.get(key, now=4)] == ["a", "c"]
    assert cache.stats(now=4).evictions == 1


def test_entries_whose_time_is_over_go_before_any_that_live() -> None:
    cache = ByteCache(room_for(2))
    cache.set("old", b"." * 8, ttl=1.0, now=0)
    cache.set("b", b"." * 10, HOUR, now=0)
    assert cache.get("old", now=0.5)
    cache.set("c", b"." * 10, HOUR, now=2)
    assert cache.get("b", now=2)
    assert cache.stats(now=2).evictions == 0


def test_a_value_that_is_larger_than_the_cache_is_not_kept_and_drives_nothing_out() -> None:
    cache = ByteCache(room_for(1))
    cache.set("a", b"." * 10, HOUR, now=0)
    assert not cache.set("b", b"." * 1000, HOUR, now=0)
    assert cache.get("a", now=0)
    assert not ByteCache(0).set("a", b"", HOUR, now=0)


def test_a_value_too_large_still_replaces_the_older_one() -> None:
    cache = ByteCache(room_for(1))
    cache.set("a", b"." * 10, HOUR, now=0)
    assert not cache.set("a", b"." * 1000, HOUR, now=0)
    assert cache.get("a", now=0) is None


def test_replacing_a_value_restarts_its_time_and_counts_its_bytes_once() -> None:
    cache = ByteCache(1 << 20)
    cache.set("k", b"12345", ttl=1.0, now=0)
    cache.set("k", b"123", ttl=5.0, now=0.5)
    assert cache.get("k", now=3.0)
    assert cache.stats(now=3.0).byte_count == OVERHEAD + 1 + 3


def test_a_shorter_time_wins_over_the_longer_one_before_it() -> None:
    cache = ByteCache(1 << 20)
    cache.set("k", b"1", ttl=100.0, now=0)
    cache.set("k", b"2", ttl=1.0, now=0)
    assert cache.stats(now=2.0).entry_count == 0


def test_a_prefix_drops_exactly_what_starts_with_it() -> None:
    cache = ByteCache(1 << 20)
    for key in ("ws/a/1", "ws/a/2", "ws/ab/1", "x"):
        cache.set(key, b"", HOUR, now=0)
    assert cache.invalidate("ws/a/") == 2
    assert [key for key in ("ws/a/1", "ws/a/2", "ws/ab/1", "x") if cache.get(key, now=0)] == ["ws/ab/1", "x"]


def test_hits_and_misses_are_counted() -> None:
    cache = ByteCache(1 << 20)
    cache.set("k", b"1", ttl=1.0, now=0)
    cache.get("k", now=0)
    cache.get("k", now=2)
    cache.get("other", now=0)
    stats = cache.stats(now=0)
    assert (stats.hits, stats.misses) == (1, 2)


def test_the_list_of_expiries_does_not_grow_with_replacements() -> None:
    cache = ByteCache(1 << 20)
    for number in range(10_000):
        cache.set("k", b"1", HOUR, now=float(number) / 1000)
    assert len(cache._expiries) <= 18


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.sampled_from("abcdef"), st.integers(0, 600), st.floats(0.1, 20)),
        st.tuples(st.just("get"), st.sampled_from("abcdef"), st.just(0), st.just(0.0)),
        st.tuples(st.just("drop"), st.sampled_from("abcdef"), st.just(0), st.just(0.0)),
    ),
    max_size=60,
)


@given(_STEPS, st.integers(0, 2000))
def test_whatever_is_done_the_limit_holds_and_nothing_wrong_is_found(
    steps: list[tuple[str, str, int, float]], limit: int
) -> None:
    cache, model = ByteCache(limit), dict[str, tuple[bytes, float]]()
    for now, (verb, key, size, ttl) in enumerate(steps):
        if verb == "set":
            value = bytes([now]) * size
            kept = cache.set(key, value, ttl, float(now))
            model.pop(key, None)
            if kept:
                model[key] = value, now + ttl
        elif verb == "get":
            found = cache.get(key, float(now))
            if found is not None:
                assert model[key] == (found.value, found.expires_at)
                assert found.expires_at > now
        else:
            cache.invalidate(key)
            model.pop(key, None)
        stats = cache.stats(float(now))
        assert stats.byte_count <= limit
        assert stats.byte_count == sum(OVERHEAD + len(k) + len(e.value) for k, e in cache._entries.items())
        assert stats.entry_count == len(cache._entries) <= len(model)
