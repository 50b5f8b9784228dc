"""Files and archives of every kind, whole and damaged, built where the test runs."""

from __future__ import annotations

import gzip
import io
import os
import random
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest

from loganalyzer.importer.v1 import importer_pb2
from services.importer.reading import Limits, Reason
from tests.datafiles import manifest, require_shared_data
from tests.unit.importer.archives import Content, tarred, written, zipped, zipped_to_pipe

LINES = [f"2024-05-01 10:00:00 line {number} with some words".encode() for number in range(5000)]
TEXT = b"\n".join(LINES) + b"\n"


def test_reasons_have_the_numbers_of_the_api() -> None:
    assert {reason.name: int(reason) for reason in Reason} == {
        name: number for name, number in importer_pb2.SourceError.Reason.items() if number
    }


def test_a_plain_file_gives_its_lines_and_keeps_carriage_returns(tmp_path: Path) -> None:
    content = Content(written(tmp_path, "a.log", b"one\r\ntwo\n\nfour"))
    assert content.members == {"a.log": [b"one\r", b"two", b"", b"four"]}
    assert content.unterminated == 1


def test_lines_longer_than_a_block_are_put_together(tmp_path: Path) -> None:
    long = b"x" * (3 << 20)
    assert Content(written(tmp_path, "a.log", b"a\n" + long + b"\nb\n")).members == {"a.log": [b"a", long, b"b"]}


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_with_a_byte_order_mark_becomes_utf_8(tmp_path: Path, encoding: str) -> None:
    text = "grün\nzwei\n" * 100_000
    content = Content(written(tmp_path, "a.log", ("﻿" + text).encode(encoding)))
    assert content.members == {"a.log": text.encode().split(b"\n")[:-1]}


def test_invalid_utf_8_is_kept_as_it_is(tmp_path: Path) -> None:
    assert Content(written(tmp_path, "a.log", b"caf\xe9\nok\n")).members == {"a.log": [b"caf\xe9", b"ok"]}


@pytest.mark.parametrize(
    "content",
    [
        b"\0" * 5000,
        random.Random(1).randbytes(20_000),
        b"\x7fELF\x02\x01\x01" + b"\0" * 50,
        b"\x89PNG\r\n\x1a\n" + b"text " * 100,
        b"SQLite format 3\0" + b"x" * 100,
    ],
    ids=["zeros", "random", "program", "picture", "database"],
)
def test_binary_files_are_refused(tmp_path: Path, content: bytes) -> None:
    found = Content(written(tmp_path, "a.bin", content))
    assert not found.members
    assert found.reasons == [("a.bin", Reason.BINARY)]


@pytest.mark.parametrize(
    "content", [b"a\0b log line\n" * 50, "ä".encode("latin-1") * 3000 + b"\n", b"\x1b[31mred\x1b[0m\n" * 500]
)
def test_text_with_a_few_odd_bytes_is_text(tmp_path: Path, content: bytes) -> None:
    assert list(Content(written(tmp_path, "a.log", content)).members) == ["a.log"]


def test_gzip_is_known_by_its_content_and_may_have_several_members(tmp_path: Path) -> None:
    packed = gzip.compress(TEXT) + gzip.compress(b"more\n")
    assert Content(written(tmp_path, "a.log", packed)).members == {"a.log": [*LINES, b"more"]}


def test_gzip_with_every_header_field_is_read(tmp_path: Path) -> None:
    plain = gzip.compress(TEXT)
    header = b"\x1f\x8b\x08\x1e" + plain[4:10] + struct.pack("<H", 3) + b"abc" + b"name\0" + b"comment\0" + b"\0\0"
    assert Content(written(tmp_path, "a.gz", header + plain[10:])).members == {"a.gz": LINES}


def prefix_of_text(lines: list[bytes]) -> bool:
    """Whether the lines are the first of TEXT, the last one perhaps in part."""
    return lines[:-1] == LINES[: len(lines) - 1] and LINES[len(lines) - 1].startswith(lines[-1])


