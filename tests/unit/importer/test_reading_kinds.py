"""Every kind of archive: whole, nested, cut off, with flipped bits, and what is inside that cannot be read."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import struct
import tarfile
import time
import zipfile
import zlib
from pathlib import Path

import pytest
import zstandard

from services.importer.reading import Limits, Meter, Reason
from tests.unit.importer.archives import (
    KINDS,
    UNCHECKED,
    Content,
    ZipPart,
    lz4,
    raw_deflate,
    raw_deflate64,
    seven_zip,
    tarred,
    written,
    zip_of,
    zipped,
    zstd,
)

LINES = [f"2024-05-01 10:00:00 line {number} with {number * 7919 % 10007:x} words".encode() for number in range(6000)]
TEXT = b"\n".join(LINES)


def is_slow(kind: str) -> bool:
    """Whether reading it starts a process."""
    return kind in ("lz4", "Z") or "7z" in kind


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_its_text(tmp_path: Path, kind: str) -> None:
    content = Content(written(tmp_path, f"x.{kind}", KINDS[kind](TEXT)))
    assert content.texts == [TEXT]
    assert not content.problems


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("outer", ["zip", "tgz", "7z", "zst", "lz4"])
def test_every_kind_is_read_inside_others(tmp_path: Path, kind: str, outer: str) -> None:
    content = Content(written(tmp_path, f"x.{outer}", KINDS[outer](KINDS[kind](TEXT))))
    assert content.texts == [TEXT]
    assert not content.problems


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_anywhere_gives_the_beginning_and_a_problem(tmp_path: Path, kind: str) -> None:
    packed = KINDS[kind](TEXT)
    chance = random.Random(kind)
    cuts = [*range(1, 40, 7), *(len(packed) - back for back in (1, 2, 9, 30))]
    cuts += [chance.randrange(1, len(packed)) for _ in range(3 if is_slow(kind) else 12)]
    for cut in cuts:
        started = time.process_time()
        content = Content(written(tmp_path, f"x.{kind}", packed[:cut]))
        assert time.process_time() - started < 1, cut
        for text in content.texts:
            assert TEXT.startswith(text), cut
        # LZW has no end that could be missing, and a tar's first header begins with a name.
        assert kind == "Z" or content.problems or content.texts == [TEXT], cut


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_gives_the_text_or_a_problem(tmp_path: Path, kind: str) -> None:
    packed = KINDS[kind](TEXT)
    chance = random.Random(kind)
    places = [chance.randrange(len(packed) * 8) for _ in range(8 if is_slow(kind) else 60)]
    places += [chance.randrange(64 * 8) for _ in range(4 if is_slow(kind) else 30)]
    for place in places:
        broken = bytearray(packed)
        broken[place // 8] ^= 1 << place % 8
        started = time.process_time()
        content = Content(written(tmp_path, f"x.{kind}", bytes(broken)))
        assert time.process_time() - started < 1, place
        if kind not in UNCHECKED:
            assert content.problems or content.texts == [TEXT], place


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz", "zst"])
def test_streams_behind_each_other_are_one_text(tmp_path: Path, kind: str) -> None:
    packed = KINDS[kind](TEXT + b"\n") + KINDS[kind](b"") + KINDS[kind](b"more")
    content = Content(written(tmp_path, f"x.{kind}", packed))
    assert content.texts == [TEXT + b"\nmore"]
    assert not content.problems


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz", "zst"])
def test_what_follows_compressed_data_is_a_damage_but_zeros_are_padding(tmp_path: Path, kind: str) -> None:
    garbage = Content(written(tmp_path, f"x.{kind}", KINDS[kind](TEXT) + b"garbage"))
    assert garbage.texts == [TEXT]
    assert [(problem.reason, problem.line_number) for problem in garbage.problems] == [(Reason.DAMAGED, len(LINES))]
    padded = Content(written(tmp_path, f"y.{kind}", KINDS[kind](TEXT) + bytes(1024)))
    assert (padded.texts, padded.problems) == ([TEXT], [])


@pytest.mark.parametrize("outer", ["", "zip"])
def test_frames_of_lz4_are_one_text_and_what_follows_is_told(tmp_path: Path, outer: str) -> None:
    wrap = KINDS.get(outer, bytes)
    two = Content(written(tmp_path, f"x.{outer or 'lz4'}", wrap(lz4(TEXT + b"\n") + lz4(b"more"))))
    assert (two.texts, two.problems) == ([TEXT + b"\nmore"], [])
    for rest in (lz4(b"") + lz4(b"lost"), b"garbage"):
        content = Content(written(tmp_path, f"x.{outer or 'lz4'}", wrap(lz4(TEXT) + rest)))
        assert content.texts == [TEXT]
        assert [problem.reason for problem in content.problems] == [Reason.DAMAGED]


def test_frames_of_zstd_that_are_to_be_skipped_are(tmp_path: Path) -> None:
    skipped = b"\x5a\x2a\x4d\x18" + struct.pack("<I", 300_000) + bytes(300_000)
    content = Content(written(tmp_path, "x.zst", zstd(TEXT) + skipped + zstd(b"")))
    assert (content.texts, content.problems) == ([TEXT], [])


def test_a_wrong_checksum_of_zstd_keeps_every_line(tmp_path: Path) -> None:
    packed = bytearray(zstd(TEXT))
    packed[-1] ^= 1
    content = Content(written(tmp_path, "x.zst", bytes(packed)))
    assert content.texts == [TEXT]
    assert "checksum" in content.problems[0].message


def test_a_zstd_that_needs_a_dictionary_is_named(tmp_path: Path) -> None:
    trained = zstandard.train_dictionary(2000, [line * 3 for line in LINES])
    packed = zstandard.ZstdCompressor(dict_data=trained).compress(TEXT)
    content = Content(written(tmp_path, "x.zst", packed))
    assert content.reasons == [("x.zst", Reason.UNSUPPORTED)]
    assert "dictionary" in content.problems[0].message


def test_a_window_that_takes_too_much_memory_is_refused_with_the_limit(tmp_path: Path) -> None:
    limits = Limits(window_bytes=4 << 20)
    wide = zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters(window_log=25, write_content_size=0)
    ).compressobj()
    zst = wide.compress(TEXT) + wide.flush()
    xz = lzma.compress(TEXT, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 64 << 20}])
    seven = seven_zip(("a.log", TEXT))
    for name, packed, bound in (("x.zst", zst, limits), ("x.xz", xz, limits)):
        content = Content(written(tmp_path, name, packed), bound)
        assert content.reasons == [(name, Reason.LIMIT)]
        assert str(bound.window_bytes) in content.problems[0].message
    assert Content(written(tmp_path, "x.7z", seven)).texts == [TEXT]


def test_a_dictionary_of_4_gb_is_refused_before_it_is_allocated(tmp_path: Path) -> None:
    alone = bytearray(lzma.compress(TEXT, lzma.FORMAT_ALONE))
    alone[1:5] = struct.pack("<I", 1 << 31)
    assert Content(written(tmp_path, "x.lzma", bytes(alone))).reasons == [("x.lzma", Reason.LIMIT)]
    member = bytearray(zipped(("a.log", TEXT), method=zipfile.ZIP_LZMA))
    member[30 + 5 + 5 : 30 + 5 + 9] = struct.pack("<I", 1 << 31)
    assert Content(written(tmp_path, "x.zip", bytes(member))).reasons == [("x.zip!/a.log", Reason.LIMIT)]


def test_a_name_of_an_archive_before_something_broken_is_told(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(TEXT))
    packed[0] ^= 8
    assert Content(written(tmp_path, "x.gz", bytes(packed))).reasons == [("x.gz", Reason.DAMAGED)]
    assert Content(written(tmp_path, "unpacked.gz", TEXT)).texts == [TEXT]


def test_sparse_members_of_a_tar_are_named_and_the_rest_is_read(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        info = tarfile.TarInfo("sparse.log")
        info.type, info.size = tarfile.GNUTYPE_SPARSE, 5
        archive.addfile(info, io.BytesIO(b"12345"))
        after = tarfile.TarInfo("after.log")
        after.size = 6
        archive.addfile(after, io.BytesIO(b"after\n"))
    packed = bytearray(buffer.getvalue())
    # One more block of its map stands between header and content, as of a file with many holes.
    packed[482] = 1
    packed[148:156] = f"{sum(packed[:148]) + 32 * 8 + sum(packed[156:512]):06o}\0 ".encode()
    packed[512:512] = bytes(512)
    content = Content(written(tmp_path, "x.tar", bytes(packed)))
    assert content.reasons == [("x.tar!/sparse.log", Reason.UNSUPPORTED)]
    assert content.members == {"x.tar!/after.log": [b"after"]}


def test_a_pax_header_of_many_records_is_not_read_in_square_time(tmp_path: Path) -> None:
    info = tarfile.TarInfo("header")
    info.type, info.size = tarfile.XHDTYPE, 1 << 20
    header = info.tobuf(tarfile.USTAR_FORMAT) + (b"5 a=\n" * (1 << 18))[: 1 << 20]
    digits = info.tobuf(tarfile.USTAR_FORMAT) + b"9" * (1 << 20)
    started = time.process_time()
    content = Content(written(tmp_path, "x.tar", header + digits + tarred(("a.log", TEXT))))
    assert content.texts == [TEXT]
    assert time.process_time() - started < 3


def test_the_directory_of_a_zip_finds_members_behind_a_broken_header(tmp_path: Path) -> None:
    packed = bytearray(zipped(("a.log", TEXT), ("b.log", b"b\n"), ("c.log", b"c\n")))
    second = packed.index(b"PK\x03\x04", 10)
    packed[second] ^= 1
    content = Content(written(tmp_path, "x.zip", bytes(packed)))
    assert content.members == {"x.zip!/a.log": LINES, "x.zip!/c.log": [b"c"]}
    assert content.reasons == [("x.zip", Reason.DAMAGED)]


@pytest.mark.parametrize(
    "lie",
    [
        {"local_packed": 3},
        {"local_packed": 1 << 20},
        {"local_unpacked": 3},
        {"central_packed": 3},
        {"central_packed": 1 << 30},
        {"central_unpacked": 3},
        {"local_packed": 3, "central_packed": 3},
    ],
    ids=str,
)
@pytest.mark.parametrize("method", [0, 8])
def test_lying_sizes_cost_only_their_own_member(tmp_path: Path, lie: dict[str, int], method: int) -> None:
    packed = zip_of(
        ZipPart(name=b"a.log", content=TEXT, method=method, **lie),  # type: ignore[arg-type]
        ZipPart(name=b"b.log", content=b"b\n"),
    )
    content = Content(written(tmp_path, "x.zip", packed))
    if not (method == 0 and lie == {"local_packed": 1 << 20}):  # nothing tells how far that one goes
        assert content.members["x.zip!/b.log"] == [b"b"]
    if "central_unpacked" not in lie:
        assert content.problems
        assert all(reason == Reason.DAMAGED for _, reason in content.reasons)


def test_sizes_beyond_any_file_are_a_cut_and_do_not_count_as_read(tmp_path: Path) -> None:
    far = {"local_packed": (1 << 63) - 1, "zip64": True}
    parts = [ZipPart(name=b"%d.bin" % number, content=b"\x7fELF", method=0, **far) for number in range(3)]  # type: ignore[arg-type]
    path = written(tmp_path, "x.zip", zip_of(*parts, directory=False))
    meter = Meter(Limits())
    content = Content(path, meter=meter)
    assert content.reasons == [("x.zip!/0.bin", Reason.BINARY), ("x.zip", Reason.DAMAGED)]
    assert meter.disk_bytes == path.stat().st_size


def test_zip64_sizes_are_read_from_their_field(tmp_path: Path) -> None:
    packed = zip_of(ZipPart(name=b"a.log", content=TEXT, zip64=True), ZipPart(name=b"b.log", content=b"b\n"))
    content = Content(written(tmp_path, "x.zip", packed))
    assert content.members == {"x.zip!/a.log": LINES, "x.zip!/b.log": [b"b"]}
    assert not content.problems


def test_links_in_a_zip_are_passed_over(tmp_path: Path) -> None:
    link = ZipPart(name=b"link.log", content=b"/etc/passwd", method=0, attributes=0o120777 << 16)
    content = Content(written(tmp_path, "x.zip", zip_of(link, ZipPart(name=b"b.log", content=b"b\n"))))
    assert content.members == {"x.zip!/b.log": [b"b"]}
    assert not content.problems


@pytest.mark.parametrize("method", [8, 9])
def test_members_written_by_windows_are_read(tmp_path: Path, method: int) -> None:
    packed = {8: raw_deflate, 9: raw_deflate64}[method](TEXT)
    parts = [ZipPart(name=b"a.log", content=TEXT, method=method, packed=packed) for _ in range(2)]
    assert Content(written(tmp_path, "x.zip", zip_of(*parts))).members == {"x.zip!/a.log": LINES}


def test_names_of_members_are_shown_escaped(tmp_path: Path) -> None:
    names = ["../../etc/evil.log", "/etc/abs.log", "a\0b.log", "a\u202egol.b", "tab\tnew\nline.log", "grün.log"]
    parts = [ZipPart(name=name.encode(), content=b"x\n", flags=0x800) for name in names]
    content = Content(written(tmp_path, "x.zip", zip_of(*parts, ZipPart(name=b"n" * 60000, content=b"x\n"))))
    shown = [name.removeprefix("x.zip!/") for name in content.members]
    assert shown[:6] == [
        *("../../etc/evil.log", "/etc/abs.log", r"a\x00b.log", r"a\u202egol.b", r"tab\tnew\nline.log", "grün.log")
    ]
    assert len(shown[6]) == 1001
    assert [path.name for path in tmp_path.iterdir()] == ["x.zip"]


def test_a_name_in_the_unicode_field_is_taken(tmp_path: Path) -> None:
    name = b"gr_n.log"
    field = b"\x01" + struct.pack("<I", zlib.crc32(name)) + "grün.log".encode()
    part = ZipPart(name=name, content=b"x\n", extra=struct.pack("<HH", 0x7075, len(field)) + field)
    assert list(Content(written(tmp_path, "x.zip", zip_of(part))).members) == ["x.zip!/grün.log"]


@pytest.mark.parametrize("packed", [b"", gzip.compress(b""), bz2.compress(b""), lz4(b"")], ids=["", "gz", "bz2", "lz4"])
def test_what_is_empty_is_a_text_without_lines(tmp_path: Path, packed: bytes) -> None:
    content = Content(written(tmp_path, "x", packed))
    assert content.members == {"x": []}
    assert not content.problems


def test_an_empty_tar_gz_has_no_members(tmp_path: Path) -> None:
    content = Content(written(tmp_path, "x.tar.gz", tarred(mode="w:gz")))
    assert not content.members
    assert not content.problems
