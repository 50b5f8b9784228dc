"""PEM files that are looked at for changes. What is in them is tested where they are used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kit.errors import ConfigurationError
from kit.tls import FileSet, check_path, read_file


def test_a_change_is_taken_up_when_it_has_stood_still_for_one_look(tmp_path: Path) -> None:
    key, chain = tmp_path / "tls.key", tmp_path / "tls.crt"
    key.write_text("1")
    files = FileSet(key, None, chain)
    assert not files.changed()
    key.write_text("22")
    assert files.moved()
    assert not files.changed()
    chain.write_text("it is still written")
    assert not files.changed()
    assert files.changed()
    assert files.changed()
    files.note()
    assert not files.changed()
    assert not files.moved()


def test_what_is_changed_back_is_no_change(tmp_path: Path) -> None:
    one, two, link = tmp_path / "one", tmp_path / "two", tmp_path / "link"
    one.write_text("1")
    two.write_text("2")
    link.symlink_to(one)
    files = FileSet(link)
    for target in (two, one):
        (tmp_path / "new").symlink_to(target)
        (tmp_path / "new").rename(link)
        assert not files.changed()
    assert not files.changed()


def test_a_file_is_young_for_a_second_and_clocks_that_differ_make_none_so(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    file.write_text("1")
    os.utime(file, (1000.0, 1000.0))
    files = FileSet(None, file, tmp_path / "none")
    assert [files.young(wall) for wall in (1000.0, 1000.9, 1001.0, 999.9)] == [True, True, False, False]


def test_what_is_no_path_is_refused_without_showing_it() -> None:
    for wrong in ("", 7, "-----BEGIN PRIVATE KEY-----\nsecret"):
        with pytest.raises(ConfigurationError, match="tls: private_key is") as refusal:
            check_path("private_key", wrong)
        assert "secret" not in str(refusal.value)
    check_path("private_key", None)
    check_path("private_key", Path("tls.key"))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"tls: client_ca: .*none cannot be read: No such file"):
        read_file("client_ca", tmp_path / "none")
