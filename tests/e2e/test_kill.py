"""SIGKILL of any one process during an import: nothing twice, nothing lost that was acknowledged."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.e2e.oracle import count_lines
from tests.e2e.product import Product, wait_until

FILES = 24
LINES = 12_000


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some 50 MB: enough for the import to be caught in the middle of its work."""
    folder = tmp_path_factory.mktemp("sources")
    for number in range(FILES):
        with (folder / f"app-{number:02}.log").open("w") as file:
            for line in range(LINES):
                file.write(
                    f"2024-05-01T{line // 3600 % 24:02}:{line // 60 % 60:02}:{line % 60:02}.{line % 1000:03}Z INFO "
                    f"worker-{number} handled request id{line * FILES + number} in {line % 97} ms "
                    f"with status {200 + line % 5} payload {'abcdefghij' * 6}\n"
                )
    return folder


def _in_the_middle(product: Product, name: str) -> bool:
    state = product.client.get(f"/v1/{name}").json()
    return state.get("state") == "RUNNING" and int(state["progress"]["processedBytes"]) > 0


def _worker(product: Product) -> psutil.Process | None:
    pid = product.pid_of("importer")
    children = psutil.Process(pid).children(recursive=True) if pid else []
    return children[0] if children else None


def _verify(product: Product, workspace: str, sources: Path, name: str) -> None:
    result = product.wait_for_import(name, seconds=180)
    expected = sum(count_lines(path) for path in sources.iterdir())
    assert result["state"] == "SUCCEEDED", result
    assert int(result["lineCount"]) == expected
    assert int(result["fileCount"]) == FILES
    wait_until(lambda: product.search("", workspace, pageSize=1).status_code == 200, seconds=30, what="search is back")
    assert int(product.search("", workspace, pageSize=1).json()["totalSize"]) == expected
    hits, total = product.hits("status AND 204", workspace)
    seen = {(hit["source"], hit["lineNumber"]) for hit in hits}
    assert len(seen) == len(hits) == total == FILES * LINES // 5


@pytest.mark.parametrize("victim", ["importer", "worker", "search", "workspace", "cache", "gateway"])
def test_sigkill_of_one_process_during_an_import(
    start_product: Callable[..., Product], sources: Path, victim: str, request: pytest.FixtureRequest
) -> None:
    product = start_product(args=["--no-sample"])
    for round_number in range(request.config.getoption("--kills")):
        workspace = product.create_workspace(f"kill-{victim}-{round_number}")
        name = product.start_import(sources, workspace=workspace)["name"]
        wait_until(lambda: _in_the_middle(product, name), seconds=60, what="the import runs")  # noqa: B023
        if victim == "worker":
            process = wait_until(lambda: _worker(product), seconds=10, what="a worker runs")
            process.kill()
        else:
            pid = product.pid_of(victim)
            assert pid is not None
            psutil.Process(pid).kill()
            wait_until(lambda: product.pid_of(victim) not in {None, pid}, seconds=30, what=f"{victim} runs again")  # noqa: B023
        _verify(product, workspace, sources, name)


def test_sigkill_of_the_parent_leaves_no_process_and_the_next_start_goes_on(
    start_product: Callable[..., Product], sources: Path
) -> None:
    product = start_product(args=["--no-sample"])
    workspace = product.create_workspace("kill-all")
    name = product.start_import(sources, workspace=workspace)["name"]
    wait_until(lambda: _in_the_middle(product, name), seconds=60, what="the import runs")
    tree = product.processes()
    assert product.process is not None
    product.process.send_signal(signal.SIGKILL)
    product.process.wait(timeout=10)
    _, alive = psutil.wait_procs(tree, timeout=20)
    assert not alive
    product.start()
    _verify(product, workspace, sources, name)
