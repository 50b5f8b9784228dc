"""Searching in the console, in a real browser."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.datafiles import SAMPLE
from tests.e2e.product import Product

WORKSPACE = "workspaces/console-search"


@pytest.fixture(scope="module")
def filled(product: Product) -> Product:
    product.create_workspace(WORKSPACE.removeprefix("workspaces/"))
    product.import_all(SAMPLE / "auth.log", SAMPLE / "kafka", workspace=WORKSPACE)
    return product


@pytest.fixture
def at(page: Page, filled: Product) -> Page:
    """The console with the workspace chosen and everything found."""
    page.reload()
    page.get_by_test_id("workspace").select_option(WORKSPACE)
    expect(page.get_by_test_id("took")).to_be_visible()
    return page


def search(page: Page, query: str) -> None:
    page.get_by_test_id("query").fill(query)
    page.get_by_test_id("query").press("Enter")


def total_of(product: Product, query: str) -> str:
    return f"{int(product.search(query, WORKSPACE).json()['totalSize']):,}"


@pytest.mark.parametrize(
    ("typed", "level", "place"),
    [
        ("sshd AND (failed", None, 16),
        ("sshd AND (failed", "error", 16),
        ("  kafka )", None, 8),
        ("kafka ) x", "warn", 6),
    ],
)
def test_a_caret_stands_under_the_place_that_cannot_be_read(
    at: Page, typed: str, level: str | None, place: int
) -> None:
    if level:
        at.get_by_test_id(f"level-{level}").click()
    search(at, typed)
    wrong = at.get_by_test_id("query-error")
    expect(wrong).to_contain_text("expected")
    line, caret = wrong.locator("pre").inner_text().split("\n")
    assert line == typed
    assert caret.index("^") == place
    expect(wrong).to_contain_text(f"character {place + 1}")
    expect(at.get_by_test_id("query")).to_have_attribute("aria-invalid", "true")
    expect(at.get_by_test_id("error")).to_have_count(0)
    at.get_by_test_id("query").fill("sshd")
    expect(wrong).to_have_count(0)


def test_an_example_of_the_help_is_searched_for(at: Page) -> None:
    at.get_by_test_id("help-toggle").click()
    at.get_by_test_id("help").get_by_role("button", name="level:>=warn").click()
    expect(at.get_by_test_id("query")).to_have_value("level:>=warn")
    expect(at.get_by_test_id("help")).to_have_count(0)
    expect(at.get_by_test_id("row").first).to_be_visible()


@pytest.mark.parametrize(
    ("query", "marked"),
    [
        ("sshd", "sshd"),
        ('"invalid user"', "invalid user"),
        ("prea*", "preauth"),
        (r"/port \d+/", None),
        ("contains:reaut", "reaut"),
    ],
)
def test_what_matches_is_marked(at: Page, query: str, marked: str | None) -> None:
    search(at, query)
    marks = at.get_by_test_id("row").first.locator("mark")
    expect(marks.first).to_be_visible()
    text = "".join(marks.all_inner_texts()).casefold()
    assert (marked or "port ").casefold() in text


def test_every_example_of_the_help_can_be_read(at: Page, filled: Product) -> None:
    at.get_by_test_id("help-toggle").click()
    examples = at.get_by_test_id("help").get_by_role("button").all_inner_texts()
    assert len(examples) > 10
    for example in examples:
        answer = filled.search(example, WORKSPACE, pageSize=1)
        assert answer.status_code == 200, (example, answer.text)


def test_the_clicked_line_stands_in_the_middle_of_its_neighbours_and_more_can_be_had(at: Page) -> None:
    search(at, '"invalid user" level:error')
    at.get_by_test_id("row").nth(1).click()
    context = at.get_by_test_id("context")
    expect(at.get_by_test_id("context-line")).to_have_count(40)
    box, main = context.locator("ol").bounding_box(), at.get_by_test_id("context-hit").bounding_box()
    assert box is not None
    assert main is not None
    assert abs((main["y"] + main["height"] / 2) - (box["y"] + box["height"] / 2)) < main["height"]
    expect(at.get_by_test_id("context-hit").locator("mark").first).to_be_visible()
    at.get_by_test_id("context-more").click()
    expect(at.get_by_test_id("context-line")).to_have_count(160)
    at.get_by_test_id("context-close").click()
    expect(context).to_have_count(0)


def test_a_top_value_narrows_the_search(at: Page, filled: Product) -> None:
    search(at, "kafka OR broker")
    at.get_by_test_id("tab-values").click()
    value = at.get_by_test_id("value").first
    expect(value).to_be_visible()
    level = value.inner_text()
    value.click()
    expect(at.get_by_test_id("query")).to_have_value(f"(kafka OR broker) level:{level}")
    expect(at.get_by_test_id("total")).to_have_text(total_of(filled, f"(kafka OR broker) level:{level}"))
    # The values are asked for again, and now there is one.
    expect(at.get_by_test_id("value")).to_have_count(1)
    at.get_by_test_id("values-field").fill("source")
    at.get_by_test_id("values-show").click()
    source = at.get_by_test_id("value").first
    expect(source).to_contain_text("kafka")
    source.click()
    assert 'source:"' in at.get_by_test_id("query").input_value()
    expect(at.get_by_test_id("total")).to_have_text(total_of(filled, at.get_by_test_id("query").input_value()))


def test_templates_are_shown_with_an_example_each(at: Page) -> None:
    search(at, "sshd")
    at.get_by_test_id("tab-templates").click()
    template = at.get_by_test_id("template").first
    expect(template).to_contain_text("<*>")
    template.click()
    expect(at.get_by_test_id("context-hit")).to_contain_text("sshd")


def test_the_plan_tells_how_the_query_is_understood(at: Page) -> None:
    search(at, "SSHD  (failed OR invalid)")
    at.get_by_test_id("tab-plan").click()
    form = at.get_by_test_id("plan-form")
    for word in ("sshd", "failed", "OR", "invalid"):
        expect(form).to_contain_text(word)


def test_tabs_and_rows_are_used_by_keyboard(at: Page) -> None:
    search(at, "sshd")
    expect(at.get_by_test_id("row").first).to_be_visible()
    at.get_by_test_id("rows").focus()
    for _ in range(3):
        at.keyboard.press("ArrowDown")
    at.keyboard.press("Enter")
    expect(at.get_by_test_id("context-hit")).to_be_visible()
    expect(at.locator("#row-2")).to_have_attribute("aria-selected", "true")
    at.keyboard.press("Escape")
    expect(at.get_by_test_id("context")).to_have_count(0)
    at.get_by_test_id("tab-lines").focus()
    at.keyboard.press("ArrowRight")
    expect(at.get_by_test_id("tab-values")).to_be_focused()
    expect(at.get_by_test_id("values")).to_be_visible()


def test_a_query_is_saved_picked_and_deleted(at: Page, filled: Product) -> None:
    at.get_by_test_id("order").select_option("oldest")
    search(at, "sshd failed")
    at.get_by_test_id("saved-new").click()
    at.get_by_test_id("saved-name").fill("Failed logins")
    at.get_by_test_id("saved-name").press("Enter")
    expect(at.get_by_test_id("saved-delete")).to_be_visible()
    (kept,) = filled.client.get(f"/v1/{WORKSPACE}/savedQueries").json()["savedQueries"]
    assert (kept["displayName"], kept["query"], kept["orderBy"]) == ("Failed logins", "sshd failed", "timestamp")
    at.get_by_test_id("order").select_option("newest")
    search(at, "something else")
    at.reload()
    at.get_by_test_id("saved").select_option(label="Failed logins")
    expect(at.get_by_test_id("query")).to_have_value("sshd failed")
    expect(at.get_by_test_id("order")).to_have_value("oldest")
    expect(at.get_by_test_id("total")).to_have_text(total_of(filled, "sshd failed"))
    at.get_by_test_id("saved-delete").click()
    assert filled.client.get(f"/v1/{WORKSPACE}/savedQueries").json()["savedQueries"] == [kept]
    at.get_by_test_id("saved-delete").click()
    expect(at.get_by_test_id("saved-delete")).to_have_count(0)
    assert filled.client.get(f"/v1/{WORKSPACE}/savedQueries").json()["savedQueries"] == []


def test_an_export_is_downloaded_whole(at: Page, filled: Product, tmp_path: Path) -> None:
    search(at, "sshd")
    expect(at.get_by_test_id("total")).to_have_text(total_of(filled, "sshd"))
    with at.expect_download() as download:
        at.get_by_test_id("export").click()
    assert download.value.suggested_filename == "console-search.ndjson"
    download.value.save_as(tmp_path / "out.ndjson")
    lines = (tmp_path / "out.ndjson").read_text().split("\n")
    assert lines.pop() == ""
    assert f"{len(lines):,}" == total_of(filled, "sshd")
    assert all("sshd" in json.loads(line)["text"] for line in lines)


def test_oldest_first_turns_the_rows_around(at: Page) -> None:
    search(at, "sshd")
    first = at.get_by_test_id("row").first
    expect(first).to_contain_text("sshd")
    newest = first.locator(".when").inner_text()
    at.get_by_test_id("order").select_option("oldest")
    expect(first.locator(".when")).not_to_have_text(newest)
    assert first.locator(".when").inner_text() < newest


def test_lines_appear_live_as_they_are_imported(at: Page, filled: Product, tmp_path: Path) -> None:
    log = tmp_path / "live.log"
    log.write_text("2024-05-01T10:00:00Z ERROR livewire one\n2024-05-01T10:00:01Z INFO other\n")
    search(at, "livewire")
    with at.expect_response(lambda answer: ":tail" in answer.url):
        at.get_by_test_id("tail").click()
    expect(at.get_by_test_id("nothing")).to_contain_text("as they are read")
    filled.import_all(log, workspace=WORKSPACE)
    rows = at.get_by_test_id("row")
    expect(rows).to_have_count(1)
    expect(rows.first).to_contain_text("livewire one")
    at.get_by_test_id("tail").click()
    expect(at.get_by_test_id("tail")).to_have_text("Live")
