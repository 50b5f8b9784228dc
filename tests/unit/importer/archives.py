"""Archives of every kind, built where the test runs, and what reading them gives."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import inflate64
import libarchive
import zstandard

from services.importer.reading import Limits, LineBlocks, Meter, Problem, ReadProblem, Reason, open_members

RAR = Path(__file__).resolve().parents[2] / "data" / "archives" / "rar"


class Content:
    """What reading a file gave: lines by member, and problems with the number of lines read before them."""

    def __init__(self, path: Path, limits: Limits | None = None, meter: Meter | None = None) -> None:
        limits = limits or Limits()
        self.members: dict[str, list[bytes]] = {}
        self.encodings: dict[str, str] = {}
        self.problems: list[Problem] = []
        self.unterminated = 0
        for found in open_members(str(path), path.name, meter or Meter(limits)):
            if isinstance(found, Problem):
                self.problems.append(found)
                continue
            lines = self.members[found.name] = []
            self.encodings[found.name] = found.encoding
            blocks = LineBlocks(found.stream, limits.line_bytes)
            try:
                for block in blocks:
                    lines += block
                    if blocks.long_line:
                        self.problems.append(Problem(found.name, Reason.LIMIT, blocks.too_long(), len(lines)))
            except ReadProblem as problem:
                problem.reported = True
                self.problems.append(Problem(found.name, problem.reason, problem.message, len(lines)))
            self.unterminated += blocks.unterminated

    @property
    def reasons(self) -> list[tuple[str, Reason]]:
        return [(problem.path, problem.reason) for problem in self.problems]

    @property
    def texts(self) -> list[bytes]:
        """Members joined again, as they came."""
        return [b"\n".join(lines) for lines in self.members.values()]


def written(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(*members: tuple[str, bytes], mode: str = "w", form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode, format=form) as archive:  # type: ignore[call-overload]
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


class Unseekable(io.RawIOBase):
    """Where zipfile cannot go back to write sizes into headers."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        self.data += bytes(data)  # type: ignore[call-overload]
        return len(bytes(data))  # type: ignore[call-overload]


def zipped_to_pipe(*members: tuple[str, bytes], zip64: bool = False, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip whose sizes stand behind the content."""
    pipe = Unseekable()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            with archive.open(info, "w", force_zip64=zip64) as member:
                member.write(content)
    return bytes(pipe.data)


@dataclass(kw_only=True)
class ZipPart:
    """A member of a zip that may lie. None: what is true."""

    name: bytes
    content: bytes
    method: int = 8
    flags: int = 0
    packed: bytes | None = None
    local_packed: int | None = None
    local_unpacked: int | None = None
    central_packed: int | None = None
    central_unpacked: int | None = None
    attributes: int = 0
    extra: bytes = b""
    zip64: bool = False


def zip_of(*parts: ZipPart, directory: bool = True) -> bytes:
    """A zip written byte by byte."""
    out, central = b"", b""
    for part in parts:
        packed = part.packed
        if packed is None:
            packed = {0: lambda data: data, 8: raw_deflate}[part.method](part.content)
        crc = zlib.crc32(part.content)
        sizes = [len(packed), len(part.content)]
        local = [
            sizes[0] if part.local_packed is None else part.local_packed,
            sizes[1] if part.local_unpacked is None else part.local_unpacked,
        ]
        extra = part.extra
        if part.zip64:
            extra += struct.pack("<HHQQ", 1, 16, local[1], local[0])
            local = [0xFFFFFFFF, 0xFFFFFFFF]
        offset = len(out)
        out += struct.pack(
            *("<4sHHHHHIIIHH", b"PK\x03\x04", 45, part.flags, part.method, 0, 0x58A1, crc),
            *(*local, len(part.name), len(extra)),
        )
        out += part.name + extra + packed
        central += (
            struct.pack(
                *("<4sHHHHHHIIIHHHHHII", b"PK\x01\x02", 3 << 8 | 45, 45, part.flags, part.method, 0, 0x58A1, crc),
                sizes[0] if part.central_packed is None else part.central_packed,
                sizes[1] if part.central_unpacked is None else part.central_unpacked,
                *(len(part.name), 0, 0, 0, 0, part.attributes, offset),
            )
            + part.name
        )
    if not directory:
        return out
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, len(parts), len(parts), len(central), len(out), 0)
    return out + central + end


def raw_deflate(content: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


def raw_deflate64(content: bytes) -> bytes:
    packer = inflate64.Deflater()
    return bytes(packer.deflate(content) + packer.flush())


def zstd(content: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(content)


def by_libarchive(form: str, *members: tuple[str, bytes], filter_name: str | None = None, options: str = "") -> bytes:
    """A 7z, or a raw file through a filter."""
    parts: list[bytes] = []

    def write(data: bytes) -> int:
        parts.append(bytes(data))
        return len(data)

    with libarchive.custom_writer(write, form, filter_name, options=options) as archive:
        for name, content in members:
            archive.add_file_from_memory(name, len(content), content)
    return b"".join(parts)


def seven_zip(*members: tuple[str, bytes], compression: str = "lzma2") -> bytes:
    return by_libarchive("7zip", *members, options=f"compression={compression}")


def lz4(content: bytes) -> bytes:
    if not content:  # which libarchive's writer does not survive
        return bytes.fromhex("04224d186440a70000000005 5dcc02")
    return by_libarchive("raw", ("data", content), filter_name="lz4")


#: By ending: how a text becomes a file of the kind. What is in it once has the name "a.log" where it has one.
KINDS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda text: lzma.compress(text, lzma.FORMAT_ALONE),
    "zst": zstd,
    "lz4": lz4,
    "Z": lambda text: by_libarchive("raw", ("data", text), filter_name="compress"),
    "zip": lambda text: zipped(("a.log", text)),
    "pipe.zip": lambda text: zipped_to_pipe(("a.log", text)),
    "stored.zip": lambda text: zipped(("a.log", text), method=zipfile.ZIP_STORED),
    "bz2.zip": lambda text: zipped(("a.log", text), method=zipfile.ZIP_BZIP2),
    "lzma.zip": lambda text: zipped(("a.log", text), method=zipfile.ZIP_LZMA),
    "d64.zip": lambda text: zip_of(ZipPart(name=b"a.log", content=text, method=9, packed=raw_deflate64(text))),
    "zst.zip": lambda text: zip_of(ZipPart(name=b"a.log", content=text, method=93, packed=zstd(text))),
    "xz.zip": lambda text: zip_of(ZipPart(name=b"a.log", content=text, method=95, packed=lzma.compress(text))),
    "tar": lambda text: tarred(("a.log", text)),
    "tgz": lambda text: tarred(("a.log", text), mode="w:gz"),
    "tar.xz": lambda text: tarred(("a.log", text), mode="w:xz"),
    "7z": lambda text: seven_zip(("a.log", text)),
    "bz2.7z": lambda text: seven_zip(("a.log", text), compression="bzip2"),
    "ppmd.7z": lambda text: seven_zip(("a.log", text), compression="ppmd"),
    "stored.7z": lambda text: seven_zip(("a.log", text), compression="store"),
}
#: Kinds that do not check what they hold, so that a flipped bit may go unseen.
UNCHECKED = frozenset({"tar", "Z", "lzma"})
