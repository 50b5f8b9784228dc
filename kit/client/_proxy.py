"""Whether grpc reaches a host through an HTTP proxy: then the proxy has to be given the name, and looks it up itself.

The rules are those of grpc core's proxy mapper, so that a host is reached the same way whoever looks up its name.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["is_proxied"]


def is_proxied(host: str, options: Sequence[tuple[str, Any]], environ: Mapping[str, str] | None = None) -> bool:
    """By these channel options, then by grpc_proxy, https_proxy or http_proxy, and not by no_grpc_proxy or no_proxy."""
    env = os.environ if environ is None else environ
    given = dict(options)
    if not given.get("grpc.enable_http_proxy", 1):
        return False
    places = (given.get("grpc.http_proxy"), *(env.get(name) for name in ("grpc_proxy", "https_proxy", "http_proxy")))
    if not next((place for place in places if place is not None), ""):
        return False
    direct = env.get("no_grpc_proxy", env.get("no_proxy", ""))
    return not any(_covers(entry.strip(), host) for entry in direct.split(",") if entry.strip())


def _covers(entry: str, host: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return host.lower().endswith(entry.lower())
