"""What the guide shows is so: its code is an example's or runs here, its output is what the examples print."""

from __future__ import annotations

import re
import textwrap
from functools import cache
from pathlib import Path

import pytest

from tests.datafiles import ROOT
from tests.integration.client.authority import Authority
from tests.integration.examples.test_examples import EXAMPLES, run

GUIDE = ROOT / "docs" / "guide"
PAGES = sorted(GUIDE.glob("*.md"))
NAMES = [page.name for page in PAGES]
#: Addresses that a page writes, by the server here that stands for them.
ADDRESSES = {
    "dns:///shop:50051": 0,
    "dns:///search:50051": 0,
    "dns:///orders:50051": 0,
    "10.0.0.7:50051": 0,
    "10.0.0.8:50051": 1,
    "10.0.0.9:50051": 2,
}
#: What the code of a page finds in its folder and in front of it.
POLICY = """
["*"]
timeout = "5s"
idempotency_level = "NO_SIDE_EFFECTS"
retry = { max_attempts = 4, initial_backoff = "50ms" }
"""
AROUND = """
import asyncio
import grpc
import kit

async def main():
    servers = [kit.Server("shop", listen="127.0.0.1:0", register=False, grace=0.0) for _ in range(3)]
    for server in servers:
        await server.start()
        server.health.set("shop.v1.Orders", True)
    await page([server.address for server in servers])
    for server in servers:
        await server.stop(0)

async def page(addresses):
{body}

asyncio.run(main())
"""


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of that language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def examples_of(page: Path) -> list[Path]:
    """The programs that the page links to."""
    names = re.findall(r"\]\(\.\./\.\./examples/(\w+\.py)\)", page.read_text("utf-8"))
    return [EXAMPLES / name for name in dict.fromkeys(names)]


def stands_in(block: str, program: str) -> bool:
    """Whether the lines of the block stand in the program, one after the other, however far they are indented."""
    wanted, lines = textwrap.dedent(block).strip("\n").split("\n"), program.split("\n")
    size = len(wanted)
    windows = (lines[at : at + size] for at in range(len(lines) - size + 1))
    return any(textwrap.dedent("\n".join(window)).split("\n") == wanted for window in windows)


def from_examples(page: Path, block: str) -> bool:
    return any(stands_in(block, example.read_text("utf-8")) for example in examples_of(page))


@cache
def said_by(example: Path) -> str:
    return run(example)


def shape(text: str) -> str:
    """The text without what differs from run to run: times and ports."""
    return re.sub(r"127\.0\.0\.1:\d+", "ADDRESS", re.sub(r"\b\d+(\.\d+)? m?s\b", "TIME", text))


@pytest.mark.parametrize("name", NAMES)
def test_what_a_page_links_to_exists(name: str) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", (GUIDE / name).read_text("utf-8")):
        path, _, anchor = link.partition("#")
        assert (GUIDE / path).exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.*)$", (GUIDE / path).read_text("utf-8"), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w-]", "", heading.lower().replace(" ", "-")) for heading in headings], link


@pytest.mark.parametrize("name", [name for name in NAMES if name != "README.md"])
def test_the_index_has_every_page(name: str) -> None:
    assert f"({name})" in (GUIDE / "README.md").read_text("utf-8")


@pytest.mark.parametrize("name", [page.name for page in PAGES if blocks(page, "python")])
def test_code_that_is_no_examples_runs(name: str, tmp_path: Path) -> None:
    page = GUIDE / name
    body = "\n".join(block for block in blocks(page, "python") if not from_examples(page, block))
    if not body:
        return
    if "TlsFiles" in body:
        authority = Authority(tmp_path, "ca")
        authority.issue(tmp_path, "shop")
    (tmp_path / "policy.toml").write_text(POLICY)
    if "await " in body or "kit.channel(" in body:
        for address, place in ADDRESSES.items():
            body = body.replace(f'"{address}"', f"addresses[{place}]")
        body = AROUND.format(body=textwrap.indent(body, "    "))
    program = tmp_path / "page.py"
    program.write_text(body)
    run(program, cwd=tmp_path)


@pytest.mark.parametrize("name", [page.name for page in PAGES if blocks(page, "text")])
def test_output_that_a_page_shows_is_what_its_example_prints(name: str) -> None:
    page = GUIDE / name
    said = [shape(said_by(example)) for example in examples_of(page) if not example.name.startswith("test_")]
    for block in blocks(page, "text"):
        assert any(stands_in(shape(block), text) for text in said), f"{block}\nis not in\n{said}"


@pytest.mark.parametrize("name", [page.name for page in PAGES if blocks(page, "toml")])
def test_the_policy_files_of_a_page_are_in_order(name: str, tmp_path: Path) -> None:
    for number, block in enumerate(blocks(GUIDE / name, "toml")):
        policy = tmp_path / f"{number}.toml"
        policy.write_text(block)
        run("-P", "-m", "kit.cli", "check", policy)


@pytest.mark.parametrize("name", [page.name for page in PAGES if blocks(page, "proto")])
def test_the_declarations_of_a_page_are_in_order(name: str, tmp_path: Path) -> None:
    for number, block in enumerate(blocks(GUIDE / name, "proto")):
        messages = dict.fromkeys(re.findall(r"\((?:stream )?(\w+)\)", block))
        head = f'syntax = "proto3";\npackage shop.v{number + 1};\nimport "kitapi/v1/policy.proto";\n'
        empty = "".join(f"message {message} {{}}\n" for message in messages)
        (tmp_path / f"shop{number}.proto").write_text(f"{head}{empty}service Shop {{\n{block}}}\n")
    run("-P", "-m", "kit.cli", "check", tmp_path)


def test_the_fault_plan_that_the_guide_shows_is_the_examples() -> None:
    plan = (EXAMPLES / "fault_plan.toml").read_text("utf-8").partition("\n")[2]
    assert textwrap.indent(plan, "    ").strip() in (GUIDE / "simulate.md").read_text("utf-8")


def test_the_first_example_adds_five_lines() -> None:
    program = (EXAMPLES / "stock_channel.py").read_text("utf-8")
    code = program.partition('"""\n\n')[2]
    assert sum(bool(re.search(r"\bkit\b", line)) for line in code.split("\n")) == 5
    said = said_by(EXAMPLES / "stock_channel.py")
    for sight in ("attempt 3 OK", "DEADLINE_EXCEEDED", "CallFailed: the disk is full", "BreakerOpen: circuit breaker"):
        assert sight in said
