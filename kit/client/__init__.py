"""The client side as users meet it: a channel of our own, and interceptors for a stock one.

`channel` and `endpoints` (with `_local`, `_dns`) know addresses and `tls` certificates, `care` looks after connections
and health between calls, `stubs` makes calls, `calls`, `streams` and `driven` are those calls, `_replay` keeps streams
of requests for further attempts, `transport` makes grpc's own, `interceptors` puts the same pipeline on a stock
`grpc.aio` channel. What happens to a call on its way is in `kit.layers`.
"""

from kit.client.channel import Channel, channel
from kit.client.events import (
    CertificatesReloaded,
    ChannelEvent,
    EndpointEjected,
    EndpointHealthy,
    EndpointReturned,
    EndpointsChanged,
    EndpointUnhealthy,
    LookupFailed,
    PolicyReloaded,
    Reconnected,
    ReconnectFailed,
    WarmedUp,
)
from kit.client.interceptors import client_interceptors
from kit.client.reports import ChannelStatistics, EndpointCheck, EndpointStatistics, HealthReport
from kit.client.tls import TlsFiles
from kit.resilience.pulse import Health, HealthCheck

__all__ = [
    "CertificatesReloaded",
    "Channel",
    "ChannelEvent",
    "ChannelStatistics",
    "EndpointCheck",
    "EndpointEjected",
    "EndpointHealthy",
    "EndpointReturned",
    "EndpointStatistics",
    "EndpointUnhealthy",
    "EndpointsChanged",
    "Health",
    "HealthCheck",
    "HealthReport",
    "LookupFailed",
    "PolicyReloaded",
    "ReconnectFailed",
    "Reconnected",
    "TlsFiles",
    "WarmedUp",
    "channel",
    "client_interceptors",
]
