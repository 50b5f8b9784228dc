"""Which paths are taken, and which files they stand for."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from kit.errors import ConfigurationError, InvalidArgument, NotFound, PermissionDenied
from services.importer.config import Config
from services.importer.reading import Found, Problem, Reason, Walk
from services.importer.requests import check_sources, from_page_token, page_size, to_page_token
from services.importer.roots import Roots


def walked(path: Path, allowed: Roots | None = None) -> tuple[list[str], list[tuple[str, Reason]]]:
    roots = allowed or Roots(everything=True)
    found = list(Walk(roots.allow).files(str(path)))
    files = [os.path.relpath(one.name, path) for one in found if isinstance(one, Found)]
    return files, [(os.path.relpath(one.path, path), one.reason) for one in found if isinstance(one, Problem)]


def tree(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x\n")


def test_a_folder_is_walked_in_the_order_of_names(tmp_path: Path) -> None:
    tree(tmp_path, "b/2.log", "b/1.log", "a.log", "c.log")
    assert walked(tmp_path) == (["a.log", "b/1.log", "b/2.log", "c.log"], [])


def test_a_file_that_is_reached_twice_is_given_once(tmp_path: Path) -> None:
    tree(tmp_path, "a.log", "real/x.log")
    (tmp_path / "b.log").symlink_to("a.log")
    (tmp_path / "link").symlink_to("real")
    assert walked(tmp_path) == (["a.log", "link/x.log"], [])


def test_a_link_to_a_folder_above_is_a_loop(tmp_path: Path) -> None:
    tree(tmp_path, "a/b/x.log")
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path / "a")
    assert walked(tmp_path) == (["a/b/x.log"], [("a/b/up", Reason.LOOP)])


def test_folders_may_be_nested_deeper_than_python_calls(tmp_path: Path) -> None:
    deep = [str(tmp_path)]
    for _ in range(1200):
        deep.append(f"{deep[-1]}/d")
        os.mkdir(deep[-1])
    Path(deep[-1], "x.log").write_text("x\n")
    assert [len(found) for found in walked(tmp_path)] == [1, 0]
    os.unlink(f"{deep[-1]}/x.log")  # what cleans up after the tests does not go so deep
    for folder in deep[:0:-1]:
        os.rmdir(folder)


def test_links_to_themselves_and_to_nothing_are_reported(tmp_path: Path) -> None:
    (tmp_path / "gone").symlink_to("nothing")
    (tmp_path / "self").symlink_to("self")
    assert walked(tmp_path) == ([], [("gone", Reason.NOT_FOUND), ("self", Reason.LOOP)])


def test_pipes_and_sockets_are_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        assert walked(tmp_path) == ([], [("pipe", Reason.NOT_A_FILE), ("socket", Reason.NOT_A_FILE)])


def test_a_link_out_of_the_roots_is_refused(tmp_path: Path) -> None:
    tree(tmp_path, "secret/x.log", "open/a.log")
    (tmp_path / "open" / "x.log").symlink_to(tmp_path / "secret" / "x.log")
    files, problems = walked(tmp_path / "open", Roots((str((tmp_path / "open").resolve()),)))
    assert (files, problems) == (["a.log"], [("x.log", Reason.PERMISSION_DENIED)])


def test_a_folder_that_may_not_be_read_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, "closed/x.log", "open.log")
    scandir = os.scandir

    def refuse(path: str) -> object:  # what the system does to anyone but the superuser, whom tests may run as
        if path.endswith("closed"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert walked(tmp_path) == (["open.log"], [("closed", Reason.PERMISSION_DENIED)])
    with pytest.raises(PermissionDenied, match="may not read"):
        check_sources([str(tmp_path / "closed")], Roots(everything=True))


def test_roots_compare_whole_folder_names(tmp_path: Path) -> None:
    roots = Roots.parse(f"{tmp_path}{os.pathsep} ")
    real = os.path.realpath(tmp_path)
    assert roots.allow(real)
    assert roots.allow(f"{real}/a")
    assert not roots.allow(f"{real}2/a")
    assert not Roots.parse("").allow(real)
    assert Roots.parse("*").allow("/anything")


def test_every_bad_path_is_named_with_its_field(tmp_path: Path) -> None:
    tree(tmp_path, "a.log")
    roots = Roots((os.path.realpath(tmp_path),))
    with pytest.raises(NotFound) as caught:
        check_sources([str(tmp_path / "none"), str(tmp_path / "a.log"), "relative.log"], roots)
    assert [one.field for one in caught.value.violations] == ["import.sources[0].path", "import.sources[2].path"]
    assert caught.value.reason == "PATH_NOT_FOUND"
    assert "absolute path" in caught.value.violations[1].description


def test_outside_the_roots_nothing_is_said_about_a_path(tmp_path: Path) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    roots = Roots((os.path.realpath(inside),))
    (inside / "link").symlink_to(tmp_path)
    for path in (tmp_path / "none", tmp_path, inside / ".." / "x", inside / "link"):
        with pytest.raises(PermissionDenied) as caught:
            check_sources([str(path)], roots)
        assert caught.value.reason == "IMPORT_ROOT_NOT_ALLOWED"
        assert os.path.realpath(inside) in caught.value.message


def test_without_roots_the_error_says_how_to_allow_some() -> None:
    with pytest.raises(PermissionDenied, match="KIT_IMPORT_ROOTS"):
        check_sources(["/var/log"], Roots())


def test_devices_loops_and_odd_paths_are_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "self").symlink_to("self")
    everything = Roots(everything=True)
    for path, sentence in (
        ("/dev/null", "device"),
        (str(tmp_path / "self"), "leads back"),
        ("", "empty"),
        ("/a\0b", "NUL"),
        ("logs", "absolute"),
    ):
        with pytest.raises(InvalidArgument, match=sentence):
            check_sources([path], everything)


def test_home_stands_for_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, "a.log")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert check_sources(["~/a.log"], Roots(everything=True)) == [("~/a.log", str(tmp_path / "a.log"))]


def test_no_sources_and_too_many_are_refused() -> None:
    for paths in ([], ["/x"] * 1001):
        with pytest.raises(InvalidArgument):
            check_sources(paths, Roots(everything=True))


def test_page_tokens_belong_to_their_list() -> None:
    assert from_page_token("default", to_page_token("default", 7)) == 7
    assert from_page_token("default", "") is None
    for token in (to_page_token("other", 7), "!!", "MQ", "ÿ"):
        with pytest.raises(InvalidArgument):
            from_page_token("default", token)
    assert (page_size(0), page_size(5), page_size(5000)) == (50, 5, 1000)
    with pytest.raises(InvalidArgument):
        page_size(-1)


def test_settings_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIT_DATA_DIR", str(tmp_path))
    config = Config.from_env({"KIT_IMPORT_ROOTS": "*", "KIT_IMPORT_WORKERS": "3", "KIT_TARGET_SEARCH": "h:1"})
    assert (config.workers, config.search_target, config.workspace_target) == (3, "h:1", "local:///workspace")
    assert config.roots.everything
    assert config.splits == tmp_path / "splits"


@pytest.mark.parametrize(
    "environ",
    [
        {"KIT_IMPORT_ROOTS": "*", "KIT_LISTEN": "0.0.0.0:1"},
        {"KIT_IMPORT_WORKERS": "0"},
        {"KIT_IMPORT_MAX_UPLOAD_BYTES": "much"},
    ],
)
def test_impossible_settings_are_refused(
    environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIT_DATA_DIR", str(tmp_path))
    with pytest.raises(ConfigurationError):
        Config.from_env(environ)
