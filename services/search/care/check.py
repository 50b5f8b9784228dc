"""Says what is wrong with a split on disk: in sentences, and whether its lines are whole."""

from __future__ import annotations

import enum
import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import tantivy

from loganalyzer.search.v1 import search_pb2
from services.search.care import sums
from services.search.care.frames import FoundFrames
from services.search.index.frames import FrameReader
from services.search.index.grams import GRAMS, GramIndex, GramsError
from services.search.index.layout import INDEX, META, NO_TIME, RAW, RAW_TABLE, SUPPORTED, read_meta
from services.search.index.schema import BODY, ROW, open_index
from services.search.index.terms import terms

__all__ = ["SAMPLE", "Part", "Problem", "check_split"]

#: Lines that are looked up by their terms, and frames that are compared with the block index.
SAMPLE = 64
_FOOTER_MAGIC = (1337).to_bytes(4, "little")


class Part(enum.Enum):
    """What a problem is about."""

    LINES = "lines"
    #: Whatever can be made again from the lines.
    INDEX = "index"
    #: Files that a split does without.
    GRAMS = "block index"
    SUMS = "checksums"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. `repairable`: the lines are whole, so it can be made good."""

    part: Part
    message: str
    repairable: bool = True


def check_split(
    folder: Path,
    expected: search_pb2.Split | None = None,
    *,
    check: Callable[[], None] = lambda: None,
    sample: int = SAMPLE,
) -> list[Problem]:
    """Reads a split whole. `expected` is what the catalogue says of it; without it the folder's own word counts.

    `check` is called for each frame and may raise to stop.
    """
    return _Check(folder, expected, check, sample).run()


class _Check:
    def __init__(self, folder: Path, expected: search_pb2.Split | None, check: Callable[[], None], sample: int) -> None:
        self._folder = folder
        self._split = expected
        self._check = check
        self._sample = sample
        self._found: list[tuple[Part, str]] = []
        self._sampled: list[tuple[int, bytes]] = []

    def run(self) -> list[Problem]:
        if not self._folder.is_dir():
            return [Problem(Part.LINES, "its folder is missing", repairable=False)]
        self._meta()
        self._sums()
        frames = self._lines()
        if frames is not None:
            try:
                self._totals(frames)
                self._table(frames)
                self._grams(frames)
            finally:
                frames.close()
        # What the engine has no checksums for it reads with care, and panics over what it has some for.
        if self._files():
            self._index()
        whole = self._split is not None and all(part is not Part.LINES for part, _ in self._found)
        return [Problem(part, message, whole) for part, message in dict.fromkeys(self._found)]

    def _note(self, part: Part, message: str) -> None:
        self._found.append((part, message))

    def _meta(self) -> None:
        try:
            meta = read_meta(self._folder)
        except FileNotFoundError:
            self._note(Part.INDEX, f"{META} is missing")
            return
        except (OSError, ValueError) as error:
            self._note(Part.INDEX, f"{META} cannot be read: {error}")
            return
        if self._split is None:
            self._split = meta
        elif meta != self._split:
            self._note(Part.INDEX, f"{META} is not what was published")
        if meta.schema_version not in SUPPORTED:
            self._note(Part.INDEX, f"it has format {meta.schema_version}, this program reads {SUPPORTED}")

    def _sums(self) -> None:
        try:
            found = sums.differences(self._folder)
        except sums.SumsError as error:
            self._note(Part.SUMS, str(error))
        except FileNotFoundError:
            return
        else:
            for name, message in found.items():
                self._note(Part.LINES if name == RAW else Part.INDEX, message)

    def _lines(self) -> FoundFrames | None:
        try:
            return FoundFrames(self._folder, self._check)
        except FileNotFoundError:
            self._note(Part.LINES, f"{RAW} is missing")
        except (OSError, ValueError) as error:
            self._note(Part.LINES, str(error))
        return None

    def _totals(self, frames: FoundFrames) -> None:
        split = self._split
        if split is None:
            return
        for what, there, wanted in (
            ("lines", frames.line_count, split.line_count),
            ("bytes of lines", frames.raw_bytes, split.raw_bytes),
        ):
            if there != wanted:
                self._note(Part.LINES, f"{RAW} holds {there} {what} instead of {wanted}")
        if sum(run.line_count for run in split.sources) != split.line_count:
            self._note(Part.LINES, "the lines of its sources do not sum up")

    def _table(self, frames: FoundFrames) -> None:
        """Compares each frame as the table gives it, and takes the sample."""
        chosen = _choice(len(frames), self._sample)
        try:
            reader = FrameReader(self._folder)
        except FileNotFoundError:
            self._note(Part.INDEX, f"{RAW_TABLE} is missing")
            return
        except (OSError, ValueError) as error:
            self._note(Part.INDEX, f"{RAW_TABLE} cannot be read: {error}")
            return
        try:
            if list(reader.first_rows) != frames.first_rows or list(reader.counts) != frames.counts:
                self._note(Part.INDEX, f"{RAW_TABLE} does not fit the frames of {RAW}")
                return
            for number in range(len(frames)):
                self._check()
                there, wanted = reader.read(number), frames.read(number)
                times = [when for when in wanted.columns.times if when != NO_TIME]
                span = (min(times), max(times), len(times)) if times else (0, 0, 0)
                noted = reader.times(number)
                if there.blob != wanted.blob or (noted and (noted.low, noted.high, noted.dated) != span):
                    self._note(Part.INDEX, f"{RAW_TABLE} does not fit frame {number} of {RAW}")
                    return
                if number in chosen:
                    at = chosen[number] % len(wanted.lines)
                    self._sampled.append((wanted.first_row + at, wanted.lines[at]))
        except Exception as error:  # noqa: BLE001 - a damaged table makes whatever reads by it fail in any way
            self._note(Part.INDEX, f"{RAW_TABLE} does not fit {RAW}: {error}")
        finally:
            reader.close()

    def _grams(self, frames: FoundFrames) -> None:
        if not (self._folder / GRAMS).exists():
            return
        try:
            index = GramIndex(self._folder)
            index.verify()
            for number in _choice(len(frames), self._sample):
                self._check()
                if not index.covers(number, frames.read(number).blob):
                    self._note(Part.GRAMS, f"{GRAMS} leaves out trigrams of frame {number}")
                    return
        except GramsError as error:
            self._note(Part.GRAMS, f"{GRAMS} cannot be used: {error}")
        except OSError as error:
            self._note(Part.GRAMS, f"{GRAMS} cannot be read: {error}")

    def _files(self) -> bool:
        """The engine puts a checksum at the end of its files, which it does not compare when it opens them."""
        whole = True
        for path in sorted((self._folder / INDEX).glob("[!.]*.*")):
            self._check()
            if path.suffix not in (".json", ".lock") and not _footer_fits(path):
                self._note(Part.INDEX, f"{INDEX}/{path.name} is damaged")
                whole = False
        return whole

    def _index(self) -> None:
        if self._split is None:
            return
        try:
            index = open_index(self._folder / INDEX)
            searcher = index.searcher()
            if searcher.num_docs != self._split.line_count:
                self._note(Part.INDEX, f"the index has {searcher.num_docs} lines instead of {self._split.line_count}")
                return
            for row, line in self._sampled:
                if not _is_found(index.schema, searcher, row, line):
                    self._note(Part.INDEX, f"the index does not find line {row} by its terms")
                    return
        except Exception as error:  # noqa: BLE001 - the engine raises what it likes for a damaged file
            self._note(Part.INDEX, f"the index cannot be read: {error}")


def _choice(frames: int, wanted: int) -> dict[int, int]:
    """Frames to look at, the same ones each time, and a number to choose a line with."""
    chosen = random.Random(frames)  # noqa: S311 - a sample
    numbers = range(frames) if frames <= wanted else chosen.sample(range(frames), wanted)
    return {number: chosen.getrandbits(30) for number in numbers}


def _is_found(schema: tantivy.Schema, searcher: tantivy.Searcher, row: int, line: bytes) -> bool:
    words = terms(line.decode("utf-8", "replace"))
    clauses = [
        tantivy.Query.range_query(schema, ROW, tantivy.FieldType.Unsigned, row, row + 1, include_upper=False),
        *(tantivy.Query.term_query(schema, BODY, word) for word in words[:3] + words[-3:]),
    ]
    query = tantivy.Query.boolean_query([(tantivy.Occur.Must, clause) for clause in clauses])
    return bool(searcher.search(query, 1).hits)


def _footer_fits(path: Path) -> bool:
    content = path.read_bytes()
    if content[-4:] != _FOOTER_MAGIC:
        return False
    size = int.from_bytes(content[-8:-4], "little")
    footer, payload = content[-8 - size : -8], memoryview(content)[: -8 - size]
    return b'"crc":%d}' % zlib.crc32(payload) in footer
