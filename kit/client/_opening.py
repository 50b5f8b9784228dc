"""From a target to its endpoints: what is resolved how, and how a sub-channel is opened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import grpc
import grpc.aio

from kit.client._certificates import Certificates
from kit.client._dns import DnsEndpoints, Resolver, dns_name
from kit.client._local import LocalEndpoints
from kit.client._proxy import is_proxied
from kit.client.endpoints import Endpoints, static_addresses
from kit.client.events import Listeners
from kit.client.tls import TlsFiles
from kit.clock import Clock
from kit.discovery import Registry
from kit.errors import ConfigurationError

__all__ = ["open_endpoints"]

_LOCAL = "local:///"
#: What every sub-channel is opened with; options that the user gives come after and win.
_OPTIONS: tuple[tuple[str, Any], ...] = (
    # Otherwise channels to one address share a connection, and none can be renewed by itself.
    ("grpc.use_local_subchannel_pool", 1),
    # grpc's own 120 s would keep a service that came back unseen for as long.
    ("grpc.initial_reconnect_backoff_ms", 250),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 5000),
    # Servers allow a ping every 5 minutes unless told otherwise, and hang up on the third too many.
    ("grpc.keepalive_time_ms", 330_000),
    ("grpc.keepalive_timeout_ms", 20_000),
)


def open_endpoints(
    target: str | Sequence[str],
    *,
    credentials: grpc.ChannelCredentials | TlsFiles | None,
    options: Sequence[tuple[str, Any]],
    compression: grpc.Compression | None,
    registry: Registry | None,
    listeners: Listeners,
    clock: Clock,
    random: Callable[[], float],
    open_channel: Callable[[str], grpc.aio.Channel] | None,
    resolver: Resolver,
) -> Endpoints:
    """The endpoints of a target; nothing is looked up or connected yet. For the arguments see `kit.channel`.

    `open_channel` opens sub-channels otherwise, for simulations. Raises ConfigurationError.
    """
    #: What the target asks for; known before the first sub-channel is opened.
    own: list[tuple[str, Any]] = []

    def connect(address: str, credentials: grpc.ChannelCredentials | None) -> grpc.aio.Channel:
        # Of two values for one option grpc takes the first.
        arguments = tuple(dict([*_OPTIONS, *own, *options]).items())
        if credentials is None:
            return grpc.aio.insecure_channel(address, arguments, compression)
        return grpc.aio.secure_channel(address, credentials, arguments, compression)

    certificates: Certificates | None = None
    if open_channel is not None:
        dial = open_channel
    elif isinstance(credentials, TlsFiles):
        certificates = Certificates(credentials, connect, clock, listeners)
        dial = certificates.dial
        if credentials.server_name is not None:
            own.append(("grpc.default_authority", credentials.server_name))
    else:
        dial = partial(connect, credentials=credentials)

    endpoints: Endpoints
    if isinstance(target, str) and target.startswith("local:"):
        name = target.removeprefix(_LOCAL)
        if not target.startswith(_LOCAL) or not name:
            raise ConfigurationError(f'{target!r}: write "local:///name"')
        own.insert(0, ("grpc.default_authority", name))
        found = registry if registry is not None else Registry()
        endpoints = LocalEndpoints(name, dial, found, clock.now, listeners)
    else:
        addresses = static_addresses(target)
        names = [dns_name(address) for address in addresses]
        in_dns = names[0] if len(names) == 1 else None
        if in_dns is not None and not is_proxied(in_dns.host, options):
            own[:0] = [("grpc.default_authority", in_dns.authority), ("grpc.enable_http_proxy", 0)]
            endpoints = DnsEndpoints(addresses[0], in_dns, dial, clock, random, listeners, resolver)
        else:
            endpoints = Endpoints(",".join(addresses), dial, addresses, listeners)
    if certificates is not None:
        certificates.follow(endpoints)
    return endpoints
