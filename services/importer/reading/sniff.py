"""What kind of content a stream begins with. Endings of names decide nothing."""

from __future__ import annotations

import tarfile
from enum import Enum

#: Bytes that are looked at.
SNIFF_BYTES = 8 << 10


class Kind(Enum):
    """How a stream is to be read."""

    TEXT = "text"
    UTF16 = "UTF-16 text"
    GZIP = "gzip"
    ZIP = "zip"
    TAR = "tar"
    UNSUPPORTED = "unsupported"
    BINARY = "binary"


# Compressed kinds that are known and cannot be read.
_UNSUPPORTED = {
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!\x1a\x07": "rar",
    b"\x04\x22\x4d\x18": "lz4",
    b"\x1f\x9d": "compress (.Z)",
}
_BINARY = {
    b"\x7fELF": "a program",
    b"\x89PNG\r\n": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF picture",
    b"%PDF-": "a PDF document",
    b"SQLite format 3\0": "an SQLite database",
    b"ElfFile\0": "a Windows event log (.evtx); export it as JSON or text",
    b"\xca\xfe\xba\xbe": "Java byte code",
    b"PAR1": "a Parquet file",
    b"\0asm": "WebAssembly",
    b"OggS": "sound",
    b"\xd0\xcf\x11\xe0": "an Office document",
    b"\xd4\xc3\xb2\xa1": "a packet capture",
    b"\x0a\x0d\x0d\x0a": "a packet capture",
    b"LPKSHHRH": "a systemd journal; export it with journalctl",
}
# Control bytes that stand in text: bell, backspace, tab, line feed, form feed, carriage return, escape.
_CONTROL = bytes(set(range(32)) - {7, 8, 9, 10, 12, 13, 27}) + b"\x7f"


def sniff(head: bytes) -> tuple[Kind, str]:
    """Kind of a stream that begins with `head` (up to SNIFF_BYTES), and its name for a person."""
    if head.startswith(b"\x1f\x8b"):
        return Kind.GZIP, "gzip"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return Kind.ZIP, "zip"
    if _is_tar(head[:512]):
        return Kind.TAR, "tar"
    for magic, name in _UNSUPPORTED.items():
        if head.startswith(magic) and (magic != b"BZh" or head[4:10] == b"1AY&SY"):
            return Kind.UNSUPPORTED, name
    if head.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return Kind.BINARY, "UTF-32 text, which is not supported"
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return Kind.UTF16, "UTF-16 text"
    for magic, name in _BINARY.items():
        if head.startswith(magic):
            return Kind.BINARY, name
    return (Kind.BINARY, "binary data") if is_binary(head) else (Kind.TEXT, "text")


def is_binary(head: bytes) -> bool:
    """Whether the bytes are no text: over 30 % control bytes, or some of them and mostly not UTF-8 either.

    A stray NUL, colours, or another 8-bit encoding do not make a log binary. Random bytes have 10 % control bytes.
    """
    if not head:
        return False
    controls = len(head) - len(head.translate(None, _CONTROL))
    if controls > 0.3 * len(head):
        return True
    if controls <= 0.05 * len(head):
        return False
    invalid = head.decode("utf-8", "replace").count("�")
    return controls + invalid > 0.3 * len(head)


def _is_tar(block: bytes) -> bool:
    if block[257:262] == b"ustar":
        return True
    if len(block) < 512 or b"\0" not in block:
        return False
    try:  # the oldest kind has no magic, but a checksum
        tarfile.TarInfo.frombuf(block, "utf-8", "replace")
    except tarfile.HeaderError:
        return False
    return True
