"""Decompressors behind one face, each bounded in what it may give at a time and in the memory it may take.

A codec that fails loses what the failed step would have given; steps are small.
"""

from __future__ import annotations

import bz2
import lzma
from typing import Any, Protocol, cast

import inflate64
from isal import isal_zlib

from services.importer.reading.problems import ReadProblem, Reason

#: Bytes that a step gives at most, about.
STEP = 128 << 10
# The stub of isal declares an instance where the class is.
_INFLATE_ERROR = cast("type[Exception]", isal_zlib.IsalError)


class Codec(Protocol):
    """One compressed stream."""

    #: Packed bytes that it wants at a time.
    piece: int
    #: Whether it must be given bytes to go on.
    hungry: bool
    ended: bool

    def step(self, packed: bytes) -> bytes:
        """Takes packed bytes, b"" unless it is hungry; returns what they give; raises ReadProblem."""

    def rest(self) -> bytes:
        """What was given and does not belong to the stream; once, after its end."""


class Deflate:
    """Raw deflate (RFC 1951), by ISA-L."""

    piece = 16 << 10

    def __init__(self) -> None:
        self._inflater: Any = isal_zlib.decompressobj(-15)
        self.hungry = True
        self.ended = False

    def step(self, packed: bytes) -> bytes:
        """See `Codec`."""
        try:
            data: bytes = self._inflater.decompress(packed or self._inflater.unconsumed_tail, STEP)
        except _INFLATE_ERROR:
            raise _damaged() from None
        self.ended = self._inflater.eof
        # What is full may have more to give even when it has taken all its bytes.
        self.hungry = not self._inflater.unconsumed_tail and len(data) < STEP
        return data

    def rest(self) -> bytes:
        """See `Codec`."""
        return bytes(self._inflater.unused_data)


class Deflate64:
    """Deflate64, as Windows writes into large zips. It gives all at once: up to 29,000 times what it is given."""

    piece = 1 << 10

    def __init__(self) -> None:
        self._inflater: Any = inflate64.Inflater()
        self.hungry = True
        self.ended = False

    def step(self, packed: bytes) -> bytes:
        """See `Codec`."""
        try:
            data: bytes = self._inflater.inflate(packed)
        except Exception:  # noqa: BLE001 - it raises what it likes, and all of it means damage
            raise _damaged() from None
        self.ended = self._inflater.eof
        return data

    def rest(self) -> bytes:
        """Nothing: it does not tell; its end is known from elsewhere."""
        return b""


class Library:
    """bzip2 and lzma, by the standard library's objects."""

    piece = 32 << 10

    def __init__(self, decompressor: bz2.BZ2Decompressor | lzma.LZMADecompressor, window_bytes: int) -> None:
        self._decompressor = decompressor
        self._window_bytes = window_bytes
        self.hungry = True
        self.ended = False

    def step(self, packed: bytes) -> bytes:
        """See `Codec`."""
        try:
            data = self._decompressor.decompress(packed, STEP)
        except (lzma.LZMAError, MemoryError) as error:
            if isinstance(error, MemoryError) or "emory" in str(error):
                raise too_much_memory(self._window_bytes) from None
            if "nsupported" in str(error):
                raise ReadProblem(Reason.UNSUPPORTED, "It is compressed with options that are not supported.") from None
            raise _damaged() from None
        except (OSError, EOFError, ValueError):
            raise _damaged() from None
        self.ended = self._decompressor.eof
        self.hungry = self._decompressor.needs_input
        return data

    def rest(self) -> bytes:
        """See `Codec`."""
        return self._decompressor.unused_data


def bzip2() -> Library:
    """One stream of bzip2."""
    return Library(bz2.BZ2Decompressor(), 0)


def xz(window_bytes: int) -> Library:
    """One stream of xz."""
    return Library(lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=window_bytes), window_bytes)


def lzma_alone(window_bytes: int) -> Library:
    """The older .lzma."""
    return Library(lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=window_bytes), window_bytes)


def lzma_raw(properties: bytes, window_bytes: int) -> Library:
    """LZMA1 without a container; `properties` are the five bytes that describe it."""
    packed, dictionary = properties[0], int.from_bytes(properties[1:5], "little")
    if dictionary > window_bytes:
        raise too_much_memory(window_bytes)
    options = {
        "id": lzma.FILTER_LZMA1,
        "lc": packed % 9,
        "lp": packed // 9 % 5,
        "pb": packed // 45,
        "dict_size": max(dictionary, 4096),
    }
    try:
        return Library(lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[options]), window_bytes)
    except (lzma.LZMAError, ValueError):
        raise _damaged() from None


def too_much_memory(window_bytes: int) -> ReadProblem:
    """What needs a window that is too large."""
    return ReadProblem(
        Reason.LIMIT,
        f"Unpacking it takes more memory than the {window_bytes} bytes that are allowed for its window. "
        "Pack it again with a smaller one.",
    )


def _damaged() -> ReadProblem:
    return ReadProblem(Reason.DAMAGED, "The compressed data are damaged.")