def test_a_cut_off_gzip_keeps_everything_before_the_cut(tmp_path: Path) -> None:
    packed = gzip.compress(TEXT)
    content = Content(written(tmp_path, "a.gz", packed[: len(packed) // 2]))
    lines = content.members["a.gz"]
    assert len(lines) > 1000
    assert prefix_of_text(lines)
    assert [(p.reason, p.line_number) for p in content.problems] == [(Reason.DAMAGED, len(lines))]


@pytest.mark.parametrize("missing", [1, 4, 8])
def test_a_gzip_without_its_whole_checksum_keeps_every_line(tmp_path: Path, missing: int) -> None:
    content = Content(written(tmp_path, "a.gz", gzip.compress(TEXT)[:-missing]))
    assert content.members == {"a.gz": LINES}
    assert [(p.reason, p.line_number) for p in content.problems] == [(Reason.DAMAGED, len(LINES))]


def test_a_gzip_with_a_wrong_checksum_keeps_every_line_and_says_so(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(TEXT))
    packed[-7] ^= 1
    content = Content(written(tmp_path, "a.gz", bytes(packed)))
    assert content.members == {"a.gz": LINES}
    assert content.reasons == [("a.gz", Reason.DAMAGED)]


def test_bytes_after_a_gzip_are_a_damage_but_zeros_are_padding(tmp_path: Path) -> None:
    assert Content(written(tmp_path, "a.gz", gzip.compress(TEXT) + b"\n")).reasons == [("a.gz", Reason.DAMAGED)]
    assert not Content(written(tmp_path, "b.gz", gzip.compress(TEXT) + b"\0" * 512)).problems


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_zip_members_are_named_behind_the_archive(tmp_path: Path, method: int) -> None:
    packed = zipped(("a.log", TEXT), ("sub/", b""), ("sub/b.log", b"b\n"), ("empty.log", b""), method=method)
    content = Content(written(tmp_path, "logs.zip", packed))
    assert content.members == {"logs.zip!/a.log": LINES, "logs.zip!/sub/b.log": [b"b"], "logs.zip!/empty.log": []}
    assert not content.problems


@pytest.mark.parametrize("zip64", [False, True])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_written_to_a_pipe_is_read(tmp_path: Path, method: int, zip64: bool) -> None:
    packed = zipped_to_pipe(("a.log", TEXT), ("b.log", b"b\n"), zip64=zip64, method=method)
    content = Content(written(tmp_path, "logs.zip", packed))
    assert content.members == {"logs.zip!/a.log": LINES, "logs.zip!/b.log": [b"b"]}
    assert not content.problems


def test_a_cut_off_zip_keeps_whole_members_and_the_part_of_the_last(tmp_path: Path) -> None:
    packed = zipped(("a.log", TEXT), ("b.log", TEXT))
    second = packed.index(b"PK\x03\x04", 10)
    content = Content(written(tmp_path, "logs.zip", packed[: second + (second // 2)]))
    assert content.members["logs.zip!/a.log"] == LINES
    assert prefix_of_text(content.members["logs.zip!/b.log"])
    assert content.reasons == [("logs.zip!/b.log", Reason.DAMAGED)]


def test_a_zip_without_its_directory_keeps_every_member(tmp_path: Path) -> None:
    packed = zipped(("a.log", TEXT))
    content = Content(written(tmp_path, "logs.zip", packed[: packed.index(b"PK\x01\x02")]))
    assert content.members == {"logs.zip!/a.log": LINES}
    assert content.reasons == [("logs.zip", Reason.DAMAGED)]


def test_a_damaged_zip_member_does_not_harm_the_next(tmp_path: Path) -> None:
    packed = bytearray(zipped(("a.log", random.Random(2).randbytes(5000).hex().encode()), ("b.log", b"b\n")))
    packed[1000] ^= 0xFF
    content = Content(written(tmp_path, "logs.zip", bytes(packed)))
    assert content.members["logs.zip!/b.log"] == [b"b"]
    assert content.reasons == [("logs.zip!/a.log", Reason.DAMAGED)]


def test_encrypted_and_oddly_compressed_zip_members_are_named_and_left_out(tmp_path: Path) -> None:
    packed = bytearray(zipped(("a.log", TEXT), ("b.log", b"b\n")))
    packed[6] |= 1
    content = Content(written(tmp_path, "logs.zip", bytes(packed)))
    assert content.members == {"logs.zip!/b.log": [b"b"]}
    assert content.reasons == [("logs.zip!/a.log", Reason.UNSUPPORTED)]
    odd = bytearray(zipped(("a.log", TEXT), method=zipfile.ZIP_BZIP2))
    odd[8] = 98
    found = Content(written(tmp_path, "odd.zip", bytes(odd)))
    assert found.reasons == [("odd.zip!/a.log", Reason.UNSUPPORTED)]
    assert "ppmd" in found.problems[0].message


def test_an_empty_zip_has_no_members_and_no_problem(tmp_path: Path) -> None:
    content = Content(written(tmp_path, "logs.zip", zipped()))
    assert not content.members
    assert not content.problems


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_tar_members_are_read_whatever_the_form(tmp_path: Path, form: int, mode: str) -> None:
    long = "deep/" * 30 + "b.log" if form != tarfile.USTAR_FORMAT else "b.log"
    packed = tarred(("a.log", TEXT), (long, b"b\n"), ("../../etc/evil.log", b"c\n"), mode=mode, form=form)
    content = Content(written(tmp_path, "logs.tar", packed))
    assert content.members == {
        "logs.tar!/a.log": LINES,
        f"logs.tar!/{long}": [b"b"],
        "logs.tar!/../../etc/evil.log": [b"c"],
    }
    assert not content.problems
    assert sorted(path.name for path in tmp_path.iterdir()) == ["logs.tar"]


def test_links_devices_and_folders_in_a_tar_are_passed_over(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE):
            info = tarfile.TarInfo(f"odd{kind!r}")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        info = tarfile.TarInfo("a.log")
        info.size = 2
        archive.addfile(info, io.BytesIO(b"a\n"))
    content = Content(written(tmp_path, "logs.tar", buffer.getvalue()))
    assert content.members == {"logs.tar!/a.log": [b"a"]}
    assert not content.problems


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_cut_off_tar_keeps_the_part_of_the_member(tmp_path: Path, mode: str) -> None:
    packed = tarred(("a.log", b"a\n"), ("b.log", TEXT), mode=mode)
    content = Content(written(tmp_path, "logs.tar", packed[: len(packed) // 2]))
    assert content.members["logs.tar!/a.log"] == [b"a"]
    assert prefix_of_text(content.members["logs.tar!/b.log"])
    assert content.reasons == [("logs.tar!/b.log", Reason.DAMAGED)]


def test_a_tar_without_its_end_mark_is_read_and_reported(tmp_path: Path) -> None:
    content = Content(written(tmp_path, "logs.tar", tarred(("a.log", b"a\n"))[:1024]))
    assert content.members == {"logs.tar!/a.log": [b"a"]}
    assert content.reasons == [("logs.tar", Reason.DAMAGED)]


def test_a_damage_behind_the_last_member_of_a_tar_gz_is_found(tmp_path: Path) -> None:
    content = Content(written(tmp_path, "logs.tar.gz", tarred(("a.log", TEXT), mode="w:gz")[:-3]))
    assert content.members == {"logs.tar.gz!/a.log": LINES}
    assert content.reasons == [("logs.tar.gz", Reason.DAMAGED)]


def test_archives_inside_each_other_are_streamed(tmp_path: Path) -> None:
    inner = zipped(("a.log.gz", gzip.compress(TEXT)), ("b.tar", tarred(("c.log", b"c\n"))))
    content = Content(written(tmp_path, "all.tgz", tarred(("in.zip", inner), mode="w:gz")))
    assert content.members == {
        "all.tgz!/in.zip!/a.log.gz": LINES,
        "all.tgz!/in.zip!/b.tar!/c.log": [b"c"],
    }
    assert not content.problems


def test_a_damage_inside_an_inner_archive_leaves_the_outer_one_alone(tmp_path: Path) -> None:
    packed = tarred(("bad.gz", gzip.compress(TEXT)[:-4]), ("good.log", b"g\n"))
    content = Content(written(tmp_path, "all.tar", packed))
    assert content.members == {"all.tar!/bad.gz": LINES, "all.tar!/good.log": [b"g"]}
    assert content.reasons == [("all.tar!/bad.gz", Reason.DAMAGED)]


def test_nesting_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    packed = TEXT
    for _ in range(50):
        packed = gzip.compress(packed)
    assert Content(written(tmp_path, "deep.gz", packed)).reasons == [("deep.gz", Reason.LIMIT)]


def test_a_bomb_is_stopped_by_what_comes_out(tmp_path: Path) -> None:
    packed = zipped(("zeros.log", b"0" * (8 << 20)), ("after.log", b"a\n"))
    limits = Limits(ratio=200, ratio_free_bytes=1 << 20)
    content = Content(written(tmp_path, "bomb.zip", packed), limits)
    assert ("bomb.zip!/zeros.log", Reason.LIMIT) in content.reasons
    whole = Content(written(tmp_path, "big.gz", gzip.compress(TEXT * 20)), Limits(unpacked_bytes=1 << 20))
    assert whole.reasons == [("big.gz", Reason.LIMIT)]
    assert len(b"\n".join(whole.members["big.gz"])) <= 1 << 20


def test_more_entries_than_allowed_end_the_archive(tmp_path: Path) -> None:
    packed = zipped(*((f"{number}.log", b"a\n") for number in range(20)))
    content = Content(written(tmp_path, "many.zip", packed), Limits(entries=7))
    assert len(content.members) == 7
    assert content.reasons == [("many.zip", Reason.LIMIT)]


def test_kinds_that_are_not_supported_are_named(tmp_path: Path) -> None:
    content = Content(written(tmp_path, "a.log.lz", b"LZIP\1" + bytes(100)))
    assert content.reasons == [("a.log.lz", Reason.UNSUPPORTED)]
    assert "lzip" in content.problems[0].message


def test_a_file_that_is_gone_or_no_file_is_a_problem(tmp_path: Path) -> None:
    assert Content(tmp_path / "none.log").reasons == [("none.log", Reason.NOT_FOUND)]
    assert Content(tmp_path).reasons == [(tmp_path.name, Reason.NOT_A_FILE)]
    os.mkfifo(tmp_path / "pipe")
    assert Content(tmp_path / "pipe").reasons == [("pipe", Reason.NOT_A_FILE)]


@pytest.mark.data
@pytest.mark.parametrize("prefix", ["elastic/", "formats/", "winevent/"])
def test_every_file_of_the_collection_has_the_lines_of_the_manifest(prefix: str) -> None:
    for entry in manifest(require_shared_data(), prefix):
        content = Content(entry.path)
        lines = sum(map(len, content.members.values()))
        assert lines == entry.newlines + content.unterminated, entry.path
        if entry.path.name.endswith("tar.gz"):
            assert content.reasons == [(entry.path.name, Reason.DAMAGED)]
        else:
            assert not content.problems, entry.path
