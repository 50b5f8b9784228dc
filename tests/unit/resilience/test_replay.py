"""What is kept of a stream of requests: the accounting."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kit.resilience.replay import PREFIX, ReplayBuffer


def filled(limit: int, *messages: str) -> ReplayBuffer[str]:
    buffer: ReplayBuffer[str] = ReplayBuffer(limit)
    for message in messages:
        buffer.sent(message, len(message))
    return buffer


def rest(buffer: ReplayBuffer[str]) -> list[str]:
    found = []
    while buffer.pending:
        found.append(buffer.again())
    return found


def test_each_attempt_gets_all_that_was_sent_in_its_order() -> None:
    buffer = filled(100, "a", "b")
    assert rest(buffer) == []
    buffer.rewind()
    assert rest(buffer) == ["a", "b"]
    buffer.sent("c", 1)
    buffer.rewind()
    assert rest(buffer) == ["a", "b", "c"]
    assert not buffer.committed


def test_it_holds_exactly_what_was_promised() -> None:
    limit = 2 * (3 + PREFIX)
    assert not filled(limit, "abc", "def").committed
    assert filled(limit - 1, "abc", "def").committed
    assert filled(limit, "abc", "def", "").committed


def test_more_than_it_holds_commits_the_call_and_frees_the_buffer() -> None:
    buffer = filled(10, "a", "bcdef")
    assert (buffer.committed, len(buffer)) == (True, 0)
    buffer.sent("c", 1)
    assert len(buffer) == 0


def test_a_message_of_unknown_size_is_not_kept() -> None:
    buffer = filled(100, "a")
    buffer.sent("b", None)
    assert (buffer.committed, len(buffer)) == (True, 0)


def test_messages_that_are_empty_fill_it_too() -> None:
    assert not filled(3 * PREFIX, "", "", "").committed
    assert filled(3 * PREFIX, "", "", "", "").committed


def test_an_answer_that_comes_while_it_is_sent_again_does_not_cut_the_rest_off() -> None:
    buffer = filled(100, "a", "b", "c")
    buffer.rewind()
    assert buffer.again() == "a"
    buffer.commit()
    assert buffer.committed
    assert rest(buffer) == ["b", "c"]
    assert len(buffer) == 0


@given(
    st.integers(0, 60),
    st.lists(st.one_of(st.integers(0, 20), st.sampled_from(["fail", "answer", "again"])), max_size=40),
)
def test_whatever_happens_each_attempt_sends_all_once_and_no_more_is_kept_than_allowed(
    limit: int, events: list[int | str]
) -> None:
    buffer: ReplayBuffer[int] = ReplayBuffer(limit)
    sizes: list[int] = []
    attempt: list[int] = []
    for event in events:
        if event == "fail":
            if not buffer.committed:
                buffer.rewind()
                attempt = []
        elif event == "answer":
            buffer.commit()
        elif buffer.pending:
            attempt.append(buffer.again())
        elif isinstance(event, int):
            attempt.append(len(sizes))
            buffer.sent(len(sizes), event)
            sizes.append(event)
        assert attempt == list(range(len(attempt)))
        held = sizes[len(sizes) - len(buffer) :] if len(buffer) else []
        assert sum(size + PREFIX for size in held) <= limit
        assert buffer.committed or len(buffer) == len(sizes)
    while buffer.pending:
        attempt.append(buffer.again())
    assert attempt == list(range(len(sizes)))
