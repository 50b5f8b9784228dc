"""Files made to do harm, through a worker's task with real splits: an error that names the limit, and the rest read."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import subprocess
import sys
import tarfile
import zlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest
import zstandard

from tests.unit.importer.archives import ZipPart, seven_zip, tarred, zip_of, zipped

MB = 1 << 20
GOOD = b"2024-05-01 10:00:00 INFO a good line\n"


@dataclass(frozen=True)
class Result:
    """What a task told."""

    lines: dict[str, int]
    errors: list[tuple[str, str, int, str]]
    seconds: float
    memory: int
    child: int

    def reason(self, path: str) -> str:
        """Why the file or member was not read; "" when it was."""
        return next((reason for name, reason, _, _ in self.errors if name == path), "")


def read(folder: Path, *paths: Path, free_bytes: int = 0) -> Result:
    """Reads the files and a good one behind them, which must always be read."""
    good = folder / "zz-good.log"
    good.write_bytes(GOOD)
    done = subprocess.run(
        [
            *(sys.executable, "-X", "faulthandler", "-m", "tests.integration.importer.read_in_process"),
            *(str(folder / "splits"), str(free_bytes), *map(str, paths), str(good)),
        ],
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    result = Result(**json.loads(done.stdout))
    assert result.lines.pop("zz-good.log") == 1
    assert result.memory < 300 * MB
    assert result.child < 300 * MB
    return result


def deflated(unit: bytes, gigabytes: float) -> tuple[bytes, int]:
    """Raw deflate of a unit repeated to a size, and that size: whole blocks of it can be put behind each other."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    content = unit * (4 * MB // len(unit))
    block = packer.compress(content) + packer.flush(zlib.Z_FULL_FLUSH)
    count = int(gigabytes * 1024 / 4)
    return block * count + packer.flush(), count * len(content)


def bomb(name: bytes, unit: bytes, gigabytes: float) -> ZipPart:
    packed, size = deflated(unit, gigabytes)
    size &= 0xFFFFFFFF
    return ZipPart(name=name, content=b"", packed=packed, local_unpacked=size, central_unpacked=size)


