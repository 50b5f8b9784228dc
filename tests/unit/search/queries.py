"""Generates query trees, and lines that they may match."""

from __future__ import annotations

import json
from dataclasses import replace

import re2
from hypothesis import strategies as st

from loganalyzer.search.v1 import query_pb2
from services.search.query import tree
from services.search.query.patterns import fits_index
from services.search.query.predicate import SubjectLine
from services.search.query.regexes import compile_regex
from tests.unit.search.splits import EPOCH

WORDS = ["alpha", "Beta", "gamma", "delta", "ÉCOLE", "straße", "k", "10", "İx", "日本", "z" * 200]
_words = st.sampled_from(WORDS)
_levels = st.integers(min_value=0, max_value=tree.HIGHEST_LEVEL)
_ends = st.none() | st.integers(min_value=-2, max_value=30).map(lambda step: EPOCH + step * 500_000)

_leaves = st.one_of(
    st.just(tree.EVERYTHING),
    _words.map(tree.term),
    st.lists(_words, min_size=2, max_size=3).map(tree.words),
    st.builds(tree.level_range, _levels, _levels),
    st.builds(tree.time_range, _ends, _ends),
    st.sampled_from(["app", ".log", "b.log", "nowhere"]).map(tree.source),
)


def _compound(parts: st.SearchStrategy[query_pb2.Query]) -> st.SearchStrategy[query_pb2.Query]:
    several = st.lists(parts, min_size=1, max_size=3)
    return several.map(tree.all_of) | several.map(tree.any_of) | parts.map(tree.inverse)


#: Query trees of the nodes that an index over terms answers, not in normal form.
trees = st.recursive(_leaves, _compound, max_leaves=6)

# A small alphabet, so that lines and queries meet: letters that fold in unusual ways, separators, digits.
_CHARS = "abABkKsi1205_- .:/\\\"'=&\nſ\u212aİéÉιΙ\u0345ΐ\u1fd3ⓐⒶ日\u0307→"
_texts = st.text(alphabet=_CHARS.replace("\n", ""), max_size=12) | _words
_parts = st.sampled_from(["a", "b", "ab", "k", "K", "ſi", "İ", "é", "É", "10", "1205", "alpha", "日", "z" * 126, "ΐ"])
NAMES = ["a", "b", "a.b", "k", "user.id", "é", "a-b", "x y", "level", "@t", ""]
_values = st.one_of(
    _texts,
    st.sampled_from(["5", "5.0", "-5", "5e0", ".5", "05", "true", "null", "alpha", "a*b", "*", "k*", "a?", "é*", "10"]),
    st.integers(-5, 1300).map(str),
)
_PIECES = r"""
    a b K é ι s 1 . [ab] [^a] [a-c1] \d \w \b ^ $ (?i) (?-i) (a|bc) (?:k|K) (?i:ab|É) (?P<n>ab1) alpha beta \. \x41
    \x{e9} \pL [[:alpha:]] \Qa.b\E _ - = : \/ (ab|) x{0} []a] [\d_] \141 (?s) | { a{1,
"""
_pieces = st.sampled_from([*_PIECES.split(), " "])
_quantifiers = st.sampled_from(["", "", "", "", "*", "+", "?", "{2}", "{0,1}", "{1,}", "+?"])


def _compiles(pattern: str) -> bool:
    try:
        compile_regex(pattern)
    except ValueError:
        return False
    return True


#: Patterns that RE2 takes.
patterns = (
    st.lists(st.tuples(_pieces, _quantifiers).map("".join), min_size=1, max_size=6).map("".join).filter(_compiles)
)
_wildcards = (
    st.lists(_parts | st.sampled_from("*?"), min_size=1, max_size=4)
    .map("".join)
    .filter(lambda text: len(text) < 128 and fits_index(text))
)
_fuzzies = st.lists(_parts, min_size=1, max_size=2).map("".join).filter(lambda text: len(text) < 120)
_operators = st.sampled_from([number for number in query_pb2.FieldMatch.Operator.values() if number])

_reading = st.one_of(
    st.builds(tree.substring, _texts, case_sensitive=st.booleans()),
    st.builds(tree.regex, patterns, ignore_case=st.booleans()),
    st.builds(tree.wildcard, _wildcards),
    st.builds(tree.fuzzy, _fuzzies, st.integers(1, 2)),
    st.builds(tree.field, st.sampled_from(NAMES), _operators, _values),
    st.lists(_parts | _words, min_size=1, max_size=2).map(tree.cased),
    st.lists(st.sampled_from(["aa", "bb", "cc"]), max_size=2).map(tree.source_ids),
)
#: One node of any kind.
leaves = _leaves | _reading
#: Any query tree, not in normal form.
any_trees = st.recursive(leaves, _compound, max_leaves=6)

_scalars = st.one_of(_texts, st.integers(-5, 1300), st.floats(-10, 10, width=16), st.booleans(), st.none())
_objects = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=5,
)
_json = st.builds(
    lambda found, ascii_only: json.dumps(found, ensure_ascii=ascii_only),
    st.dictionaries(st.sampled_from([*NAMES, "user"]), _objects, min_size=1, max_size=4),
    st.booleans(),
)
_pairs = st.builds(
    lambda name, sign, value, quote: f"{name}{sign}{json.dumps(value) if quote else value}",
    st.sampled_from(NAMES),
    st.sampled_from(["=", ": ", ":", " = "]),
    _values,
    st.booleans(),
)
_plain = st.lists(_texts | _parts | _pairs, max_size=4).map(" ".join)
_raw = st.one_of(_plain, _json, _plain.map(lambda text: text + " {")).map(str.encode) | st.lists(
    st.sampled_from([b"\xff", b"\xc3", b"a", b"alpha", b" ", b"\xc3\xa9", b"k=", b"\xed\xa0\x80"]), max_size=6
).map(b"".join)
#: Lines to decide about.
subjects = st.builds(
    SubjectLine,
    _raw.map(lambda raw: raw.replace(b"\n", b"")),
    _ends,
    _levels,
    st.sampled_from(["aa", "bb"]),
    st.sampled_from(["app.log", "b.log"]),
)


