"""Routes from descriptors: what is served, what is refused when it is compiled."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import ServiceDescriptor

from gateway.config import load
from gateway.expose import exposed
from gateway.transcode.accept import Form
from gateway.transcode.codec import JsonFormat
from gateway.transcode.routes import Exposed, compile_routes
from kit.errors import ConfigurationError
from tests.unit.gateway import shelf
from tests.unit.gateway.shelf import descriptor_set, router


def _changed(change: str, **rules: tuple[str, str]) -> ServiceDescriptor:
    """The shelf with some methods' rules replaced: {method: (kind, path)}; `change` is only a name for the pool."""
    from google.api import annotations_pb2

    files = descriptor_pb2.FileDescriptorSet.FromString(descriptor_set())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        for service in file.service if file.name == "shelf.proto" else ():
            for method in service.method:
                if method.name in rules:
                    rule = method.options.Extensions[annotations_pb2.http]
                    body = rule.body
                    rule.Clear()
                    rule.body = body
                    setattr(rule, *rules[method.name])
        pool.AddSerializedFile(file.SerializeToString())
    return pool.FindServiceByName("shelf.v1.Shelf")


def _compile(service: ServiceDescriptor, methods: tuple[str, ...] | None = None) -> None:
    compile_routes([Exposed(upstream="shelf", service=service, codec=JsonFormat(), methods=methods)])


def test_a_declared_pair_shares_its_route() -> None:
    route = router().find("GET", "/v1/books:search").route
    assert route is not None
    assert route.unary is not None
    assert route.stream is not None
    assert route.stream.path == "/shelf.v1.Shelf/StreamSearch"
    assert route.forms == (Form.JSON, Form.NDJSON, Form.SSE)


def test_a_stream_alone_prefers_ndjson_and_offers_an_array() -> None:
    route = router().find("GET", "/v1/books:tail").route
    assert route is not None
    assert route.forms == (Form.NDJSON, Form.SSE, Form.JSON)


def test_the_cost_is_the_methods_then_the_services() -> None:
    costs = {
        (method, path): found.rpc.cost
        for method, path in (
            ("POST", "/v1/shelves/a/books"),
            ("GET", "/v1/shelves/a/books"),
            ("GET", "/v1/books/x"),
        )
        if (found := router().find(method, path).route) is not None
    }
    assert list(costs.values()) == [7, 0, 2]


def test_a_method_without_a_rule_is_not_served() -> None:
    assert router().find("POST", "/shelf.v1.Shelf/Internal").route is None


def test_two_methods_that_claim_the_same_requests_are_refused() -> None:
    service = _changed("clash", TouchBook=("post", "/v1/{name=shelves/*/books/*}:archive"))
    with pytest.raises(ConfigurationError, match=r"TouchBook.*ArchiveBook.*stream_of"):
        _compile(service)


def test_a_stream_that_names_a_method_with_other_rules_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"StreamSearch: stream_of names .*Search"):
        _compile(_changed("pair", StreamSearch=("get", "/v1/books:find")))


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/v1/{missing}", "missing"),
        ("/v1/{name=**}/x", "last segment"),
        ("v1/x", "begins with"),
    ],
)
def test_a_wrong_rule_is_refused_with_the_method(path: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=f"/shelf.v1.Shelf/GetBook.*{words}"):
        _compile(_changed(path, GetBook=("get", path)))


def test_a_stream_of_requests_that_is_no_upload_is_refused() -> None:
    from google.api import annotations_pb2

    files = descriptor_pb2.FileDescriptorSet.FromString(descriptor_set())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        for service in file.service if file.name == "shelf.proto" else ():
            for method in service.method:
                if method.name == "Upload":
                    method.options.Extensions[annotations_pb2.http].body = "*"
        pool.AddSerializedFile(file.SerializeToString())
    with pytest.raises(ConfigurationError, match=r"Upload.*HttpBody"):
        _compile(pool.FindServiceByName("shelf.v1.Shelf"))


def test_only_the_methods_that_are_named_are_served() -> None:
    service = _changed("all")
    found = compile_routes(
        [Exposed(upstream="shelf", service=service, codec=JsonFormat(), methods=("shelf.v1.Shelf/Get*",))]
    )
    assert found.find("GET", "/v1/books/x").route is not None
    assert found.find("POST", "/v1/shelves/a/books").allowed == ()


