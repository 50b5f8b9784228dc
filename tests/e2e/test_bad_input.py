"""Bad input gets its right status and a sentence that helps, and what was imported before stays."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.datafiles import SAMPLE, require_shared_data
from tests.e2e.product import Product


def _problem(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert len(body["detail"]) > 10, "a sentence that helps"
    assert "Traceback" not in answer.text
    return body


def _create(product: Product, path: Path | str, workspace: str = "workspaces/default") -> Any:
    return product.client.post(f"/v1/{workspace}/imports", json={"sources": [{"path": str(path)}]})


def test_a_path_that_is_missing_is_named(product: Product, tmp_path: Path) -> None:
    body = _problem(_create(product, tmp_path / "nowhere.log"), 404)
    assert "nowhere.log" in body["detail"]


def test_a_relative_path_is_refused(product: Product) -> None:
    _problem(_create(product, "some/log.txt"), 400)


def test_a_device_is_not_a_file(product: Product) -> None:
    body = _problem(_create(product, "/dev/zero"), 400)
    assert "/dev/zero" in str(body)


def test_an_unreadable_file_is_permission_denied(start_product: Callable[..., Product], tmp_path: Path) -> None:
    # Root may read everything, unless that capability is taken from it.
    unprivileged = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    product = start_product(args=["--no-sample"], prefix=unprivileged)
    secret = tmp_path / "secret.log"
    secret.write_text("x\n")
    secret.chmod(0)
    assert "secret.log" in _problem(_create(product, secret), 403)["detail"]
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "open.log").write_text("readable\n")
    secret.rename(folder / "secret.log")
    result = product.import_all(folder)
    assert result["lineCount"] == "1"
    assert [error["reason"] for error in result["sources"][0]["errors"]] == ["PERMISSION_DENIED"]


def test_a_folder_loop_is_reported_and_the_rest_is_read(product: Product, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("loopfolder line\n")
    (tmp_path / "again").symlink_to(tmp_path)
    result = product.import_all(tmp_path)
    assert result["state"] == "SUCCEEDED"
    assert result["lineCount"] == "1"
    assert result["sources"][0]["errors"][0]["reason"] == "LOOP"


def test_crlf_invalid_utf8_empty_unterminated_and_binary_files(product: Product, tmp_path: Path) -> None:
    workspace = product.create_workspace("odd-files")
    (tmp_path / "crlf.log").write_bytes(b"alpha one\r\nalpha two\r\n")
    (tmp_path / "invalid.log").write_bytes(b"alpha \xff\xfe bytes\nalpha\xc3\n")
    (tmp_path / "empty.log").write_bytes(b"")
    (tmp_path / "unterminated.log").write_bytes(b"alpha first\nalpha last")
    (tmp_path / "program.bin").write_bytes(b"\x7fELF\x02\x01\x01" + bytes(range(256)) * 64)
    result = product.import_all(tmp_path, workspace=workspace)
    assert result["state"] == "SUCCEEDED"
    assert result["lineCount"] == "6"
    errors = result["sources"][0]["errors"]
    assert [(error["reason"], Path(error["path"]).name) for error in errors] == [("BINARY", "program.bin")]
    hits, total = product.hits("alpha", workspace)
    assert total == len(hits) == 6
    texts = {hit["text"] for hit in hits}
    assert "alpha \ufffd\ufffd bytes" in texts
    assert "alpha last" in texts


@pytest.mark.data
@pytest.mark.parametrize(("name", "minimum"), [("ikeext.tar.gz", 10_000), ("opth.tar.gz", 4_000)])
def test_an_archive_that_is_cut_off_is_reported_and_what_was_read_is_kept(
    product: Product, name: str, minimum: int
) -> None:
    data = require_shared_data()
    workspace = product.create_workspace(f"cut-{name.partition('.')[0]}")
    result = product.import_all(data / "winevent" / name, workspace=workspace)
    assert result["state"] == "SUCCEEDED"
    (error,) = result["sources"][0]["errors"]
    assert error["reason"] == "DAMAGED"
    assert name in error["path"]
    assert int(result["lineCount"]) > minimum
    _, total = product.hits("", workspace, pageSize=1)
    assert int(product.search("", workspace, pageSize=1).json()["totalSize"]) == int(result["lineCount"])
    assert total >= 1


def test_a_damaged_gzip_keeps_what_came_before_and_earlier_imports_stay(product: Product, tmp_path: Path) -> None:
    workspace = product.create_workspace("damage")
    product.import_all(SAMPLE / "auth.log", workspace=workspace)
    before = int(product.search("", workspace).json()["totalSize"])
    whole = gzip.compress(b"".join(b"line %d of the damaged one\n" % n for n in range(200_000)))
    (tmp_path / "cut.log.gz").write_bytes(whole[: len(whole) // 2])
    result = product.import_all(tmp_path / "cut.log.gz", workspace=workspace)
    assert result["sources"][0]["errors"][0]["reason"] == "DAMAGED"
    kept = int(result["lineCount"])
    assert kept > 10_000
    assert int(product.search("", workspace).json()["totalSize"]) == before + kept


@pytest.mark.parametrize("query", ["(", '"open', "a AND", "level:loud", "time:yesterdayish", ") b", "NOT"])
def test_a_wrong_query_points_at_the_place(product: Product, query: str) -> None:
    body = _problem(product.search(query), 400)
    assert body["code"] == "INVALID_ARGUMENT"
    assert any(violation["field"] == "query" for violation in body["violations"])


def test_an_unknown_workspace_is_not_found(product: Product, tmp_path: Path) -> None:
    assert "nowhere" in _problem(product.search("x", "workspaces/nowhere"), 404)["detail"]
    log = tmp_path / "a.log"
    log.write_text("x\n")
    _problem(_create(product, log, "workspaces/nowhere"), 404)


def test_a_body_that_is_not_json_or_not_the_message(product: Product) -> None:
    post = product.client.post
    kind = {"content-type": "application/json"}
    _problem(post("/v1/workspaces/default/imports", content=b"{not json", headers=kind), 400)
    _problem(post("/v1/workspaces/default/imports", json={"sauces": []}), 400)
    _problem(post("/v1/workspaces/default/imports", json={"sources": []}), 400)
    _problem(post("/v1/workspaces/default/imports", content=b"<x/>", headers={"content-type": "text/xml"}), 415)


def test_a_form_is_no_upload(product: Product) -> None:
    answer = product.client.post("/v1/workspaces/default/imports:upload", files={"file": b"one line\n"})
    assert "--data-binary" in _problem(answer, 415)["detail"]


def test_a_wrong_parameter_route_or_verb(product: Product) -> None:
    _problem(product.search("x", colour="red"), 400)
    _problem(product.search("x", pageSize="many"), 400)
    _problem(product.search("x", pageSize="100000"), 400)
    _problem(product.client.get("/v1/nothing/here"), 404)
    answer = product.client.delete("/v1/workspaces")
    _problem(answer, 405)
    assert "GET" in answer.headers["allow"]


def test_a_foreign_host_or_origin_is_refused_on_loopback(product: Product) -> None:
    assert product.client.get("/v1/workspaces", headers={"host": "evil.example"}).status_code in {403, 421}
    assert product.client.get("/v1/workspaces", headers={"origin": "http://evil.example"}).status_code == 403
