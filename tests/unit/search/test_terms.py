"""Terms are what `grep -aiP '(?<![\\p{L}\\p{N}])t(?![\\p{L}\\p{N}])'` finds, in every corner of Unicode."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.search.index import terms
from services.search.index.engine import TantivySplit
from services.search.index.split import Order
from services.search.index.terms import LONG, canonical, fold, normalise_blob, runs
from services.search.query import tree
from tests.unit.search.splits import Row, Source, frame_cache, write_split

TRICKY = [
    "plain ASCII words, and_some_underscores",
    "KELVIN kelvin \u212aelvin k \u212a K",  # Kelvin sign folds to k
    "ſoft soft SOFT ſ",  # long s folds to s
    "Straße STRASSE strasse straẞe",  # sharp s is not ss
    "Σίσυφος ΣΊΣΥΦΟΣ σίσυφοσ",  # three sigmas are one
    "İstanbul istanbul ISTANBUL ıstanbul i\u0307stanbul",  # dotted and dotless i are three different letters
    "µ \u03bc \u039c Ångström \u212bngström ångström",
    "ǅ ǆ Ǆ dž",
    "ﬁ fi ﬀ ff \ufb05 \ufb06 st",
    "e\u0301cole école E\u0301COLE ÉCOLE",  # a combining mark separates
    "नमस्ते नमस त",  # so do vowel signs
    "ⅷ Ⅷ ² x² ½ ١٢٣ 123 ４５",  # numbers of all kinds belong to terms
    "ꭰ Ꭰ ᏸ Ᏸ",  # Cherokee folds to upper case
    "ᾳ ᾼ ΑΙ \u1fd3 \u0390",
    "日本語 ログ 日本 本語",
    "x\u0345y a\u24b6b \u24d0",  # Alphabetic for the engine, neither letter nor digit for Unicode's categories
    "emoji 😀word word😀",
    "a\u200db zero\u200bwidth soft\u00adhyphen",
    "\ud7ff \ue000 \ufffd end",
    "𝐀𝐁 𐐀 𐐨 𞤀 𞤢",
    "tab\tseparated\x00nul\x7fdel\x1fus",
]
BROKEN = [
    b"cut\xc3",
    b"a\xffb",
    b"\xe2\x82a x",
    b"\xed\xa0\x80s",
    b"\xc0\xafy",
    b"\xf4\x90\x80\x80z",
    b"caf\xc3\xa9\xa9",
]


@pytest.fixture(scope="module")
def tricky(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[bytes], TantivySplit, Path]:
    root = tmp_path_factory.mktemp("terms")
    lines = [text.encode("utf-8", "surrogatepass") for text in TRICKY] + BROKEN
    lines += [b"x" * LONG, b"X" * (LONG - 1) + " é".encode(), b"x" * (LONG + 1) + b" tail", ("É" * 300).encode()]
    write_split(root, [Source([Row(line) for line in lines])])
    text = root / "lines.txt"
    text.write_bytes(b"\n".join(lines) + b"\n")
    return lines, TantivySplit(root / "default" / "s1", frame_cache()), text


def grep(term: str, file: Path) -> list[int]:
    """Line numbers, from 0, that the definition finds."""
    found = subprocess.run(
        ["grep", "-naiP", rf"(?<![\p{{L}}\p{{N}}]){re.escape(term)}(?![\p{{L}}\p{{N}}])", str(file)],
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        check=False,
    )
    assert found.returncode in (0, 1), found.stderr
    return [int(line.partition(b":")[0]) - 1 for line in found.stdout.splitlines() if line[:1].isdigit()]


def needs_grep_p() -> None:
    probe = (
        subprocess.run(["grep", "-P", "a"], input=b"a", capture_output=True, check=False)
        if shutil.which("grep")
        else None
    )
    if probe is None or probe.returncode != 0:
        pytest.skip("this grep has no -P")


def test_every_term_of_the_tricky_lines_is_found_where_grep_finds_it(
    tricky: tuple[list[bytes], TantivySplit, Path],
) -> None:
    needs_grep_p()
    lines, split, file = tricky
    wanted = {run for line in lines for run in re.findall(r"[^\W_]+", line.decode("utf-8", "replace"))}
    wanted |= {word.swapcase() for word in wanted if len(runs(word.swapcase())) == 1} | {"nowhere", "aa", "fi", "ss"}
    for term in sorted(wanted):
        found = {hit.row for hit in split.top(tree.term(term), Order.OLDEST, 1000).hits}
        assert found == set(grep(term, file)), term


def test_folding_makes_the_same_classes_as_grep_does(tmp_path: Path) -> None:
    needs_grep_p()
    cased = [chr(code) for code in range(0x80, 0x110000) if _is_cased(chr(code))]
    file = tmp_path / "cased.txt"
    file.write_text("\n".join(cased) + "\n", encoding="utf-8")
    classes: dict[str, list[int]] = {}
    for number, char in enumerate(cased):
        classes.setdefault(canonical(char), []).append(number)
    # Every class that is more than an upper and a lower letter, and each hundredth of the others.
    unusual = [members for members in classes.values() if len(members) != 2]
    for members in unusual + list(classes.values())[::100]:
        assert grep(cased[members[0]], file) == members, [cased[number] for number in members]


def _is_cased(char: str) -> bool:
    return unicodedata.category(char)[0] in "LN" and len({char, char.lower(), char.upper(), char.casefold()}) > 1


def test_folding_keeps_every_character_in_its_place() -> None:
    everything = "".join(chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000)
    assert len(fold(everything)) == len(everything)


def test_a_canonical_form_is_its_own_canonical_form() -> None:
    letters = [chr(code) for code in range(0x110000) if unicodedata.category(chr(code))[0] in "LN"]
    assert [char for char in letters if canonical(canonical(char)) != canonical(char)] == []


def test_long_runs_are_hashed_to_a_fixed_length_and_told_apart() -> None:
    first, second = "A" * 500, "a" * 499 + "b"
    assert [len(term) for term in terms.terms(f"{first} {second}")] == [LONG, LONG]
    assert terms.terms(first) == terms.terms(first.lower())
    assert terms.terms(first) != terms.terms(second)


def test_a_run_that_looks_like_a_hashed_one_is_hashed_itself() -> None:
    forged = terms.terms("z" * 1000)[0]
    assert terms.terms(forged) != [forged]


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_lines_are_normalised_alike_alone_and_in_a_blob(raw: bytes) -> None:
    lines = raw.split(b"\n")
    assert normalise_blob(b"\n".join(lines)).split("\n") == [normalise_blob(line) for line in lines]


@given(st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_what_the_engine_indexes_has_the_terms_of_the_text(text: str) -> None:
    indexed = normalise_blob(text.encode("utf-8", "replace"))
    assert terms.terms(indexed) == terms.terms(text.encode("utf-8", "replace").decode())
