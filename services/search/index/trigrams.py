"""Trigrams: what the block index knows of a text.

Bytes are folded and put into 64 classes, so that a trigram is a number of 18 bits. A stripe is a run of frames and what
is known of them: a row of bits for each trigram, one bit a frame; neighbouring rows are kept in groups.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

__all__ = ["CODES", "STRIPE", "Stripe", "codes_in", "codes_of", "fold_bytes", "group_bits", "row_bytes"]

#: How many trigrams there are.
CODES = 1 << 18
#: Frames whose bits stand in one row.
STRIPE = 1024
#: Bytes of the rows of a group, roughly: what a look-up has to unpack.
_GROUP_BYTES = 8192
#: Trigrams of a literal that are looked up at most.
_LOOKED_UP = 24
_PIECE = 64 * 1024
# Bytes that share a class; the classes 0 to 35 are letters and digits, 56 and on what is not ASCII, 63 the rest.
_ALIKE = [*'".,:;/\\-_=&%', "'`", " \t", "(<[{", ")>]}", "+*", "@#", "?!", "$|~^"]
# A literal that was cut within the Kelvin sign or the long s: those bytes are not in the folded text.
_CUT = re.compile(rb"\A(?:\x84?\xaa|\xbf)|(?:\xe2\x84?|\xc5)\Z")


def fold_bytes(text: bytes) -> bytes:
    """ASCII letters in lower case, the Kelvin sign as k and the long s as s; nothing else changes."""
    folded = text.lower()
    if not folded.isascii():
        folded = folded.replace(b"\xe2\x84\xaa", b"k").replace(b"\xc5\xbf", b"s")
    return folded


def _classes() -> npt.NDArray[np.intp]:
    """The class, 0 to 63, of each byte of a folded text."""
    table = np.full(256, 63, np.intp)
    for number, char in enumerate(b"abcdefghijklmnopqrstuvwxyz0123456789"):
        table[char] = number
    for number, chars in enumerate(_ALIKE, 36):
        table[list(chars.encode())] = number
    # Bytes that continue a character, and those that begin one.
    table[0x80:0xC0] = 56 + np.arange(64) % 4
    table[0xC0:] = 60 + np.arange(64) % 3
    return table


_LOW = _classes()
_MIDDLE, _HIGH = _LOW << 6, _LOW << 12


def codes_in(blob: bytes) -> npt.NDArray[np.intp]:
    """The number of each trigram of a text, in order."""
    return _codes(fold_bytes(blob))


def _codes(folded: bytes) -> npt.NDArray[np.intp]:
    text = np.frombuffer(folded, np.uint8)
    if len(text) < 3:
        return np.empty(0, np.intp)
    codes = _HIGH.take(text[:-2])
    codes |= _MIDDLE.take(text[1:-1])
    codes |= _LOW.take(text[2:])
    return codes


def codes_of(literal: bytes) -> list[int]:
    """Trigrams of a literal to look up. The first ones share no bytes: they tell the most."""
    codes = codes_in(_CUT.sub(b"", fold_bytes(literal))).tolist()
    return list(dict.fromkeys(codes[0::3] + codes[1::3] + codes[2::3]))[:_LOOKED_UP]


class Stripe:
    """Collects which trigrams up to 1,024 frames hold: 32 MB, whatever the text."""

    def __init__(self) -> None:
        self.frames = 0
        #: A byte for eight frames and a trigram.
        self._bytes = np.zeros((STRIPE // 8, CODES), np.uint8)
        self._seen = np.zeros(CODES, np.uint8)

    def add(self, blob: bytes) -> None:
        """Takes up the next frame."""
        lane, bit = divmod(self.frames, 8)
        self.frames += 1
        folded = fold_bytes(blob)
        # A line of many megabytes is a frame of its own: in pieces it takes no more memory than others.
        for at in range(0, len(folded), _PIECE):
            self._seen[_codes(folded[at : at + _PIECE + 2])] = 1 << bit
        self._bytes[lane] |= self._seen
        self._seen.fill(0)

    def groups(self) -> Iterator[bytes]:
        """The groups in order; b"" for one without rows."""
        lanes = row_bytes(self.frames)
        present = np.zeros(CODES, bool)
        for lane in self._bytes[:lanes]:
            present |= lane != 0
        size = 1 << group_bits(self.frames)
        step = max(size, 8192)
        for start in range(0, CODES, step):
            rows = np.ascontiguousarray(self._bytes[:lanes, start : start + step].T)
            for at in range(0, step, size):
                has = present[start + at : start + at + size]
                if has.any():
                    yield np.packbits(has, bitorder="little").tobytes() + rows[at : at + size][has].tobytes()
                else:
                    yield b""

    def clear(self) -> None:
        """Begins the next stripe."""
        self._bytes[: row_bytes(self.frames)].fill(0)
        self.frames = 0


def row_bytes(frames: int) -> int:
    return -(-frames // 8)


def group_bits(frames: int) -> int:
    """How many bits of a trigram's number select its row within a group, in a stripe of so many frames."""
    return min(max((_GROUP_BYTES // row_bytes(frames)).bit_length() - 1, 6), 13)