def test_the_log_analyzers_routes_are_those_of_the_design() -> None:
    routes = compile_routes(exposed(load(None, {})))
    for method, path, rpc in (
        ("POST", "/v1/workspaces", "CreateWorkspace"),
        ("GET", "/v1/workspaces", "ListWorkspaces"),
        ("PATCH", "/v1/workspaces/ab12", "UpdateWorkspace"),
        ("DELETE", "/v1/workspaces/ab12", "DeleteWorkspace"),
        ("POST", "/v1/workspaces/ab12/imports", "CreateImport"),
        ("POST", "/v1/workspaces/ab12/imports:upload", "UploadImport"),
        ("GET", "/v1/workspaces/ab12/imports/x", "GetImport"),
        ("POST", "/v1/workspaces/ab12/imports/x:cancel", "CancelImport"),
        ("GET", "/v1/workspaces/ab12/imports/x:watch", "WatchImport"),
        ("POST", "/v1/workspaces/ab12/imports/x:pause", "PauseImport"),
        ("POST", "/v1/workspaces/ab12/imports/x:resume", "ResumeImport"),
        ("GET", "/v1/workspaces/ab12/imports/x/files", "ListImportFiles"),
        ("GET", "/v1/workspaces/ab12/logs:search", "Search"),
        ("GET", "/v1/workspaces/ab12/logs:histogram", "GetHistogram"),
        ("GET", "/v1/workspaces/ab12/logs:tail", "TailLogs"),
        ("POST", "/v1/workspaces/ab12/logs:batchSearch", "BatchSearch"),
        ("GET", "/v1/workspaces/ab12/logs:explain", "ExplainQuery"),
        ("GET", "/v1/workspaces/ab12/logs:topValues", "GetTopValues"),
        ("GET", "/v1/workspaces/ab12/logs:export", "ExportLogs"),
        ("GET", "/v1/workspaces/ab12/logs:templates", "GetTemplates"),
        ("GET", "/v1/workspaces/ab12/logs:stats", "GetLogStats"),
        ("GET", "/v1/workspaces/ab12/logs:check", "CheckLogs"),
        ("POST", "/v1/workspaces/ab12/logs:repair", "RepairLogs"),
        ("GET", "/v1/workspaces/ab12/logSources", "ListLogSources"),
        ("DELETE", "/v1/workspaces/ab12/logSources/s1", "DeleteLogSource"),
        ("POST", "/v1/workspaces/ab12/savedQueries", "CreateSavedQuery"),
        ("GET", "/v1/workspaces/ab12/savedQueries", "ListSavedQueries"),
        ("GET", "/v1/workspaces/ab12/savedQueries/q1", "GetSavedQuery"),
        ("PATCH", "/v1/workspaces/ab12/savedQueries/q1", "UpdateSavedQuery"),
        ("DELETE", "/v1/workspaces/ab12/savedQueries/q1", "DeleteSavedQuery"),
        ("GET", "/v1/workspaces/ab12/logs/x-1:context", "GetLogContext"),
        ("GET", "/v1/operations/abc", "GetOperation"),
    ):
        found = routes.find(method, path)
        assert found.route is not None, path
        assert found.route.rpc.path.rpartition("/")[2] == rpc
    # These are between the services.
    for path in ("PublishSplit", "ListSplits", "DeleteLogs"):
        assert routes.find("POST", f"/loganalyzer.search.v1.SearchService/{path}").route is None
    # Of the long-running operations only looking is open.
    assert routes.find("DELETE", "/v1/operations/abc").allowed == ("GET",)


def test_a_descriptor_set_is_served_and_a_wrong_one_refused(tmp_path: Path) -> None:
    config = shelf.config(tmp_path)
    names = [one.service.full_name for one in exposed(config)]
    assert names == ["shelf.v1.Shelf"]
    files = descriptor_pb2.FileDescriptorSet.FromString(descriptor_set())
    only = descriptor_pb2.FileDescriptorSet(file=[file for file in files.file if file.name == "shelf.proto"])
    (tmp_path / "shelf.binpb").write_bytes(only.SerializeToString())
    with pytest.raises(ConfigurationError, match="include_imports"):
        list(exposed(config))
    (tmp_path / "shelf.binpb").write_bytes(b"not a set")
    with pytest.raises(ConfigurationError, match="is not a descriptor set"):
        list(exposed(config))
