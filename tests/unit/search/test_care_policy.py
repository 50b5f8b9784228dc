"""What index care decides to do next, from views and facts alone."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from loganalyzer.search.v1 import search_pb2
from services.search.care.policy import Delete, Facts, Index, Keep, Limits, Rebuild, Unhide, next_job
from services.search.index.layout import SCHEMA_VERSION
from services.search.view import Published, View

NOW = 2_000_000_000.0
MB = 1 << 20
WORKSPACE = "default"


def split(
    number: int,
    size: int = 10 * MB,
    *,
    age: float = 3600.0,
    sources: tuple[str, ...] = ("aa",),
    import_name: str = "one",
    times: tuple[float, float] | None = None,
    version: int = SCHEMA_VERSION,
) -> search_pb2.Split:
    made = search_pb2.Split(id=f"s{number}", raw_bytes=size, line_count=10, schema_version=version)
    made.create_time.FromMicroseconds(int((NOW - age) * 1_000_000))
    for source in sources:
        made.sources.add(source_id=source, import_name=import_name, line_count=10)
    if times is not None:
        made.has_times = True
        made.min_time_us, made.max_time_us = (int((NOW - age) * 1_000_000) for age in times)
    return made


def view(*splits: search_pb2.Split, hidden: frozenset[str] = frozenset()) -> dict[str, View]:
    published = tuple(Published(number, WORKSPACE, each) for number, each in enumerate(splits, 1))
    return {WORKSPACE: View(7, published, hidden)}


def all_indexed(views: dict[str, View], **facts: object) -> Facts:
    indexed = {(name, each.split.id) for name, found in views.items() for each in found.splits}
    return replace(Facts(now=NOW, indexed=indexed), **facts)  # type: ignore[arg-type]


def joined(*splits: search_pb2.Split, **facts: object) -> list[str] | None:
    """Ids of the splits that are joined next."""
    views = view(*splits)
    job = next_job(views, all_indexed(views, **facts))
    assert job is None or isinstance(job, Rebuild)
    return None if job is None else [each.id for each in job.splits]


def test_where_all_is_in_order_nothing_is_done() -> None:
    views = view(split(1, 200 * MB), split(2, 200 * MB))
    assert next_job(views, all_indexed(views)) is None
    assert next_job({}, Facts(now=NOW)) is None


def test_the_split_that_was_published_last_gets_its_index_first() -> None:
    views = view(split(1), split(2), split(3))
    assert next_job(views, Facts(now=NOW)) == Index(WORKSPACE, split(3), grams=True)
    assert next_job(views, Facts(now=NOW, indexed={(WORKSPACE, "s3")})) == Index(WORKSPACE, split(2), grams=True)


def test_a_tiny_split_gets_no_block_index() -> None:
    assert next_job(view(split(1, 1000)), Facts(now=NOW)) == Index(WORKSPACE, split(1, 1000), grams=False)


def test_deleted_sources_come_first() -> None:
    views = view(split(1), split(2, sources=("bb", "cc")), hidden=frozenset({"cc"}))
    job = next_job(views, Facts(now=NOW, keep={WORKSPACE: Keep(max_bytes=1)}))
    assert isinstance(job, Rebuild)
    assert (job.splits, job.without) == ((split(2, sources=("bb", "cc")),), frozenset({"cc"}))


def test_a_deleted_source_of_which_nothing_is_left_is_forgotten() -> None:
    views = view(split(1), hidden=frozenset({"cc"}))
    assert next_job(views, all_indexed(views)) == Unhide(WORKSPACE, "cc")


def test_splits_whose_newest_line_is_too_old_are_deleted_oldest_first() -> None:
    day = 86_400.0
    views = view(
        split(1, 200 * MB, times=(9 * day, 5 * day)),
        split(2, 200 * MB, times=(9 * day, 7 * day)),
        split(3, 200 * MB, times=(9 * day, 1 * day)),
    )
    facts = all_indexed(views, keep={WORKSPACE: Keep(max_age=3 * day)})
    job = next_job(views, facts)
    assert isinstance(job, Delete)
    assert job.split.id == "s2"


def test_lines_without_a_time_are_as_old_as_their_import() -> None:
    day = 86_400.0
    keep = {WORKSPACE: Keep(max_age=3 * day)}
    young = view(split(1, 200 * MB, age=day))
    assert next_job(young, all_indexed(young, keep=keep)) is None
    old = view(split(1, 200 * MB, age=4 * day))
    assert isinstance(next_job(old, all_indexed(old, keep=keep)), Delete)
    # Some of its lines have a time, long ago, and others none.
    mixed = view(split(1, 200 * MB, age=day, times=(9 * day, 9 * day)))
    assert isinstance(next_job(mixed, all_indexed(mixed, keep=keep)), Delete)
    assert next_job(mixed, all_indexed(mixed, keep=keep, undated={(WORKSPACE, "s1")})) is None


def test_above_the_limit_of_bytes_the_oldest_are_deleted_and_the_newest_stays() -> None:
    views = view(*(split(number, 200 * MB, times=(number, number)) for number in (3, 1, 2)))
    job = next_job(views, all_indexed(views, keep={WORKSPACE: Keep(max_bytes=400 * MB)}))
    assert isinstance(job, Delete)
    assert job.split.id == "s3"
    assert next_job(views, all_indexed(views, keep={WORKSPACE: Keep(max_bytes=600 * MB)})) is None
    last = view(split(1, 200 * MB, times=(1, 1)))
    assert next_job(last, all_indexed(last, keep={WORKSPACE: Keep(max_bytes=1)})) is None


def test_four_small_neighbours_are_joined() -> None:
    imports = [split(number, import_name=f"import {number}") for number in range(1, 5)]
    assert joined(*imports[:3]) is None
    assert joined(*imports) == ["s1", "s2", "s3", "s4"]


def test_two_of_one_import_are_joined() -> None:
    assert joined(split(1), split(2)) == ["s1", "s2"]


def test_a_large_split_parts_small_ones() -> None:
    assert joined(split(1), split(2, 100 * MB, import_name="two"), split(3)) is None


def test_a_young_split_waits() -> None:
    assert joined(split(1), split(2, age=59)) is None
    assert joined(split(1), split(2, age=60)) == ["s1", "s2"]


def test_what_is_joined_is_not_larger_than_the_limit() -> None:
    assert joined(*(split(number, 60 * MB) for number in range(1, 8))) == ["s1", "s2", "s3", "s4"]


def test_a_large_one_is_not_copied_for_the_sake_of_a_small_one() -> None:
    assert joined(split(1, 60 * MB), split(2, MB)) is None
    assert joined(split(1, 60 * MB), *(split(number, MB) for number in range(2, 5))) == ["s2", "s3", "s4"]


def test_what_is_joined_has_no_more_runs_than_fit_into_a_message() -> None:
    many = tuple(f"s{number}" for number in range(400))
    assert joined(*(split(number, sources=many) for number in range(1, 5))) == ["s1", "s2"]


def test_splits_that_could_not_be_read_are_left_alone() -> None:
    assert joined(split(1), split(2), left_alone={(WORKSPACE, "s2")}) is None
    assert next_job(view(split(1)), Facts(now=NOW, left_alone={(WORKSPACE, "s1")})) is None


def test_an_old_version_is_brought_up_when_nothing_has_happened_for_a_while() -> None:
    views = view(split(1, 200 * MB, version=1))
    assert next_job(views, all_indexed(views, changed={WORKSPACE: NOW - 29})) is None
    job = next_job(views, all_indexed(views, changed={WORKSPACE: NOW - 30}))
    assert isinstance(job, Rebuild)
    assert job.splits == (split(1, 200 * MB, version=1),)


@given(st.lists(st.integers(1, 100 * MB), max_size=30))
def test_joining_comes_to_an_end_and_copies_each_byte_a_few_times_only(sizes: list[int]) -> None:
    copied = 0
    limits = Limits(several=4)
    while True:
        views = view(*(split(number, size, import_name=f"{number}") for number, size in enumerate(sizes)))
        job = next_job(views, all_indexed(views, limits=limits))
        if job is None:
            break
        assert isinstance(job, Rebuild)
        first = int(job.splits[0].id[1:])
        chosen = sizes[first : first + len(job.splits)]
        assert len(chosen) >= 4
        assert sum(chosen) <= limits.joined
        copied += sum(chosen)
        sizes[first : first + len(chosen)] = [sum(chosen)]
    assert copied <= 8 * sum(sizes)
