"""The console in a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.datafiles import SAMPLE
from tests.e2e.product import Product

ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    binary = shutil.which("chromium")
    if binary is None:
        pytest.skip("chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary, args=[*ARGS, "--disable-sync"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, product: Product) -> Iterator[Page]:
    page = browser.new_page()
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    foreign: list[str] = []
    origin = str(product.client.base_url).rstrip("/")
    page.on("request", lambda request: foreign.append(request.url) if not request.url.startswith(origin) else None)
    page.goto(origin + "/")
    yield page
    page.close()
    assert foreign == [], "a request left the origin"
    assert [text for text in problems if "400" not in text] == []


def test_a_search_brings_rows_and_a_click_brings_their_neighbours(page: Page, product: Product) -> None:
    workspace = product.create_workspace("console")
    product.import_all(SAMPLE / "auth.log", workspace=workspace)
    page.reload()
    page.get_by_test_id("workspace").select_option(workspace)
    page.get_by_test_id("query").fill("sshd")
    page.get_by_test_id("query").press("Enter")
    rows = page.get_by_test_id("row")
    expect(rows.first).to_contain_text("sshd")
    total = int(product.search("sshd", workspace).json()["totalSize"])
    expect(page.get_by_test_id("total")).to_contain_text(f"{total:,}")
    rows.first.click()
    expect(page.get_by_test_id("context").first).to_contain_text("sshd")


def test_a_wrong_query_shows_the_sentence(page: Page) -> None:
    page.get_by_test_id("query").fill('"never closed')
    page.get_by_test_id("query").press("Enter")
    expect(page.get_by_test_id("error")).to_contain_text("to end the phrase at character 14")


def test_an_import_is_started_and_its_progress_survives_a_reload(page: Page, product: Product) -> None:
    workspace = product.create_workspace("console-import")
    page.reload()
    page.get_by_test_id("workspace").select_option(workspace)
    page.get_by_test_id("import-path").fill(str(SAMPLE / "kafka"))
    page.get_by_test_id("import-start").click()
    row = page.get_by_test_id("import").first
    expect(row).to_have_attribute("data-state", "SUCCEEDED", timeout=20_000)
    expect(row).to_contain_text("2,025 lines")
    page.reload()
    page.get_by_test_id("workspace").select_option(workspace)
    expect(page.get_by_test_id("import").first).to_have_attribute("data-state", "SUCCEEDED", timeout=20_000)
