"""Which hosts grpc reaches through a proxy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from kit.client._proxy import is_proxied

PROXY = {"http_proxy": "http://proxy:3128"}


@pytest.mark.parametrize(
    ("host", "options", "environ", "proxied"),
    [
        ("search", [], {}, False),
        ("search", [], PROXY, True),
        ("search", [], {"https_proxy": "http://proxy:3128"}, True),
        ("search", [], {"grpc_proxy": "", **PROXY}, False),
        ("search", [("grpc.http_proxy", "http://proxy:1")], {}, True),
        ("search", [("grpc.enable_http_proxy", 0)], PROXY, False),
        ("search.svc.local", [], PROXY | {"no_proxy": "other, .SVC.local"}, False),
        ("search.svc.local", [], PROXY | {"no_proxy": ".svc.local", "no_grpc_proxy": ""}, True),
        ("10.1.2.3", [], PROXY | {"no_proxy": "10.0.0.0/8"}, False),
        ("11.1.2.3", [], PROXY | {"no_proxy": "10.0.0.0/8"}, True),
    ],
)
def test_a_host_is_reached_through_a_proxy_where_grpc_would(
    host: str, options: list[tuple[str, Any]], environ: Mapping[str, str], proxied: bool
) -> None:
    assert is_proxied(host, options, environ) is proxied
