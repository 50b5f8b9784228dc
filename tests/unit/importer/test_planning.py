"""Sharing out the work, and what published splits say about it."""

from __future__ import annotations

from loganalyzer.search.v1 import search_pb2
from services.importer.planning import (
    Covered,
    PlannedFile,
    Tally,
    Totals,
    coverage,
    file_number,
    plan_tasks,
    source_id,
    split_id,
    split_position,
)
from services.importer.progress import Rate
from services.importer.records import TRANSITIONS, State

MB = 1 << 20


def files(*sizes: int, name: str = "a.log") -> list[PlannedFile]:
    return [PlannedFile(number, 0, name, "/a", size) for number, size in enumerate(sizes)]


def tasks(planned: list[PlannedFile]) -> list[int]:
    return [file.task for file in planned]


def run(
    source: str, first: int, lines: int, offset: int, size: int, *, complete: bool = False
) -> search_pb2.SplitSource:
    return search_pb2.SplitSource(
        source_id=source, first_line=first, line_count=lines, byte_offset=offset, byte_count=size, complete=complete
    )


def test_small_files_are_bundled_and_big_ones_stand_alone() -> None:
    planned = plan_tasks(files(MB, MB, 900 * MB, MB, MB), workers=2)
    assert tasks(planned) == [0, 0, 1, 2, 2]


def test_archives_weigh_what_they_probably_unpack_to() -> None:
    assert tasks(plan_tasks(files(3 * MB, 3 * MB, 3 * MB, name="x.zip"), workers=2)) == [0, 1, 2]


def test_a_bundle_has_an_end_in_files_too() -> None:
    assert tasks(plan_tasks(files(*[0] * 7), workers=2, most_files=3)) == [0, 0, 0, 1, 1, 1, 2]


def test_identities_can_be_taken_apart_again() -> None:
    identity = source_id("abcd23abcd23", 1000, 99_999)
    assert len(identity) <= 32
    assert file_number(identity) == 1000
    assert split_position(split_id("abcd23abcd23", 12, 3)) == (12, 3)


def test_coverage_is_the_end_of_the_last_run() -> None:
    first = search_pb2.Split(sources=[run("ax0x0", 1, 10, 0, 100), run("ax1x0", 1, 2, 0, 20, complete=True)])
    second = search_pb2.Split(sources=[run("ax0x0", 11, 5, 100, 50)])
    assert coverage([first, second]) == {"ax0x0": Covered(15, 150, False), "ax1x0": Covered(2, 20, True)}


def test_a_tally_counts_runs_and_whole_files_by_source() -> None:
    tally = Tally({0: 0, 1: 1})
    tally.add_split(search_pb2.Split(sources=[run("ax0x0", 1, 10, 0, 100), run("ax1x0", 1, 2, 0, 20, complete=True)]))
    tally.add_files({0: 3})
    assert tally.by_source == {0: Totals(10, 100, 3), 1: Totals(2, 20, 1)}
    assert tally.all == Totals(12, 120, 4)


def test_a_rate_is_that_of_the_last_seconds() -> None:
    rate = Rate()
    assert rate.per_second == 0
    for second in range(20):
        rate.mark(float(second), second * 100)
    assert rate.per_second == 100
    rate.mark(20.0, 1900)
    assert rate.per_second < 100


def test_every_state_has_its_followers_and_the_ends_have_none() -> None:
    assert set(TRANSITIONS) == set(State)
    assert {state for state, after in TRANSITIONS.items() if not after} == {
        State.SUCCEEDED,
        State.FAILED,
        State.CANCELLED,
    }
