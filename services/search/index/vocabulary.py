"""All terms of a split in memory: which of them contain a text is found at the speed of memory."""

from __future__ import annotations

from collections.abc import Iterable

import tantivy

from services.search.index.nodes import NOTHING, Node, one_of
from services.search.index.schema import BODY
from services.search.index.terms import LONG
from services.search.lru import LruCache

__all__ = ["MOST_TERMS", "SplitTerms", "Vocabulary", "vocabularies"]

#: Terms that one look-up gives at most: with more, reading the lines is as fast.
MOST_TERMS = 1_000
_KEPT_BYTES = 64 << 20
#: Terms that are kept shortened at most: the lines that hold them have to be read.
_MOST_LONG = 64
#: Capital I with a dot is kept as two characters, an i and this one; it is not the same as i.
_DOT = "\u0307"


class Vocabulary:
    """Terms as the engine keeps them. The `long` ones stand for longer ones: what those contain is not known."""

    def __init__(self, terms: Iterable[str]) -> None:
        whole: list[str] = []
        long: list[str] = []
        for term in terms:
            (long if len(term) >= LONG else whole).append(term)
        self.long = tuple(long)
        self._blob = "\n".join(["", *whole, ""]).encode()

    @property
    def weight(self) -> int:
        """Bytes."""
        return len(self._blob) + 256 * (1 + len(self.long))

    def containing(self, text: str) -> list[str] | None:
        """The terms, of those that are not long, which contain letters and digits in lower case; None: too many."""
        wanted, blob = text.encode(), self._blob
        doubtful = text.endswith("i")
        found: list[str] = []
        at = blob.find(wanted)
        while at >= 0:
            end = blob.index(b"\n", at)
            term = blob[blob.rindex(b"\n", 0, at) + 1 : end].decode()
            if not doubtful or text in term.replace(f"i{_DOT}", _DOT):
                found.append(term)
                if len(found) > MOST_TERMS:
                    return None
            at = blob.find(wanted, end)
        return found


class SplitTerms:
    """The terms of one split, `number` being that of its reader, as far as they are few enough to be held in memory."""

    def __init__(self, searcher: tantivy.Searcher, number: int, *, usable: bool) -> None:
        self._searcher, self._number, self._usable = searcher, number, usable

    def containing(self, text: str) -> list[str] | None:
        """As Vocabulary.containing; None also where they are not held."""
        vocabulary = self._vocabulary()
        return None if vocabulary is None else vocabulary.containing(text)

    def long(self) -> Node:
        """Lines with terms that are kept shortened; only where `containing` gives something."""
        vocabulary = self._vocabulary()
        return NOTHING if vocabulary is None else one_of(vocabulary.long)

    def _vocabulary(self) -> Vocabulary | None:
        if not self._usable:
            return None
        found = vocabularies.get(self._number)
        if found is None:
            found = Vocabulary(term for term, _ in self._searcher.terms_with_prefix(BODY, ""))
            if len(found.long) > _MOST_LONG:
                self._usable = False
                return None
            vocabularies.put(self._number, found)
        return found


#: Of the splits used last, by the number of their reader.
vocabularies: LruCache[int, Vocabulary] = LruCache(_KEPT_BYTES, lambda found: found.weight)
