"""Feeds the query language whatever it can think of: `python -m tests.fuzz.query --minutes 60 --seed 1`.

Each execution takes a random text, a valid query with a few changes, or a random tree, and a random line. It stops at
the first finding: an exception that is no QuerySyntaxError, a call of more than a second, an error that points outside
of the text, or a broken promise: of rendering, of the normal form, of narrowing, of literals, of marks.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from loganalyzer.search.v1 import query_pb2
from services.search.index.trigrams import fold_bytes
from services.search.query import QuerySyntaxError, bounds_of, key_of, normalise, parse, render
from services.search.query.explain import steps
from services.search.query.highlight import Highlighter
from services.search.query.literals import required
from services.search.query.narrow import narrow
from services.search.query.parser import MAX_LENGTH
from services.search.query.predicate import SubjectLine, compile_predicate
from tests.unit.search.queries import met, subjects

NOW = 1_700_000_000_000_000
#: Seconds that no single call may take.
SLOWEST = 1.0
_BATCH = 200

QUERIES = """
error failed password|"failed password"|a OR (b AND NOT c)|level:>=warn NOT kafka|level:info..error|source:"a b"
time:[2016-12-19 16:00 TO *] x|time:>=2016-12-19T16:00:00+02:00|time:-2d..-1d|last:1d12h|time:..|time:<now-1h
cod* *edi* a?b|/err(or|s)?:\\s+\\d{3}/i /a\\/b/|contains:"om-se" contains_case:'x'|case:"Error Code"|colour~ colour~2
user.id:42 port:>=1024 size:10..20 name:"a \\"b\\"" host:web-* a:~"x y*" b:* "a b":1 "level":x @t:<5|source_id:aa
http://x/y?z 12:30:05 C:\\path std::sort {"a":"b"}|(((((a)))))|NOT NOT NOT a|/(a|b){1,50}[^c]+$/ /\\pL+\\PN/
"""
_WORDS = "AND OR NOT TO level: time: last: contains: case: .. >= <= now -1h 15m ~2 (?i) \\Q \\E {1000} a 0 9"
_PIECES = [*"()\":/\\*?~<>=.-_|[]{}^$+,'` \n\t\0é日ſİ\u0301\U0001f600\ud800", *_WORDS.split()]
T = TypeVar("T")


class FindingError(Exception):
    """What the fuzzer looks for."""


def timed(call: Callable[[], T], what: str) -> T:
    """The result of a call that may take SLOWEST seconds. A pause of the machine is no finding: it is tried thrice."""
    for _ in range(3):
        start = time.perf_counter()
        result = call()
        taken = time.perf_counter() - start
        if taken <= SLOWEST:
            return result
    raise FindingError(f"{what} took {taken:.2f} s")


def mutated(random_: random.Random) -> str:
    """A query with a few pieces put in, taken out, repeated or moved."""
    known = [query for line in QUERIES.split("\n") for query in line.split("|") if query]
    text = random_.choice(known)
    for _ in range(random_.randrange(6)):
        at, to = sorted(random_.randrange(len(text) + 1) for _ in range(2))
        match random_.randrange(5):
            case 0:
                text = text[:at] + random_.choice(_PIECES) + text[at:]
            case 1:
                text = text[:at] + text[to:]
            case 2:
                text = text[:to] + text[at:to] * random_.choice([1, 2, 40, 400]) + text[to:]
            case 3:
                text = text[:at] + random_.choice(known) + text[at:]
            case _:
                text = text[at:] + " " + text[:at]
    return text[: MAX_LENGTH + 10]


def check_text(text: str, line: SubjectLine, seen: Counter[str]) -> None:
    """A text is a query that keeps every promise, or a syntax error within the text."""
    try:
        query = timed(lambda: parse(text, now=NOW), "parse")
    except QuerySyntaxError as error:
        if not 0 <= error.position <= len(text):
            raise FindingError(f"the error points to {error.position}") from error
        seen["refused"] += 1
        return
    seen["parsed"] += 1
    check_tree(query, line, seen, rendered=len(text) < 500)


def check_tree(query: query_pb2.Query, line: SubjectLine, seen: Counter[str], *, rendered: bool = True) -> None:
    """A tree keeps every promise, for one line."""
    normal = timed(lambda: normalise(query), "normalise")
    expect(key_of(normalise(normal)) == key_of(normal), "the normal form changes")
    text = timed(lambda: render(normal), "render")
    if rendered:
        expect(normalise(parse(text, now=NOW)) == normal, f"{text!r} is read otherwise")
    predicate = timed(lambda: compile_predicate(query), "compile")
    matches = timed(lambda: predicate(line), "predicate")
    seen["matched"] += matches
    expect(compile_predicate(normal)(line) == matches, "the normal form matches otherwise")
    narrowed = timed(lambda: narrow(query), "narrow")
    wide = compile_predicate(narrowed.query)(line)
    expect(wide == matches if narrowed.exact else wide or not matches, "narrowing is wrong")
    clauses = timed(lambda: required(query), "required")
    folded = fold_bytes(line.raw)
    held = all(any(literal in folded for literal in clause) for clause in clauses)
    expect(held or not matches, "a literal is wrong")
    seen["ruled out by literals"] += not held
    bounds = bounds_of(query)
    inside = bounds.undated if line.time is None else bounds.low is None or bounds.low <= line.time
    expect(inside or not matches, "bounds are wrong")
    shown = line.raw.decode("utf-8", "replace")
    last = 0
    for mark in timed(lambda: Highlighter(normal).mark(shown), "marks"):
        expect(last <= mark.start < mark.end <= len(shown), "a mark is wrong")
        last = mark.end
    expect(bool(steps(query, lambda part: 1)), "no steps")


def expect(holds: bool, what: str) -> None:
    """Raises FindingError unless it holds."""
    if not holds:
        raise FindingError(what)


_texts = st.one_of(
    st.text(max_size=200),
    st.text(alphabet='ab"()\\[]:.<>=NOTANDR *?~/level:timesource2016-', max_size=100),
    st.randoms(use_true_random=False).map(mutated),
    st.randoms(use_true_random=False).map(mutated),
)
_cases = st.tuples(_texts, subjects) | met


def run(seconds: float, number: int) -> int:
    """Runs until the time is over or something is found. The number of findings."""
    end = time.monotonic() + seconds
    seen: Counter[str] = Counter()

    @settings(
        max_examples=_BATCH,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(_cases)
    def batch(pair: tuple[str | query_pb2.Query, SubjectLine]) -> None:
        case, line = pair
        seen["executions"] += 1
        try:
            if isinstance(case, str):
                check_text(case, line, seen)
            else:
                check_tree(case, line, seen)
        except Exception:
            print(f"found with --seed {number - 1}:\n{case!r}\n{line!r}", flush=True)
            raise

    while time.monotonic() < end:
        number += 1
        try:
            seed(number)(batch)()
        except Exception:  # noqa: BLE001  whatever it is, it is a finding
            traceback.print_exc()
            print(f"{dict(seen)}, 1 finding")
            return 1
    print(f"{dict(seen)}, no finding")
    return 0


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000_000)
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    return run(arguments.minutes * 60, arguments.seed)


if __name__ == "__main__":
    sys.exit(main())
