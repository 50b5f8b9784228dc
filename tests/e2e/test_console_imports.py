"""Importing in the console, in a real browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, Route, expect

from tests.datafiles import SAMPLE
from tests.e2e.product import Product


def begin(page: Page, product: Product, workspace: str) -> str:
    name = product.create_workspace(workspace)
    page.reload()
    page.get_by_test_id("workspace").select_option(name)
    return name


def start(page: Page, path: Path) -> None:
    page.get_by_test_id("import-path").fill(str(path))
    page.get_by_test_id("import-start").click()


def test_the_files_of_an_import_are_told_with_their_format_encoding_and_levels(page: Page, product: Product) -> None:
    begin(page, product, "console-files")
    start(page, SAMPLE / "kafka")
    row = page.get_by_test_id("import").first
    expect(row).to_have_attribute("data-state", "SUCCEEDED", timeout=20_000)
    row.get_by_test_id("import-files").locator("summary").click()
    file = row.get_by_test_id("import-file-row").first
    expect(file).to_contain_text("kafka")
    expect(file).to_contain_text("iso")
    expect(file).to_contain_text("utf-8")
    expect(file.locator(".counts")).to_contain_text("info")


def test_an_import_follows_is_paused_resumed_and_stopped(page: Page, product: Product, tmp_path: Path) -> None:
    workspace = begin(page, product, "console-follow")
    log = tmp_path / "app.log"
    log.write_text("2024-05-01T10:00:00Z ERROR first\n")
    page.get_by_test_id("import-follow").check()
    start(page, log)
    row = page.get_by_test_id("import").first
    expect(row.get_by_test_id("import-state")).to_have_text("following", timeout=20_000)
    expect(row).to_contain_text("1 line ")
    with log.open("a") as file:
        file.write("2024-05-01T10:00:01Z ERROR second\n")
    expect(row).to_contain_text("2 lines", timeout=20_000)
    row.get_by_test_id("import-pause").click()
    expect(row).to_have_attribute("data-state", "PAUSED", timeout=20_000)
    row.get_by_test_id("import-resume").click()
    expect(row.get_by_test_id("import-state")).to_have_text("following", timeout=20_000)
    row.get_by_test_id("import-cancel").click()
    expect(row).to_have_attribute("data-state", "CANCELLED", timeout=20_000)
    assert int(product.search("second", workspace).json()["totalSize"]) == 1


def test_a_running_import_shows_its_rate_and_the_time_that_is_left(page: Page, product: Product) -> None:
    workspace = begin(page, product, "console-running")
    running: dict[str, Any] = {
        "name": f"{workspace}/imports/i1",
        "sources": [{"path": "/var/log/app", "errors": []}],
        "state": "RUNNING",
        "lineCount": "5100000",
        "byteCount": "700000000",
        "fileCount": "12",
        "errorCount": "0",
        "progress": {
            "totalFiles": "40",
            "processedFiles": "12",
            "totalBytes": "1200000000",
            "processedBytes": "300000000",
            "bytesPerSecond": 210e6,
            "eta": "125s",
        },
        "follow": False,
        "errorMessage": "",
    }
    asked: list[str] = []

    def answer(route: Route) -> None:
        path = route.request.url.partition("?")[0]
        asked.append(path.rpartition(":")[2])
        if path.endswith((":pause", ":resume", ":cancel")):
            state = {"pause": "PAUSED", "resume": "RUNNING", "cancel": "CANCELLED"}[asked[-1]]
            route.fulfill(content_type="application/json", body=json.dumps(running | {"state": state}))
        elif path.endswith(":watch"):
            route.fulfill(content_type="application/x-ndjson", body=json.dumps(running) + "\n")
        else:
            route.fulfill(content_type="application/json", body=json.dumps({"imports": [running]}))

    page.route(f"**/v1/{workspace}/imports**", answer)
    page.reload()
    page.get_by_test_id("workspace").select_option(workspace)
    row = page.get_by_test_id("import").first
    expect(row.get_by_test_id("import-facts")).to_have_text("5,100,000 lines · 700 MB · 210 MB/s · 2 min 5 s left")
    expect(row).to_contain_text("12 of 40 files")
    assert row.get_by_test_id("import-progress").evaluate("bar => bar.value") == 0.25
    expect(page.get_by_test_id("imports-toggle")).to_have_text("Imports (1)")
    row.get_by_test_id("import-cancel").click()
    expect(row).to_have_attribute("data-state", "CANCELLED")
    page.unroute_all(behavior="ignoreErrors")


def test_without_the_imports_the_lines_have_more_room(page: Page) -> None:
    page.set_viewport_size({"width": 1300, "height": 860})
    before = page.locator("section.search").bounding_box()
    page.get_by_test_id("imports-toggle").click()
    expect(page.locator("#imports")).to_have_count(0)
    after = page.locator("section.search").bounding_box()
    assert before is not None
    assert after is not None
    assert after["width"] > before["width"] + 250
