"""The JSON of exports is protobuf's, and its messages are small enough to be sent."""

from __future__ import annotations

import json
import random

from google.protobuf import json_format

from services.search.exports import BODY_BYTES, _Bodies, json_of
from services.search.hits import SHOWN_BYTES, Highlighter, message_of
from services.search.query import normalise, parse
from services.search.seam import LogLine

_BYTES = [
    b"disk",
    b" ",
    b'"',
    b"\\",
    b"\x00",
    b"\x1f",
    b"\x7f",
    b"\xff\xfe",
    "é".encode(),
    "\U0001f600".encode(),
    b"=5",
]
_YEAR_1, _YEAR_10000 = -62_135_596_800_000_000, 253_402_300_800_000_000


def random_line(random: random.Random) -> LogLine:
    time = random.choice(
        [
            None,
            random.randrange(_YEAR_1, _YEAR_10000),
            random.randrange(_YEAR_1, _YEAR_10000) // 1_000_000 * 1_000_000,
            random.randrange(_YEAR_1, _YEAR_10000) // 1000 * 1000,
            random.choice([_YEAR_1, _YEAR_10000 - 1, 0, -1, 1]),
        ]
    )
    return LogLine(
        source_id=random.choice(["aa", "x9"]),
        source=random.choice(["", "app.log", 'a "b".zip!/ü\n.log']),
        number=random.choice([1, 7, 2**40, 2**63 - 1]),
        raw=b"".join(random.choices(_BYTES, k=random.randrange(12))),
        time=time,
        level=random.choice([0, 1, 4, 8, 77]),
        record=random.choice([1, 5]),
    )


def test_each_line_is_what_protobuf_makes_of_its_hit() -> None:
    chance = random.Random(3)
    highlighter = Highlighter(normalise(parse("disk é")))
    for _ in range(3000):
        line, marks = random_line(chance), chance.choice([None, highlighter])
        (body,) = [*_written([line], marks)]
        wanted = json_format.MessageToJson(message_of(line, marks), always_print_fields_with_no_presence=True)
        assert json.loads(body) == json.loads(wanted)


def test_a_line_that_is_too_long_to_be_shown_is_cut() -> None:
    line = LogLine("aa", "app.log", 1, b"x" * (SHOWN_BYTES + 1), None, 0, 1)
    found = json_of(line)
    assert (len(found["text"]), found["textTruncated"]) == (SHOWN_BYTES, True)
    assert found == json_format.MessageToDict(message_of(line), always_print_fields_with_no_presence=True)


def test_times_that_json_cannot_say_are_left_out() -> None:
    for time in (_YEAR_1 - 1, _YEAR_10000, 2**62):
        assert "timestamp" not in json_of(LogLine("aa", "app.log", 1, b"x", time, 0, 1))


def test_a_message_is_never_larger_than_a_client_takes() -> None:
    lines = [LogLine("aa", "app.log", number, b"\x01" * SHOWN_BYTES, None, 0, 1) for number in range(3)]
    bodies = _written([*[LogLine("aa", "a", 1, b"x" * 1000, None, 0, 1)] * 600, *lines], None)
    assert max(map(len, bodies)) < 4 << 20
    assert max(map(len, bodies[:2])) < BODY_BYTES + 2000
    assert sum(body.count(b"\n") for body in bodies) == 603


def _written(lines: list[LogLine], highlighter: Highlighter | None) -> list[bytes]:
    bodies = _Bodies(highlighter)
    return [*bodies.add(lines), bodies.rest()]
