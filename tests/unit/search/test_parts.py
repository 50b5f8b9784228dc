"""Small parts: bounded memory, histogram bars, marks, page tokens, configuration."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import InvalidArgument
from services.search.bars import bars_for
from services.search.config import Config
from services.search.index.split import Order
from services.search.lru import LruCache
from services.search.query import normalise, parse
from services.search.query.highlight import MAX_HIGHLIGHTS, Highlighter
from services.search.requests import now_of, place_of, token_of

_HOUR = 3_600_000_000


def test_the_value_that_was_not_used_for_longest_goes_first() -> None:
    cache: LruCache[str, int] = LruCache(2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.get("a") == 1
    cache.put("c", 3)
    assert [cache.get(key) for key in "abc"] == [1, None, 3]
    cache.drop(lambda key: key == "a")
    assert len(cache) == 1


def test_values_are_kept_by_weight_and_very_heavy_ones_not_at_all() -> None:
    cache: LruCache[str, bytes] = LruCache(100, len)
    for key in "abcdef":
        cache.put(key, b"x" * 20)
    assert [key for key in "abcdef" if cache.get(key)] == ["b", "c", "d", "e", "f"]
    cache.put("f", b"x" * 26)
    assert cache.get("f") is None
    cache.put("b", b"x")
    cache.put("g", b"x" * 20)
    assert [key for key in "bcdeg" if cache.get(key)] == ["b", "c", "d", "e", "g"]


@given(st.integers(-(10**17), 10**17), st.integers(1, 10**17), st.integers(1, 1000))
def test_bars_cover_the_range_and_are_not_more_than_wanted(low: int, span: int, wanted: int) -> None:
    bars = bars_for(low, low + span, wanted)
    assert bars.start % bars.width == 0
    assert bars.start <= low < bars.start + bars.width
    end = bars.start + bars.width * bars.count
    assert end - bars.width < low + span <= end
    assert bars.count <= max(wanted, 2)


def test_bars_have_widths_that_a_person_would_choose() -> None:
    assert [bars_for(0, span * _HOUR, 60).width for span in (1, 24, 24 * 30)] == [60_000_000, _HOUR // 2, 12 * _HOUR]


@pytest.mark.parametrize(
    ("query", "text", "marked"),
    [
        ("disk", "Disk DISK disks", ["Disk", "DISK"]),
        ("a OR b c", "c a b", ["c", "a", "b"]),
        ('"disk full" disk', "disk  FULL disk", ["disk  FULL", "disk"]),
        ("a NOT b level:error", "a b error", ["a"]),
        ("straße ſoft", "STRASSE Straße soft \u017fOFT", ["Straße", "soft", "\u017fOFT"]),
        ("école", "e\u0301cole École", ["École"]),
        ("İx", "ix İX", ["İX"]),
        ("", "nothing", []),
        ("user:bob", '{"user": "bob"}', ["bob"]),
    ],
)
def test_terms_and_phrases_are_marked(query: str, text: str, marked: list[str]) -> None:
    found = Highlighter(normalise(parse(query))).mark(text)
    assert [text[mark.start : mark.end] for mark in found] == marked


def test_marks_are_limited_in_number() -> None:
    assert len(Highlighter(parse("a")).mark("a " * 10_000)) == MAX_HIGHLIGHTS


@given(st.binary(min_size=1, max_size=40))
def test_a_page_token_holds_its_place(place: bytes) -> None:
    token = token_of(place, "default", b"query", Order.NEWEST)
    assert place_of(token, "default", b"query", Order.NEWEST) == place
    for other in (
        (token, "other", b"query", Order.NEWEST),
        (token, "default", b"q", Order.NEWEST),
        (token, "default", b"query", Order.OLDEST),
    ):
        with pytest.raises(InvalidArgument, match="another query"):
            place_of(*other)


@given(st.binary(min_size=1, max_size=40), st.integers(0, 253_402_300_799_999_999))
def test_a_page_token_of_a_query_with_relative_times_holds_their_now(place: bytes, now: int) -> None:
    token = token_of(place, "default", b"query", Order.NEWEST, now=now)
    assert now_of(token) == now
    assert place_of(token, "default", b"query", Order.NEWEST) == place
    assert now_of(token_of(place, "default", b"query", Order.NEWEST)) is None


@pytest.mark.parametrize("now", [-1, 253_402_300_800_000_000])
def test_a_page_token_of_no_year_is_refused(now: int) -> None:
    with pytest.raises(InvalidArgument, match="not a token"):
        now_of(token_of(b"place", "default", b"query", Order.NEWEST, now=now))


@given(st.text(min_size=1, max_size=80))
def test_any_other_text_is_no_page_token(token: str) -> None:
    with pytest.raises(InvalidArgument, match="page_token"):
        place_of(token, "default", b"query", Order.NEWEST)


def test_the_configuration_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIT_DATA_DIR", str(tmp_path))
    config = Config.from_env({"KIT_TARGET_WORKSPACE": "h:1"})
    assert (config.workspace_target, config.cache_target) == ("h:1", "local:///cache")
    assert (config.database, config.splits) == (tmp_path / "search" / "catalog.db", tmp_path / "splits")
