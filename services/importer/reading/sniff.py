"""What kind of content a stream begins with. Endings of names decide nothing."""

from __future__ import annotations

import codecs
import tarfile
from enum import Enum

from services.importer.reading.encoding import by_pattern

#: Bytes that are looked at.
SNIFF_BYTES = 64 << 10
# Of them, those that tell text from binary data.
_BINARY_BYTES = 8 << 10


class Kind(Enum):
    """How a stream is to be read."""

    TEXT = "text"
    GZIP = "gzip"
    BZIP2 = "bzip2"
    XZ = "xz"
    LZMA = "lzma"
    ZSTD = "zstd"
    LZ4 = "lz4"
    COMPRESS = "compress (.Z)"
    ZIP = "zip"
    TAR = "tar"
    SEVEN_ZIP = "7z"
    RAR = "rar"
    UNSUPPORTED = "unsupported"
    BINARY = "binary"


_KINDS = {
    b"\x1f\x8b": Kind.GZIP,
    b"PK\x03\x04": Kind.ZIP,
    b"PK\x05\x06": Kind.ZIP,
    b"\xfd7zXZ\0": Kind.XZ,
    b"\x28\xb5\x2f\xfd": Kind.ZSTD,
    b"7z\xbc\xaf\x27\x1c": Kind.SEVEN_ZIP,
    b"Rar!\x1a\x07": Kind.RAR,
    b"\x04\x22\x4d\x18": Kind.LZ4,
    b"\x02\x21\x4c\x18": Kind.LZ4,
    b"\x1f\x9d": Kind.COMPRESS,
}
# The fourth byte is the size of its blocks.
_BZIP2 = b"BZh91AY&SY"
# Compressed kinds that are known and cannot be read.
_UNSUPPORTED = {
    b"RE~^": "rar before version 1.5",
    b"LZIP": "lzip",
    b"\x89LZO\0\r\n\x1a\n": "lzop",
    b"PK\x07\x08PK\x03\x04": "a zip archive in several parts",
    b"MSCF": "a cabinet (.cab)",
    b"!<arch>\n": "an ar archive (.deb)",
    b"070701": "a cpio archive",
    b"070707": "a cpio archive",
    b"\xed\xab\xee\xdb": "an rpm package",
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
_TAR_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst", ".tar.lz4")
_PACKED_ENDINGS = (
    *(".gz", ".tgz", ".zip", ".bz2", ".tbz2", ".xz", ".txz", ".lzma", ".zst", ".tzst", ".7z", ".rar", ".lz4", ".tar"),
    *(".jar", ".z"),
)


def sniff(head: bytes) -> tuple[Kind, str]:
    """Kind of a stream that begins with `head` (up to SNIFF_BYTES), and its name for a person."""
    for magic, kind in _KINDS.items():
        if head.startswith(magic):
            return kind, kind.value
    if head.startswith(_BZIP2[:3]) and head[4:10] in (_BZIP2[4:], b"\x17\x72\x45\x38\x50\x90"):
        return Kind.BZIP2, "bzip2"
    if _is_tar(head[:512]):
        return Kind.TAR, "tar"
    if _is_lzma(head[:13]):
        return Kind.LZMA, "lzma"
    for magic, name in _UNSUPPORTED.items():
        if head.startswith(magic):
            return Kind.UNSUPPORTED, name
    for magic, name in _BINARY.items():
        if head.startswith(magic):
            return Kind.BINARY, name
    if by_pattern(head) is not None:
        return Kind.TEXT, "text"
    return (Kind.BINARY, "binary data") if is_binary(head[:_BINARY_BYTES]) else (Kind.TEXT, "text")


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


def is_broken_archive(name: str, head: bytes) -> bool:
    """Whether what looks like text has the name of an archive, and bytes that no text has: its beginning is damaged.

    A log that was unpacked and kept its name is text, and read as such.
    """
    if not name.lower().endswith(_PACKED_ENDINGS):
        return False
    if 0 < len(head) < 512 and name.lower().endswith(_TAR_ENDINGS):
        return True
    if head and (
        head == b"]" or any(magic.startswith(head[:10]) for magic in (*_KINDS, _BZIP2[:3] + head[3:4] + _BZIP2[4:]))
    ):
        return True
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return True
    return b"\0" in head


def is_empty_tar(name: str, head: bytes) -> bool:
    """Whether it is a tar archive without members: zeros are all there is of one."""
    return name.lower().endswith(_TAR_ENDINGS) and len(head) >= 1024 and not head.strip(b"\0")


def _is_tar(block: bytes) -> bool:
    if block[257:262] == b"ustar":
        return True
    if len(block) < 512 or b"\0" not in block:
        return False
    try:  # the oldest kind has no magic, but a checksum
        tarfile.TarInfo.frombuf(block, "utf-8", "replace")
    except (tarfile.HeaderError, ValueError):
        return False
    return True


def _is_lzma(head: bytes) -> bool:
    """LZMA without a container has no magic; its usual properties, a power of two as dictionary, and a size."""
    if len(head) < 13 or head[0] != 0x5D:
        return False
    dictionary, size = int.from_bytes(head[1:5], "little"), int.from_bytes(head[5:13], "little")
    usual = dictionary >= 4096 and dictionary.bit_count() <= 2
    return usual and (size == (1 << 64) - 1 or size < 1 << 40)
