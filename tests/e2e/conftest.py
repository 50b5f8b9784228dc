"""One product for all end-to-end tests that do not break it, a way to start others, and a browser at its console."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.e2e.product import Product

CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    running = Product(data_dir=tmp_path_factory.mktemp("product"), args=["--no-sample"]).start()
    yield running
    assert running.stop() == 0


@pytest.fixture
def start_product(tmp_path: Path) -> Iterator[Callable[..., Product]]:
    """Starts a product of the test's own; it is stopped at the end whatever happens."""
    started: list[Product] = []

    def start(**options: object) -> Product:
        one = Product(data_dir=tmp_path / f"data{len(started)}", **options)  # type: ignore[arg-type]  # as the class says
        started.append(one)
        return one.start()

    yield start
    for one in started:
        if one.process is not None and one.process.poll() is None:
            one.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    binary = shutil.which("chromium")
    if binary is None:
        pytest.skip("chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary, args=CHROMIUM_ARGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, product: Product) -> Iterator[Page]:
    """The console. The test fails where the page asks another host, or an error is logged that is no refused query."""
    page = browser.new_page(viewport={"width": 1300, "height": 860})
    page.set_default_timeout(15_000)
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
