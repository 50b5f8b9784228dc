"""What the running product answers over HTTP beside pages of hits."""

from __future__ import annotations

import json

import pytest

from tests.datafiles import SAMPLE
from tests.e2e.product import Product


@pytest.fixture(scope="module")
def logs(product: Product) -> str:
    """The path of a workspace that holds something."""
    name = product.create_workspace("http-surface")
    product.import_all(SAMPLE / "auth.log", workspace=name)
    return f"/v1/{name}"


@pytest.mark.parametrize("verb", ["search", "explain", "histogram", "templates", "export", "tail", "topValues"])
def test_a_query_that_cannot_be_read_is_a_problem_with_its_place(product: Product, logs: str, verb: str) -> None:
    params = {"query": "sshd (x", **({"field": "level"} if verb == "topValues" else {})}
    answer = product.client.get(f"{logs}/logs:{verb}", params=params)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json"), answer.text
    problem = answer.json()
    assert (problem["reason"], problem["metadata"]) == ("QUERY_SYNTAX", {"position": "7"})
    assert problem["violations"][0]["field"] == "query"


def test_a_batch_answers_each_query_for_itself(product: Product, logs: str) -> None:
    body = {"requests": [{"query": "sshd", "pageSize": 2}, {"query": "("}, {"query": "absentword"}]}
    answer = product.client.post(f"{logs}/logs:batchSearch", json=body)
    first, second, third = answer.json()["results"]
    alone = product.client.get(f"{logs}/logs:search", params={"query": "sshd", "pageSize": 2}).json()
    assert (first["response"]["hits"], first["response"]["totalSize"]) == (alone["hits"], alone["totalSize"])
    assert second["error"]["code"] == 3
    assert third["response"]["totalSize"] == "0"
    counted = product.client.post(f"{logs}/logs:batchSearch", json={**body, "countOnly": True}).json()["results"]
    assert (counted[0]["response"]["hits"], counted[0]["response"]["totalSize"]) == ([], alone["totalSize"])


def test_an_export_is_every_hit_in_order_as_one_body(product: Product, logs: str) -> None:
    params = {"query": "sshd", "orderBy": "timestamp"}
    answer = product.client.get(f"{logs}/logs:export", params=params)
    assert answer.headers["transfer-encoding"] == "chunked"
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    exported = [json.loads(line) for line in answer.content.split(b"\n") if line]
    hits, total = product.hits("sshd", logs.removeprefix("/v1/"), orderBy="timestamp")
    assert [one["id"] for one in exported] == [hit["id"] for hit in hits]
    assert len(exported) == total > 100
    nothing = product.client.get(f"{logs}/logs:export", params={"query": "absentword"})
    assert (nothing.status_code, nothing.content) == (200, b"")


@pytest.mark.parametrize(
    "path", ["", "/logs:stats", "/logs:search?query=sshd", "/logs:export", "/logs:tail", "/imports"]
)
def test_head_is_answered_as_get_is_begun(product: Product, logs: str, path: str) -> None:
    answer = product.client.head(logs + path)
    assert (answer.status_code, answer.content) == (200, b"")


def test_saved_queries_are_unique_by_name(product: Product, logs: str) -> None:
    made = product.client.post(f"{logs}/savedQueries", json={"displayName": "Logins", "query": "sshd"}).json()
    again = product.client.post(f"{logs}/savedQueries", json={"displayName": "Logins", "query": "other"})
    assert (again.status_code, again.json()["reason"]) == (409, "SAVED_QUERY_EXISTS")
    changed = product.client.patch(f"/v1/{made['name']}", json={"query": "sshd failed"}).json()
    assert (changed["displayName"], changed["query"]) == ("Logins", "sshd failed")
    assert product.client.delete(f"/v1/{made['name']}").json() == {}
    assert product.client.get(f"/v1/{made['name']}").status_code == 404


def test_retention_is_patched_by_what_the_body_names(product: Product, logs: str) -> None:
    kept = product.client.patch(logs, json={"retention": {"maxAge": "3153600000s", "maxBytes": "5000000000"}}).json()
    assert kept["retention"] == {"maxAge": "3153600000s", "maxBytes": "5000000000"}
    one = product.client.patch(logs, json={"retention": {"maxBytes": "6000000000"}}).json()
    assert one["retention"] == {"maxAge": "3153600000s", "maxBytes": "6000000000"}
    assert "retention" not in product.client.patch(logs, json={"retention": None}).json()
    wrong = product.client.patch(logs, json={"retention": {"maxBytes": "-1"}})
    assert (wrong.status_code, "must not be negative" in wrong.json()["detail"]) == (400, True)
    bell = product.client.patch(logs, json={"displayName": "a\u0007b"})
    assert "character 2 is U+0007" in bell.json()["detail"]
