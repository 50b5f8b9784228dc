"""SIGKILL of importer, worker and search at random moments of imports: all lines of the sources, each of them once."""

from __future__ import annotations

import gzip
import json
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.e2e.product import Product, wait_until

#: Kills of `make test`; `--kills N` above 1 does N.
FEW = 3
#: So often in a row `up` starts a service again; every import gets an `up` of its own.
KILLS_AN_IMPORT = 3
FILES, LINES = 8, 6_000
VICTIMS = ("importer", "worker", "search")


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Plain and compressed files of some size, with records of several lines, and an end without a line feed."""
    folder = tmp_path_factory.mktemp("logs")
    for number in range(FILES):
        lines = []
        for line in range(LINES):
            lines.append(
                f"2024-05-01T{line // 3600 % 24:02}:{line // 60 % 60:02}:{line % 60:02}.{line % 1000:03}Z INFO app "
                f"{number} handled request id{line * FILES + number} in {line % 97} ms with {'abcdefghij' * 20}"
            )
            if not line % 50:
                lines.append(f"  at step {line} of file {number}")
        content = "\n".join(lines).encode() + (b"" if number == 1 else b"\n")
        if number % 3 == 2:
            (folder / f"{number}.log.gz").write_bytes(gzip.compress(content, 1))
        else:
            (folder / f"{number}.log").write_bytes(content)
    return folder


def expected(folder: Path) -> Counter[tuple[str, int, str]]:
    """Every line of the sources: (path, line number, text)."""
    lines: Counter[tuple[str, int, str]] = Counter()
    for path in folder.iterdir():
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for number, line in enumerate(content.decode().splitlines(), 1):
            lines[str(path), number, line] += 1
    return lines


def answers(product: Product, url: str) -> dict[str, object] | None:
    """The JSON at a URL; None while somebody is away."""
    try:
        answer = product.client.get(url)
    except httpx.TransportError:
        return None
    found: dict[str, object] | None = json.loads(answer.content) if answer.status_code == 200 else None
    return found


def share(product: Product, name: str) -> float | None:
    """How much of an import is read, from 0 to 1; 2 when it has ended; None while nobody says."""
    found = answers(product, f"/v1/{name}")
    if found is None:
        return None
    if found["state"] not in ("QUEUED", "RUNNING"):
        return 2.0
    progress = found["progress"]
    assert isinstance(progress, dict)
    return int(progress["processedBytes"]) / max(1, int(progress["totalBytes"]))


def kill(product: Product, victim: str) -> bool:
    """Kills a process; False when there is none just now."""
    pid = product.pid_of("importer" if victim == "worker" else victim)
    try:
        process = None if pid is None else psutil.Process(pid)
        if process is not None and victim == "worker":
            children = [one for one in process.children() if "services.importer.worker" in " ".join(one.cmdline())]
            process = children[0] if children else None
        if process is None:
            return False
        process.kill()
        process.wait(10)
    except psutil.NoSuchProcess:
        return False
    return True


def moments(seed: int) -> Iterator[tuple[str, float]]:
    """Whom to kill, and at which share of an import."""
    chance = random.Random(seed)
    while True:
        yield chance.choice(VICTIMS), chance.random()


def test_random_kills_lose_nothing_and_double_nothing(
    start_product: Callable[..., Product], logs: Path, request: pytest.FixtureRequest
) -> None:
    wanted = request.config.getoption("--kills")
    wanted = FEW if wanted <= 1 else wanted
    seed = int(os.environ.get("KILL_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 30)
    print(f"KILL_SEED={seed}")
    truth = expected(logs)
    product = start_product(args=["--no-sample"])
    plan, done, imports = moments(seed), 0, 0
    while done < wanted:
        imports += 1
        workspace = product.create_workspace(f"kills-{imports}")
        name = product.start_import(logs, workspace=workspace)["name"]
        kills = 0
        floor = 0.0
        while kills < KILLS_AN_IMPORT and done < wanted:
            victim, moment = next(plan)
            at = floor + (1 - floor) * moment / 2
            reached = wait_until(
                lambda: (now := share(product, name)) is not None and now >= at and (now or 0.01),  # noqa: B023
                seconds=60,
                what=f"{name} has read {at:.0%} (seed {seed})",
            )
            if reached > 1:
                break
            if kill(product, victim):
                kills, done, floor = kills + 1, done + 1, at
        result = product.wait_for_import(name, seconds=180)
        assert result["state"] == "SUCCEEDED", (seed, result)
        assert int(result["lineCount"]) == len(truth), (seed, result)
        wait_until(
            lambda: answers(product, f"/v1/{workspace}/logs:search?query=&pageSize=1"),  # noqa: B023
            seconds=60,
            what="search is back",
        )
        hits, total = product.hits("", workspace)
        found = Counter((str(hit["source"]), int(hit["lineNumber"]), str(hit["text"])) for hit in hits)
        assert total == len(truth), seed
        assert found == truth, (seed, len(found - truth), len(truth - found))
        again = product.import_all(logs, workspace=workspace)
        assert (again["state"], int(again["lineCount"])) == ("SUCCEEDED", 0), (seed, again)
        print(f"import {imports}: {kills} kills, {done} in all")
        if done < wanted:
            product.stop()
            product.start()
