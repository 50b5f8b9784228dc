"""Generates queries of every kind from lines: their words, parts, fields, in their own and in slightly other forms."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

import orjson

from loganalyzer.search.v1 import query_pb2
from services.search.query import normalise, tree
from services.search.query.predicate import compile_predicate

Query = query_pb2.Query
_RUN = re.compile(r"[^\W_]+")
_PAIR = re.compile(r'([A-Za-z_][\w.-]{0,20})"?\s?[=:]\s?"?([^\s"]{1,20})')


class QueryMaker:
    """Makes queries for lines. The same seed and lines give the same queries."""

    def __init__(self, seed: int, lines: Sequence[bytes], names: Sequence[str], ids: Sequence[str]) -> None:
        self._random = random.Random(seed)
        self._lines = [text for text in (line.decode("utf-8", "replace") for line in lines) if text.strip()]
        self._names, self._ids = names, ids
        self.times: Sequence[int] = [0]
        self.kinds: dict[str, Callable[[], Query]] = {
            "term": lambda: tree.term(self._word()),
            "phrase": lambda: tree.words(self._words()),
            "cased": lambda: tree.cased(self._words() if self._maybe() else [self._word()]),
            "substring": self._substring,
            "regex": self._regex,
            "wildcard": self._wildcard,
            "fuzzy": self._fuzzy,
            "field": self._field,
            "level": lambda: tree.level_range(self._random.randrange(9), self._random.randrange(9)),
            "time": self._time,
            "source": lambda: tree.source(self._cut(self._random.choice(self._names), 6)),
            "source_ids": lambda: tree.source_ids(self._random.sample(self._ids, self._random.randrange(1, 3))),
        }

    def leaf(self, kind: str) -> Query:
        """A query of one kind, in normal form. Kinds are tried again until they make sense."""
        while True:
            try:
                query = normalise(self.kinds[kind]())
                compile_predicate(query)
            except ValueError:
                continue
            return query

    def tree(self, depth: int = 2) -> Query:
        """A query of any form, in normal form."""
        return normalise(self._tree(depth))

    def _tree(self, depth: int) -> Query:
        if depth == 0 or self._random.random() < 0.25:
            return self.leaf(self._random.choice(list(self.kinds)))
        parts = [self._tree(depth - 1) for _ in range(self._random.randrange(2, 4))]
        match self._random.randrange(5):
            case 0 | 1:
                return tree.all_of(parts)
            case 2 | 3:
                return tree.any_of(parts)
            case _:
                return tree.inverse(parts[0])

    def _maybe(self, chance: float = 0.5) -> bool:
        return self._random.random() < chance

    def _line(self) -> str:
        return self._random.choice(self._lines)

    def _cut(self, text: str, longest: int) -> str:
        at = self._random.randrange(len(text))
        return text[at : at + self._random.randrange(1, longest + 1)]

    def _word(self) -> str:
        while True:
            found = _RUN.findall(self._line())
            if found:
                return str(self._random.choice(found))

    def _words(self) -> list[str]:
        while True:
            found = _RUN.findall(self._line())
            if len(found) > 2:
                at = self._random.randrange(len(found) - 1)
                return [str(word) for word in found[at : at + self._random.randrange(2, 4)]]

    def _swapped(self, text: str) -> str:
        return self._random.choice([text, text.lower(), text.upper(), text.swapcase()])

    def _substring(self) -> Query:
        text = self._cut(self._word() if self._maybe(0.4) else self._line(), 14).replace("\ufffd", "x")
        if self._maybe(0.1):
            text += "zq"
        if self._maybe(0.4):
            return tree.substring(text, case_sensitive=True)
        return tree.substring(self._swapped(text))

    def _regex(self) -> Query:
        text = re.escape(self._cut(self._line(), 10).replace("\ufffd", ""))
        word, other = self._word(), self._word()
        pattern = self._random.choice(
            [
                text,
                f"^{re.escape(self._line()[:6])}",
                f"{re.escape(self._line()[-5:])}$",
                rf"\b{word}\b",
                rf"{word[:3]}\w+",
                rf"{word}|{other}",
                rf"(?i){word}.{{0,20}}{other}",
                rf"{word}[^a-z]+\d",
                rf"\A.{{{self._random.randrange(40)}}}{word[:2]}",
                rf"{word[-3:]}\z",
                r"\d{1,3}\.\d{1,3}\.\d+",
                rf"[[:upper:]]{{{self._random.randrange(2, 9)}}}",
                r"^$|^\s",
                rf"\pL{{{self._random.randrange(8, 20)}}}",
                rf"{word[:2]}.*{other[-2:]}$",
                rf"(?s){word[:4]}.+\s",
                rf"{word}\s*[=:]",
                "x*",
                rf"(?-i:{word})|\Q{other}\E",
                r"\W{7,}",
                "\\x{e9}|[^\\x00-\\x7f]",
            ]
        )
        return tree.regex(pattern, ignore_case=self._maybe(0.4))

    def _wildcard(self) -> Query:
        word = self._word()
        at = self._random.randrange(len(word))
        return tree.wildcard(
            self._random.choice(
                [
                    f"{word[: at + 1]}*",
                    f"*{word[at:]}",
                    f"{word[:at]}?{word[at + 1 :]}",
                    f"*{word[at : at + 3]}*",
                    f"{word[:1]}*{word[-1:]}",
                    "?" * self._random.randrange(1, 9),
                ]
            )
        )

    def _fuzzy(self) -> Query:
        word = self._word()[:40]
        at = self._random.randrange(len(word))
        changed = self._random.choice(
            [word, word[:at] + word[at + 1 :], f"{word[:at]}x{word[at:]}", word[:at] + "q" + word[at + 1 :]]
        )
        return tree.fuzzy(changed or word, self._random.choice([1, 2]))

    def _field(self) -> Query:
        name, value = self._pair()
        operator = self._random.choice([number for number in query_pb2.FieldMatch.Operator.values() if number])
        if operator == query_pb2.FieldMatch.LIKE:
            value = f"{value[:3]}*" if self._maybe() else f"*{value[1:4]}?"
        return tree.field(name, operator, "" if operator == query_pb2.FieldMatch.EXISTS else value)

    def _pair(self) -> tuple[str, str]:
        for _ in range(50):
            line = self._line()
            try:
                content = orjson.loads(line)
            except orjson.JSONDecodeError:
                content = None
            if isinstance(content, dict) and content:
                name = self._random.choice(list(content))
                value = content[name]
                if isinstance(value, str | int | float):
                    return name, str(value)[:60]
            pairs = _PAIR.findall(line)
            if pairs:
                name, text = self._random.choice(pairs)
                return str(name), str(text)
        return "level", "info"

    def _time(self) -> Query:
        low, high = sorted(self._random.choices(self.times, k=2))
        return tree.time_range(low if self._maybe(0.8) else None, high + 1 if self._maybe(0.8) else None)


def test_the_same_seed_makes_the_same_queries_of_every_kind() -> None:
    made = [
        [maker.leaf(kind) for kind in maker.kinds] + [maker.tree() for _ in range(20)]
        for maker in (
            QueryMaker(1, [b"GET /a?b=c 200", b'{"user": "bob", "n": 5}'], ["a.log"], ["s0", "s1"]) for _ in "ab"
        )
    ]
    assert made[0] == made[1]
    assert {query.WhichOneof("node") for query in made[0]} >= {"substring", "regex", "field", "wildcard", "or", "not"}