_rough_parts = st.one_of(
    _texts,
    st.text(alphabet="ab\u212aſİi\u0307é日 -<_*?~", max_size=8),
    st.sampled_from(["alpha beta", "<   İ", "İ i\u0307", "Foo\u212a", "ſſſ-alpha", "alpha\n", "z" * 130 + " a", "Ⓐⓐ"]),
)
#: Nodes whose texts are as nobody parses them: with separators, capital letters, nothing, numbers out of range.
rough = st.one_of(
    st.builds(lambda text: query_pb2.Query(term=query_pb2.Term(text=text)), _rough_parts),
    st.lists(_rough_parts, max_size=3).map(lambda texts: query_pb2.Query(phrase=query_pb2.Phrase(terms=texts))),
    st.lists(_rough_parts, max_size=3).map(tree.cased),
    st.builds(tree.fuzzy, _rough_parts, st.integers(-1, 4)),
    st.builds(tree.wildcard, _rough_parts),
    st.builds(tree.substring, _rough_parts, case_sensitive=st.booleans()),
    st.builds(tree.field, st.sampled_from(NAMES) | _rough_parts, st.integers(0, 7), _rough_parts),
)


# A query and a line that was made for it: most of them match, which what is made by chance seldom does.
#: Values that JSON writes with escapes.
values = st.text(alphabet='abKſİéι .-&<"\\/\n\t1205', min_size=1, max_size=14) | st.sampled_from(
    ["alpha beta", "Beta&gamma", "école\nalpha", "x\talpha", "10.50", "-1205", "a<b>alpha", "C:\\tmp\\alpha", "İalpha"]
)
numbers = st.integers(-20, 1300) | st.sampled_from([1.5, 1e16, 1e-7, 12050.0, -0.0, True, None])


def field_line(name: str, value: object, nested: bool, style: int) -> bytes:
    """A line with a field: 0 to 3 are JSON, 4 is key="value", 5 is key: value."""
    found: object = [value] if style == 0 else value
    parts = name.split(".") if nested else [name]
    for part in reversed(parts):
        found = {part: found}
    text = json.dumps(found, ensure_ascii=style < 2)
    if style == 3:  # as encoders do whose output is put into HTML
        text = text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    if style == 4:
        text = f"x {name}={json.dumps(value)} y"
    if style == 5:
        text = f"x {name}: {value}, y".replace("\n", " ")
    return text.encode()


@st.composite
def _met_field(draw: st.DrawFn) -> tuple[query_pb2.Query, bytes]:
    name, value = draw(st.sampled_from(NAMES)), draw(values | numbers)
    operator, text = draw(_operators), str(value)
    if operator == query_pb2.FieldMatch.LIKE:
        low, high = sorted(draw(st.tuples(st.integers(0, len(text)), st.integers(0, len(text)))))
        text = text[:low] + draw(st.sampled_from("*?")) + text[high:]
    line = field_line(name, value, draw(st.booleans()), draw(st.integers(0, 5)))
    return tree.field(name, operator, text.swapcase() if draw(st.booleans()) else text), line


@st.composite
def _met_text(draw: st.DrawFn) -> tuple[query_pb2.Query, bytes]:
    text = draw(values).replace("\n", " ")
    written = text if draw(st.booleans()) else text.swapcase()
    line = (
        draw(st.sampled_from(["", " ", "x", "é", "alpha "]))
        + written
        + draw(st.sampled_from(["", " ", "y", "İ", "-z"]))
    )
    quoted = re2.escape(text)
    low, high = sorted(draw(st.tuples(st.integers(0, len(text)), st.integers(0, len(text)))))
    middle = draw(st.sampled_from([".*", ".+", r"\C*".replace("\\C", "[^\\n]"), "(?:x|.*)", "(alpha|.*|1205)"]))
    pattern = re2.escape(text[:low]) + middle + re2.escape(text[high:])
    query = draw(
        st.sampled_from(
            [
                tree.substring(text),
                tree.substring(text, case_sensitive=True),
                tree.regex(quoted, ignore_case=True),
                tree.regex(f"(?i:{quoted})|alpha"),
                tree.regex(pattern, ignore_case=True),
                tree.regex(f"(?i){pattern}"),
                tree.cased([text]),
            ]
        )
    )
    return query, line.encode()


@st.composite
def _met_rough(draw: st.DrawFn) -> tuple[query_pb2.Query, bytes]:
    query = draw(rough)
    node = getattr(query, query.WhichOneof("node") or "all")
    texts = list(getattr(node, "terms", [])) or [getattr(node, "text", ""), getattr(node, "value", "")]
    text = draw(st.sampled_from([" ", "", "-", "i\u0307"])).join(texts).replace("\n", " ")
    changed = draw(st.sampled_from([text, text.lower(), text.upper(), text.replace(" ", "/")]))
    query = draw(st.sampled_from([query, query, tree.inverse(query), tree.any_of([query, tree.term("alpha")])]))
    return query, (draw(st.sampled_from(["", " ", "x "])) + changed + draw(st.sampled_from(["", " y"]))).encode()


#: (query, subject) of which many match.
met = st.tuples(_met_field() | _met_text() | _met_rough(), subjects).map(
    lambda drawn: (drawn[0][0], replace(drawn[1], raw=drawn[0][1]))
) | st.tuples(any_trees | leaves, subjects)
