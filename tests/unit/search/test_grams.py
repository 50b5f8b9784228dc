"""The block index of a split: it never leaves out a frame that holds a literal, and says so where it cannot tell."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from services.search.index import grams, trigrams
from services.search.index.frames import FrameReader, FrameWriter, LineColumns
from services.search.index.grams import GRAMS, GramIndex, GramsError, build, fold_bytes, open_grams
from services.search.index.layout import RAW_TABLE

KELVIN, LONG_S = "\u212a".encode(), "\u017f".encode()
#: Texts that fold, that are cut within characters, and that share trigrams.
ALPHABET = ["a", "B", "k", "K", "s", "S", "7", " ", '"', "\u212a", "\u017f", "é", "日", "\x00", "\r", "_"]
texts = st.text(st.sampled_from(ALPHABET), max_size=12).map(str.encode)
any_bytes = st.binary(max_size=12).map(lambda text: text.replace(b"\n", b""))
frames_of_lines = st.lists(st.lists(texts | any_bytes, min_size=1, max_size=4), min_size=1, max_size=20)


def write(folder: Path, frames: Sequence[Sequence[bytes]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    writer = FrameWriter(folder)
    for lines in frames:
        count = len(lines)
        writer.append(b"".join(line + b"\n" for line in lines), LineColumns([0] * count, bytes(count), bytes(count)))
    writer.finish()
    return folder


def indexed(folder: Path, frames: Sequence[Sequence[bytes]]) -> GramIndex:
    build(write(folder, frames))
    return GramIndex(folder)


def found(index: GramIndex, *clauses: Sequence[bytes]) -> list[int] | None:
    numbers = index.frames(clauses)
    return None if numbers is None else list(numbers)


def test_folding_is_of_ascii_and_of_the_two_letters_that_fold_into_it() -> None:
    assert fold_bytes(b"Az " + KELVIN + LONG_S + "Éß".encode()) == b"az ks" + "Éß".encode()
    for code in range(0x250):
        char = chr(code)
        same = [letter for letter in "abcdefghijklmnopqrstuvwxyz" if re.fullmatch(letter, char, re.IGNORECASE)]
        if same and char != "ı" and char != "İ":  # of Turkish: re knows them, a comparison without case does not
            assert fold_bytes(char.encode()).decode() == same[0], char


@given(frames_of_lines, st.data())
def test_no_frame_that_holds_a_literal_is_left_out(
    tmp_path_factory: pytest.TempPathFactory, frames: list[list[bytes]], data: st.DataObject
) -> None:
    index = indexed(tmp_path_factory.mktemp("split"), frames)
    folded = [[fold_bytes(line) for line in lines] for lines in frames]
    clauses = data.draw(st.lists(st.lists(_literals(frames), min_size=1, max_size=3), min_size=1, max_size=3))
    # A literal is folded, or cut out of the line as it is.
    expected = {
        number
        for number, lines in enumerate(frames)
        for raw, line in zip(lines, folded[number], strict=True)
        if all(any(literal in line or literal in raw for literal in clause) for clause in clauses)
    }
    answer = index.frames(clauses)
    assert answer is None or expected <= set(answer)
    assert answer is None or list(answer) == sorted(set(answer))


@st.composite
def _literals(draw: st.DrawFn, frames: list[list[bytes]]) -> bytes:
    """Cut out of a line, anywhere: folded or not; now and then made up."""
    line = draw(st.sampled_from([line for lines in frames for line in lines]) | texts)
    if draw(st.booleans()):
        line = fold_bytes(line)
    start = draw(st.integers(0, len(line)))
    return line[start : draw(st.integers(start, len(line)))]


def test_wherever_a_letter_is_cut_the_frame_is_found(tmp_path: Path) -> None:
    line = b"ab" + KELVIN + KELVIN + b"c" + LONG_S + LONG_S + KELVIN + b"d" + LONG_S + "é\u2122".encode()
    index = indexed(tmp_path, [[line]])
    for text in (line, fold_bytes(line), line.upper()):
        for start in range(len(text)):
            for end in range(start, len(text) + 1):
                assert found(index, [text[start:end]]) in (None, [0]), text[start:end]


def test_frames_without_the_literal_are_left_out(tmp_path: Path) -> None:
    count = 3 * trigrams.STRIPE
    index = indexed(tmp_path, [[b"line of frame " + word(number)] for number in range(count)])
    assert found(index, [word(2500)]) == [2500]
    assert found(index, [word(7)], [b"line"]) == [7]
    assert found(index, [word(7), word(2047).upper()]) == [7, 2047]
    assert found(index, [word(7)], [word(2047)]) == []
    assert found(index, [b"nowhere"]) == []
    assert found(index, [b"FRAME"]) == list(range(count))


def word(number: int) -> bytes:
    return hashlib.sha256(b"%d" % number).hexdigest()[:16].encode()


def test_a_literal_without_a_trigram_says_nothing_and_spoils_its_clause_only(tmp_path: Path) -> None:
    index = indexed(tmp_path, [[b"alpha"], [b"beta"]])
    assert found(index) is None
    assert found(index, [b"al"]) is None
    assert found(index, [b"alpha", b"al"]) is None
    assert found(index, [b"alpha", b"al"], [b"beta"]) == [1]
    # What is left of it without the bytes that were cut off a folded letter.
    assert found(index, [b"al" + KELVIN[:2]]) is None


def test_a_line_longer_than_a_frame_is_indexed_across_the_pieces_it_is_taken_in(tmp_path: Path) -> None:
    line = bytearray(b"." * 300_000)
    for at in range(65_536, 300_000, 65_536):
        line[at - 1 : at + 2] = b"xyz"
    index = indexed(tmp_path, [[b"short"], [bytes(line)]])
    assert found(index, [b".xyz"]) == [1]
    assert index.covers(1, bytes(line))


def test_a_split_without_lines_has_an_index(tmp_path: Path) -> None:
    index = indexed(tmp_path, [])
    assert found(index, [b"alpha"]) == []
    index.verify()


def test_without_a_file_there_is_no_index(tmp_path: Path) -> None:
    assert open_grams(write(tmp_path, [[b"alpha"]])) is None


def test_a_failed_build_leaves_the_index_that_was_there(tmp_path: Path) -> None:
    folder = write(tmp_path, [[b"alpha"] * 9])
    build(folder)
    before = (folder / GRAMS).read_bytes()
    (folder / "raw.zst").write_bytes(b"")
    with pytest.raises(zstandard.ZstdError):
        build(folder)
    assert (folder / GRAMS).read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == [GRAMS, RAW_TABLE, "raw.zst"]


def test_an_index_of_other_lines_is_none(tmp_path: Path) -> None:
    build(write(tmp_path / "a", [[b"alpha"], [b"beta"]]))
    write(tmp_path / "b", [[b"alpha", b"beta"]])
    (tmp_path / "a" / GRAMS).rename(tmp_path / "b" / GRAMS)
    with pytest.raises(GramsError, match="other lines"):
        GramIndex(tmp_path / "b")
    assert open_grams(tmp_path / "b") is None


def test_an_index_of_another_version_is_none(tmp_path: Path) -> None:
    build(write(tmp_path, [[b"alpha"]]))
    content = bytearray((tmp_path / GRAMS).read_bytes())
    content[8] = 9
    (tmp_path / GRAMS).write_bytes(content)
    with pytest.raises(GramsError, match="version 9"):
        GramIndex(tmp_path)


def test_whatever_byte_is_flipped_it_is_seen_and_no_frame_is_lost(tmp_path: Path) -> None:
    frames = [[f"alpha {number} beta".encode()] for number in range(40)]
    build(write(tmp_path, frames))
    content = (tmp_path / GRAMS).read_bytes()
    step = max(1, len(content) // 400)
    for at in range(0, len(content), step):
        damaged = bytearray(content)
        damaged[at] ^= 0x01
        (tmp_path / GRAMS).write_bytes(damaged)
        with pytest.raises(GramsError):
            GramIndex(tmp_path).verify()
        index = open_grams(tmp_path)
        answer = None if index is None else index.frames([[b"alpha 17"]])
        assert answer is None or 17 in answer


def test_wherever_it_is_cut_off_it_is_seen(tmp_path: Path) -> None:
    build(write(tmp_path, [[f"alpha {number} beta".encode()] for number in range(40)]))
    content = (tmp_path / GRAMS).read_bytes()
    for size in range(0, len(content), max(1, len(content) // 200)):
        (tmp_path / GRAMS).write_bytes(content[:size])
        with pytest.raises(GramsError):
            GramIndex(tmp_path).verify()


def test_unpacked_groups_of_all_indexes_share_one_bounded_memory(tmp_path: Path) -> None:
    lines = [word(number) for number in range(20_000)]
    indexes = [indexed(tmp_path / str(number), [lines[at : at + 50] for at in range(0, 20_000, 50)]) for number in "ab"]
    for index in indexes:
        for line in lines[:500]:
            assert index.frames([[line]])
    kept = sum(len(value) for value in grams._CACHE._values.values())
    assert kept <= 8 << 20


@pytest.mark.data
def test_few_frames_of_real_logs_are_read_for_nothing(tmp_path: Path) -> None:
    from tests.datafiles import require_shared_data

    data = require_shared_data()
    wrong = without = raw = 0
    for name in ("apache_access.log", "auth.log", "nginxplus.json.log"):
        lines = (data / "elastic" / name).read_bytes().split(b"\n")
        frames = [lines[at : at + 300] for at in range(0, len(lines), 300)]
        index = indexed(tmp_path / name, frames)
        blobs = [FrameReader(tmp_path / name).blob(number) for number in range(len(frames))]
        folded = [fold_bytes(blob) for blob in blobs]
        raw += sum(map(len, blobs))
        for number in range(0, len(lines), 97):
            literal = fold_bytes(lines[number][10:22])
            if len(literal) < 12:
                continue
            expected = {at for at, blob in enumerate(folded) if literal in blob}
            answer = set(index.frames([[literal]]) or ())
            assert expected <= answer
            wrong += len(answer) - len(expected)
            without += len(frames) - len(expected)
    assert wrong < 0.25 * without
    assert sum(path.stat().st_size for path in tmp_path.glob("*/grams.bin")) < 0.06 * raw
