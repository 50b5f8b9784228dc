"""The large collection, imported through the gateway: every line is counted, every query finds what grep finds."""

from __future__ import annotations

import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.datafiles import manifest, require_shared_data
from tests.e2e.oracle import Line, all_lines, count_lines, grep, phrase_pattern, term_pattern
from tests.e2e.product import Product

pytestmark = pytest.mark.data

WORKSPACE = "workspaces/everything"


@dataclass(frozen=True)
class Collection:
    """The sources unpacked, for grep; and what the product was given."""

    unpacked: Path
    data: Path

    def line_of(self, source: str, number: str) -> Line:
        """A hit's place as the oracle names it."""
        path = source.removeprefix(f"{self.data}/")
        return path.replace(".zip!/", ".zip/"), int(number)


@pytest.fixture(scope="module")
def collection(product: Product, tmp_path_factory: pytest.TempPathFactory) -> Collection:
    data = require_shared_data()
    unpacked = tmp_path_factory.mktemp("unpacked")
    archives = sorted((data / "winevent").glob("campaign_0*.zip"))
    for archive in archives:
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(unpacked / "winevent" / archive.name)
    for folder in ("elastic", "formats"):
        shutil.copytree(data / folder, unpacked / folder)
    product.create_workspace("everything")
    result = product.import_all(*archives, data / "elastic", data / "formats", workspace=WORKSPACE, seconds=900)
    assert result["state"] == "SUCCEEDED", result
    assert result["errorCount"] == "0", result
    rows = [
        row for row in manifest(data) if not row.path.name.endswith((".tar.gz", ".csv")) and "zeek" not in row.path.name
    ]
    unterminated = sum(
        count_lines(path) - path.read_bytes().count(b"\n")
        for folder in ("elastic", "formats", "winevent")
        for path in (unpacked / folder).rglob("*")
        if path.is_file()
    )
    assert int(result["lineCount"]) == sum(row.newlines for row in rows) + unterminated
    assert int(result["fileCount"]) == len(rows)
    assert int(result["byteCount"]) == sum(row.unpacked for row in rows)
    return Collection(unpacked, data)


T = term_pattern
P = phrase_pattern
QUERIES: dict[str, str] = {
    # query: what grep is asked
    "kafka": T("kafka"),
    "KAFKA": T("kafka"),
    "mimikatz": T("mimikatz"),
    "sshd": T("sshd"),
    "4688": T("4688"),
    "powershell": T("powershell"),
    "googlebot": T("googlebot"),
    "nosuchtermanywhere": T("nosuchtermanywhere"),
    '"Failed password"': P("failed", "password"),
    '"leader and isr"': P("leader", "and", "isr"),
    '"GET /favicon.ico"': P("get", "favicon", "ico"),
    "10.0.1.5": P("10", "0", "1", "5"),
    "java.io.IOException": P("java", "io", "ioexception"),
    "über": T("über"),
    "f\u00e9vrier": T("f\u00e9vrier"),
}


@pytest.mark.parametrize("query", QUERIES)
def test_a_term_or_phrase_finds_what_grep_finds(product: Product, collection: Collection, query: str) -> None:
    pattern = QUERIES[query]
    _same(product, collection, query, grep(collection.unpacked, pattern))


def test_and_or_not_and_nesting_find_what_grep_finds(product: Product, collection: Collection) -> None:
    def lines(pattern: str) -> set[Line]:
        return grep(collection.unpacked, pattern)

    failed, password, root = lines(T("failed")), lines(T("password")), lines(T("root"))
    get, favicon, kafka, error = lines(T("get")), lines(T("favicon")), lines(T("kafka")), lines(T("error"))
    _same(product, collection, "failed password", failed & password)
    _same(product, collection, "failed AND password AND root", failed & password & root)
    _same(product, collection, "favicon OR root", favicon | root)
    _same(product, collection, "get NOT favicon", get - favicon)
    _same(product, collection, "(failed OR favicon) AND NOT (root OR get)", (failed | favicon) - (root | get))
    _same(product, collection, "kafka (error OR NOT get)", kafka & (error | (all_lines(collection.unpacked) - get)))
    _same(product, collection, "password NOT root", password - root)


def test_source_level_and_time_narrow_to_what_grep_finds(product: Product, collection: Collection) -> None:
    kafka_error = {
        line for line in grep(collection.unpacked, r"^\[[^]]+\] ERROR ") if line[0].startswith("elastic/kafka/")
    }
    assert kafka_error
    hits, _ = product.hits("level:error source:elastic/kafka", WORKSPACE)
    found = {collection.line_of(hit["source"], hit["lineNumber"]) for hit in hits}
    assert kafka_error <= found
    _same(
        product,
        collection,
        "source:apache_access.log time:2015-05-18T00:00:00Z..2015-05-19T00:00:00Z",
        {line for line in grep(collection.unpacked, r"\[18/May/2015:") if line[0] == "elastic/apache_access.log"},
    )
    _same(
        product,
        collection,
        "sshd source:auth.log",
        {line for line in grep(collection.unpacked, T("sshd")) if line[0] == "elastic/auth.log"},
    )


def test_the_empty_query_finds_every_line(product: Product, collection: Collection) -> None:
    answer = product.search("", WORKSPACE, pageSize=1).json()
    assert int(answer["totalSize"]) == len(all_lines(collection.unpacked))


def _same(product: Product, collection: Collection, query: str, expected: set[Line]) -> None:
    hits, total = product.hits(query, WORKSPACE)
    found = {collection.line_of(hit["source"], hit["lineNumber"]) for hit in hits}
    missing, extra = sorted(expected - found)[:3], sorted(found - expected)[:3]
    assert not missing, f"{query}: {len(expected - found)} of {len(expected)} are missing: {missing}"
    assert not extra, f"{query}: {len(found - expected)} are too many: {extra}"
    assert total == len(hits) == len(expected)
    page = product.search(query, WORKSPACE, pageSize=10).json()
    assert int(page["totalSize"]) == len(expected)
    assert [hit["id"] for hit in page["hits"]] == [hit["id"] for hit in hits[:10]]
