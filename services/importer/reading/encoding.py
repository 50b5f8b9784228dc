"""The encoding of a text, found in its head, and its bytes as UTF-8.

What is UTF-8 or ASCII passes untouched, and so does what is not known: its bytes are searchable as they are. Where
another encoding is sure, lines are given in UTF-8; bytes that are invalid in it stay as they are.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass

from services.importer.reading.streams import Readable

# Bytes that a guess is made from: lines with something else than ASCII in them.
_GUESS_BYTES = 16 << 10
# As many bytes above ASCII must be there for a guess.
_GUESS_HIGH = 24
_GUESS_DISTINCT = 2
# What charset-normalizer calls chaos: characters that do not stand together in any language.
_MAX_CHAOS = 0.1
# A single-byte encoding fits every text; it must look like a language, too.
_MIN_COHERENCE = 0.3
# By how much more chaos the next one must have.
_CHAOS_APART = 0.01
_MULTI = ("cp932", "euc_jp", "gb18030", "cp949", "big5")
_SINGLE = ("cp1252", "cp1251", "koi8_r", "cp1250")
_NAMES = {"cp932": "shift_jis", "euc_jp": "euc-jp", "cp949": "euc-kr", "koi8_r": "koi8-r"} | {
    name: f"windows-{name[2:]}" for name in ("cp1250", "cp1251", "cp1252")
}
_HIGH = bytes(range(128, 256))
_ASCII = bytes(range(128))


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a text is encoded."""

    #: Its name, as the IANA has it: "utf-8", "utf-16le", "windows-1252"; "" where it is not known.
    name: str
    #: The codec that turns it into text; "" where its bytes are kept as they are.
    codec: str = ""
    #: Bytes of its byte order mark that are not given. That of UTF-8 is given, and passed over with the first line.
    mark: int = 0


UTF8 = Encoding("utf-8")
UNKNOWN = Encoding("")


def detect(head: bytes, *, whole: bool) -> Encoding:
    """Encoding of the text that begins with `head`; `whole` says that nothing follows it."""
    found = by_pattern(head)
    if found is not None:
        return found
    if head.isascii():
        return UTF8
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, final=whole)
    except UnicodeDecodeError:
        return _guess(head)
    return UTF8


def by_pattern(head: bytes) -> Encoding | None:
    """The encoding where a byte order mark or its zero bytes tell it."""
    if head.startswith(codecs.BOM_UTF8):
        return UTF8
    for mark, name in ((codecs.BOM_UTF32_LE, "utf-32le"), (codecs.BOM_UTF32_BE, "utf-32be")):
        if head.startswith(mark) and _decodes(head[4:], name):
            return Encoding(name, name, 4)
    for mark, name in ((codecs.BOM_UTF16_LE, "utf-16le"), (codecs.BOM_UTF16_BE, "utf-16be")):
        if head.startswith(mark) and not _is_narrow(head[2:]) and _decodes(head[2:], name):
            return Encoding(name, name, 2)
    return _by_zeros(head)


def _by_zeros(head: bytes) -> Encoding | None:
    """UTF-16 and UTF-32 without a mark: of a text that is mostly Latin, every second byte is zero, or three of four."""
    if head.count(0, 0, 1 << 12) < 2:
        return None
    for width, name in ((4, "utf-32"), (2, "utf-16")):
        units = len(head) // width
        if units < 4:
            continue
        zeros = [head[at : units * width : width].count(0) for at in range(width)]
        for order, low in (("le", 0), ("be", width - 1)):
            high = [zeros[at] for at in range(width) if at != low]
            if zeros[low] <= 0.01 * units and min(high) >= 0.7 * units and _decodes(head, name + order):
                return Encoding(name + order, name + order)
    return None


def _is_narrow(body: bytes) -> bool:
    """Whether it is plain ASCII text: what looked like the mark of UTF-16 in front of it is none."""
    sample = body[:4096]
    controls = sum(sample.count(byte) for byte in range(32) if byte not in b"\t\n\r\x1b")
    high = len(sample) - len(sample.translate(None, _HIGH))
    return bool(sample) and controls + high <= 0.1 * len(sample)


def _decodes(body: bytes, codec: str) -> bool:
    """Whether nearly all of it is valid: a stray unit is no reason to doubt, and the head may end inside one."""
    width = 4 if codec.startswith("utf-32") else 2
    text = body[: len(body) // width * width].decode(codec, "replace")
    odd = text.count("�") + sum(text.count(chr(code)) for code in range(32) if chr(code) not in "\t\n\r\f\x1b")
    return odd <= 0.01 * len(text) + 1


def _guess(head: bytes) -> Encoding:
    """An 8-bit or multi-byte encoding, where one is much likelier than the others."""
    text = head.decode("utf-8", "replace")
    valid = len(text) - text.count("�") - sum(map(text.count, map(chr, range(128))))
    if valid and valid >= text.count("�"):
        return UTF8  # with a damage here and there
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return UNKNOWN  # letters of no word
    lines = [line for line in head.rpartition(b"\n")[0].split(b"\n") or [head] if not line.isascii()]
    sample = b"\n".join(lines or [head])[:_GUESS_BYTES]
    sample = sample[: sample.rfind(b"\n") + 1] or sample
    high = sample.translate(None, _ASCII)
    if len(high) < _GUESS_HIGH or len(set(high)) < _GUESS_DISTINCT:
        return UNKNOWN
    # Loaded only here: most sources never need it.
    from charset_normalizer import from_bytes

    found = list(from_bytes(sample, cp_isolation=[*_MULTI, *_SINGLE], threshold=0.2, enable_fallback=False))
    if not found or found[0].chaos > _MAX_CHAOS:
        return UNKNOWN
    best, codec = found[0], found[0].encoding
    # The two Latin ones share most letters: where both fit, the western one is meant.
    latin = {"cp1252", "cp1250"}
    if codec == "cp1250":
        same = sample.decode("cp1252", "replace") == sample.decode("cp1250", "replace")
        if same or any(one.encoding == "cp1252" and one.chaos <= best.chaos for one in found):
            codec = "cp1252"
    others = [one for one in found[1:] if not (codec in latin and one.encoding in latin)]
    if any(one.chaos - best.chaos < _CHAOS_APART for one in others):
        return UNKNOWN
    if codec in _SINGLE and best.coherence < _MIN_COHERENCE:
        return UNKNOWN
    return Encoding(_NAMES.get(codec, codec), codec)


class Transcoded:
    """A stream in another encoding, as UTF-8."""

    def __init__(self, source: Readable, codec: str) -> None:
        self._source = source
        # A unit of UTF-16 or 32 that is no character has no bytes that could be kept: it becomes U+FFFD.
        wide = codec.startswith("utf")
        self._decoder = codecs.getincrementaldecoder(codec)("replace" if wide else "surrogateescape")
        self._ended = False

    def read(self, size: int) -> bytes:
        """UTF-8 bytes; about as many as asked for."""
        text = ""
        while not self._ended and not text:
            data = self._source.read(size)
            self._ended = not data
            text = self._decoder.decode(data, final=self._ended)
        return text.encode("utf-8", "surrogateescape")
