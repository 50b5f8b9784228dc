"""The console in a real browser."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.datafiles import SAMPLE
from tests.e2e.product import Product


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
