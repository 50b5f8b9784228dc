"""One product for all end-to-end tests that do not break it, and a way to start others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.product import Product


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
