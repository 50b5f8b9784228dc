"""`kit endpoints`: where the channels of a running process send calls."""

from __future__ import annotations

import click

from kit.cli._ops import listing
from kitapi.v1 import ops_pb2


def _row(one: ops_pb2.Endpoint) -> tuple[str, ...]:
    state = "ejected" if one.ejected else ops_pb2.Endpoint.Health.Name(one.health).lower()
    return (
        one.target,
        one.address,
        one.connectivity,
        state,
        str(one.in_flight),
        str(one.connects),
        str(one.connect_failures),
        one.last_error,
    )


endpoints = listing(
    "endpoints",
    """List the endpoints that the channels of the process at ADDRESS have.

    Health is that of health checks, where the channel makes any. Channels that are grpc's own are not listed.
    """,
    lambda given: ("ListEndpoints", ops_pb2.ListEndpointsRequest(target=given["target"]), "endpoints"),
    ("TARGET", "ADDRESS", "CONNECTION", "HEALTH", "IN FLIGHT", "CONNECTS", "FAILED", "LAST ERROR"),
    _row,
    [click.option("--target", default="", help="Only those of this target.")],
)
