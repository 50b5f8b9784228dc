"""Files of policy that change while they are in use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kit.errors import PolicyError
from kit.policy.watched import WatchedFile, check_names, named
from tests.unit.policy.declared import IDEMPOTENT, Rpc, declare

ONE, TWO = '["*"]\ntimeout = 1\n', '["*"]\ntimeout = 22\n'


def written(folder: Path, content: str = ONE) -> Path:
    path = folder / "policy.toml"
    path.write_text(content, "utf-8")
    return path


def test_a_change_is_seen_when_it_has_stood_still_for_one_look(tmp_path: Path) -> None:
    path = written(tmp_path)
    file = WatchedFile(path)
    assert not file.changed()
    path.write_text(TWO[:12], "utf-8")
    assert not file.changed()
    path.write_text(TWO, "utf-8")
    assert not file.changed()
    assert file.changed()
    assert file.read()["*"] == {"timeout": 22.0}
    assert not file.changed()


def test_a_file_that_is_given_another_name_or_link_is_another_file(tmp_path: Path) -> None:
    for name, content in (("a", ONE), ("b", '["*"]\ntimeout = 2\n')):
        (tmp_path / name).mkdir()
        os.utime(written(tmp_path / name, content), ns=(10**18, 10**18))
    link = tmp_path / "data"
    link.symlink_to("a")
    file = WatchedFile(link / "policy.toml")
    # As Kubernetes changes a ConfigMap: a new link is put in the place of the old one.
    (tmp_path / "new").symlink_to("b")
    (tmp_path / "new").replace(link)
    assert not file.changed()
    assert file.changed()
    assert file.read()["*"] == {"timeout": 2.0}


def test_a_file_that_has_gone_has_changed_and_cannot_be_read(tmp_path: Path) -> None:
    path = written(tmp_path)
    file = WatchedFile(path)
    path.unlink()
    assert not file.changed()
    assert file.changed()
    with pytest.raises(PolicyError, match="No such file"):
        file.read()
    assert not file.changed()
    written(tmp_path)
    assert not file.changed()
    assert file.changed()


def test_what_was_read_and_found_bad_is_not_read_again_until_it_changes(tmp_path: Path) -> None:
    path = written(tmp_path)
    file = WatchedFile(path)
    path.write_text("nonsense", "utf-8")
    assert [file.changed(), file.changed()] == [False, True]
    with pytest.raises(PolicyError, match="not a TOML file"):
        file.read()
    assert not file.changed()
    assert file.tables == {"*": {"timeout": 1.0}}


def test_tables_name_methods_by_themselves_and_by_their_service() -> None:
    path = declare(Rpc(name="Get", level=IDEMPOTENT), Rpc(name="Put"))
    assert named({f"{path}/Put": {}, f"{path}/*": {}, "*": {}}) == [f"{path}/Put", f"{path}/Get"]
    assert named({"/no.such.Service/*": {}, "/no.such.Service/Get": {}, f"{path}/Nothing": {}}) == []


def test_what_is_said_of_a_method_that_its_service_has_not_is_refused() -> None:
    path = declare(Rpc(name="Get", level=IDEMPOTENT))
    check_names({f"{path}/Get": {}, f"{path}/*": {}, "*": {}, "/not.known.Service/Get": {}})
    with pytest.raises(PolicyError, match=f"{path[1:]} has no such method; did you mean Get?"):
        check_names({f"{path}/Gett": {"auth.scopes": ("x",)}})