def test_ten_gigabytes_of_zeros_in_a_zip_cost_only_themselves(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    after = ZipPart(name=b"after.log", content=GOOD)
    path.write_bytes(zip_of(bomb(b"zeros.log", b"\0", 10), bomb(b"digits.log", b"0", 10), after))
    result = read(tmp_path, path)
    assert result.reason("bomb.zip!/zeros.log") == "BINARY"
    assert result.reason("bomb.zip!/digits.log") == "LIMIT"
    assert any("250 times" in message for *_, message in result.errors)
    assert result.lines == {"bomb.zip!/digits.log": 1, "bomb.zip!/after.log": 1}


def test_bombs_again_and_again_end_their_archive(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    bombs = [bomb(b"%d.log" % number, b"0", 1) for number in range(20)]
    path.write_bytes(zip_of(*bombs, ZipPart(name=b"after.log", content=GOOD)))
    result = read(tmp_path, path, free_bytes=16 * MB)
    assert [reason for _, reason, _, _ in result.errors].count("LIMIT") == len(result.errors) < 10
    assert "bomb.zip!/after.log" not in result.lines


@pytest.mark.parametrize("kind", ["zip", "gz", "bz2", "xz", "zst", "7z"])
def test_a_bomb_of_every_kind_is_stopped(tmp_path: Path, kind: str) -> None:
    unit = b"the same line again and again\n" * 1000
    if kind == "zip":
        data = zip_of(bomb(b"a.log", unit, 10))
    elif kind == "gz":
        data = b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + deflated(unit, 10)[0] + bytes(8)
    elif kind == "zst":
        data = zstandard.ZstdCompressor().compress(unit * (512 * MB // len(unit)))
    elif kind == "bz2":
        data = bz2.compress(unit * (20 * MB // len(unit))) * 50
    elif kind == "xz":
        data = lzma.compress(unit * (64 * MB // len(unit)), preset=0) * 16
    else:
        data = seven_zip(("a.log", unit * (64 * MB // len(unit))), compression="deflate")
    path = tmp_path / f"bomb.{kind}"
    path.write_bytes(data)
    result = read(tmp_path, path, free_bytes=16 * MB)
    name = f"bomb.{kind}!/a.log" if kind in ("zip", "7z") else path.name
    assert result.reason(name) == "LIMIT"
    assert 400_000 < result.lines[name] < 1_500_000  # not far over 16 MB, and what came before is kept


def test_a_zip_of_zips_of_zips_of_zeros_is_stopped(tmp_path: Path) -> None:
    inner = zip_of(bomb(b"digits.log", b"0", 1))
    middle = zipped(*((f"{number}.zip", inner) for number in range(16)))
    path = tmp_path / "nested.zip"
    path.write_bytes(zipped(*((f"{number}.zip", middle) for number in range(16))))
    result = read(tmp_path, path, free_bytes=16 * MB)
    assert {reason for _, reason, _, _ in result.errors} == {"LIMIT"}


def test_fifty_archives_inside_each_other_are_refused(tmp_path: Path) -> None:
    packed = GOOD
    for number in range(50):
        packed = zipped((f"{number}.zip", packed)) if number % 2 else gzip.compress(packed)
    path = tmp_path / "deep.zip"
    path.write_bytes(packed)
    result = read(tmp_path, path)
    assert [(reason, "6 deep" in message) for _, reason, _, message in result.errors] == [("LIMIT", True)]


def test_a_hundred_thousand_members_are_read_and_one_more_is_not(tmp_path: Path) -> None:
    members = [(f"{number}.bin", b"\x7fELF") for number in range(99_999)]
    whole, over = tmp_path / "whole.zip", tmp_path / "over.tar"
    whole.write_bytes(zipped(*members, ("last.log", GOOD)))
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for number in range(100_001):
            info = tarfile.TarInfo(f"{number}.log")
            info.size = 4
            archive.addfile(info, BytesIO(b"\x7fELF"))
    over.write_bytes(buffer.getvalue())
    result = read(tmp_path, whole, over)
    assert result.lines == {"whole.zip!/last.log": 1}
    assert result.reason("over.tar") == "LIMIT"
    assert "100000 members" in result.errors[-1][3]


def test_empty_streams_without_end_are_stopped(tmp_path: Path) -> None:
    paths = []
    for kind, one in (("gz", gzip.compress(b"")), ("bz2", bz2.compress(b"")), ("xz", lzma.compress(b""))):
        paths.append(tmp_path / f"x.{kind}")
        paths[-1].write_bytes(one * 150_000)
    paths.append(tmp_path / "x.zst")
    paths[-1].write_bytes(zstandard.ZstdCompressor().compress(b"") * 150_000)
    result = read(tmp_path, *paths)
    assert [result.reason(path.name) for path in paths] == ["LIMIT"] * 4


def test_members_that_are_no_files_are_passed_over(tmp_path: Path) -> None:
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE):
            info = tarfile.TarInfo(f"../odd{kind!r}")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    path = tmp_path / "x.tar"
    path.write_bytes(buffer.getvalue())
    link = tmp_path / "x.zip"
    link.write_bytes(zip_of(ZipPart(name=b"l", content=b"/etc/passwd", method=0, attributes=0o120777 << 16)))
    result = read(tmp_path, path, link)
    assert (result.lines, result.errors) == ({}, [])
    assert sorted(one.name for one in tmp_path.iterdir()) == ["splits", "x.tar", "x.zip", "zz-good.log"]


def test_a_line_of_a_gigabyte_is_kept_in_part_and_told(tmp_path: Path) -> None:
    path = tmp_path / "long.log"
    with path.open("wb") as file:
        file.write(GOOD)
        for _ in range(64):
            file.write(b"word word word w" * MB)
        file.write(b"\n" + GOOD)
    result = read(tmp_path, path)
    assert result.lines == {"long.log": 3}
    assert [(reason, line) for _, reason, line, _ in result.errors] == [("LIMIT", 2)]
    assert f"{16 * MB} that are allowed" in result.errors[0][3]


def test_a_file_of_zeros_is_binary_however_large(tmp_path: Path) -> None:
    path = tmp_path / "zeros.log"
    path.touch()
    os.truncate(path, 10 << 30)
    result = read(tmp_path, path)
    assert (result.lines, result.reason("zeros.log")) == ({}, "BINARY")


def test_windows_that_take_gigabytes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.xz").write_bytes(_wide_xz())
    wide = zstandard.ZstdCompressionParameters(window_log=27, write_content_size=0)
    frame = bytearray(zstandard.ZstdCompressor(compression_params=wide).compress(GOOD))
    frame[5] = 21 << 3  # a window of 2 GB
    (tmp_path / "x.zst").write_bytes(frame)
    result = read(tmp_path, tmp_path / "x.xz", tmp_path / "x.zst")
    assert [(path, reason) for path, reason, _, _ in result.errors] == [("x.xz", "LIMIT"), ("x.zst", "LIMIT")]
    assert str(128 * MB) in result.errors[0][3]


def _wide_xz() -> bytes:
    """An xz whose header asks for a dictionary of 4 GB."""
    data = bytearray(lzma.compress(GOOD))
    header = 12
    size = (data[header] + 1) * 4
    at = data.index(b"\x21\x01", header)  # LZMA2, one byte of properties
    data[at + 2] = 40
    data[header + size - 4 : header + size] = zlib.crc32(data[header : header + size - 4]).to_bytes(4, "little")
    return bytes(data)


def test_files_that_only_the_system_makes_are_read_or_named(tmp_path: Path) -> None:
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    result = read(tmp_path, Path("/proc/self/status"), fifo, tmp_path / "gone.log", Path("/proc/version"))
    assert result.lines["status"] > 10
    assert result.lines["version"] == 1
    assert (result.reason("pipe"), result.reason("gone.log")) == ("NOT_A_FILE", "NOT_FOUND")


def test_empty_archives_hold_nothing(tmp_path: Path) -> None:
    for name, data in (("x.tar.gz", tarred(mode="w:gz")), ("y.zip", zipped()), ("z.gz", gzip.compress(b""))):
        (tmp_path / name).write_bytes(data)
    result = read(tmp_path, tmp_path / "x.tar.gz", tmp_path / "y.zip", tmp_path / "z.gz")
    assert (result.lines, result.errors) == ({}, [])
