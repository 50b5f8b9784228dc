"""Resilient, observable gRPC services in Python, with policy declared in the .proto.

    channel = kit.channel("local:///search")          # or kit.client_interceptors() on a stock grpc.aio channel
    server = kit.Server("search").add(servicer, add_SearchServiceServicer_to_server)

The names here are the public ones, with those of `kit.errors`, `kit.observe`, `kit.discovery`, `kit.policy` and
`kit.testing`. `docs/architecture.md` has the picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kit import discovery, errors, observe, policy
from kit.call import Attempt, CallReport, Deadline, background, deadline, report, reports, timeout
from kit.client import HealthCheck, TlsFiles, channel, client_interceptors
from kit.discovery import data_dir
from kit.policy import (
    AuthPolicy,
    BalanceKind,
    BalancePolicy,
    BreakerKind,
    BreakerPolicy,
    ConcurrencyPolicy,
    FallbackPolicy,
    HedgingPolicy,
    IdempotencyKeyPolicy,
    IdempotencyLevel,
    Jitter,
    MethodPolicy,
    OutlierPolicy,
    Preset,
    Priority,
    RatePolicy,
    RetryBudget,
    RetryPolicy,
    RetryThrottling,
)
from kit.server import Server, run, server_interceptors, unless_draining

if TYPE_CHECKING:
    from kit import testing

__all__ = [
    "Attempt",
    "AuthPolicy",
    "BalanceKind",
    "BalancePolicy",
    "BreakerKind",
    "BreakerPolicy",
    "CallReport",
    "ConcurrencyPolicy",
    "Deadline",
    "FallbackPolicy",
    "HealthCheck",
    "HedgingPolicy",
    "IdempotencyKeyPolicy",
    "IdempotencyLevel",
    "Jitter",
    "MethodPolicy",
    "OutlierPolicy",
    "Preset",
    "Priority",
    "RatePolicy",
    "RetryBudget",
    "RetryPolicy",
    "RetryThrottling",
    "Server",
    "TlsFiles",
    "background",
    "channel",
    "client_interceptors",
    "data_dir",
    "deadline",
    "discovery",
    "errors",
    "observe",
    "policy",
    "report",
    "reports",
    "run",
    "server_interceptors",
    "testing",
    "timeout",
    "unless_draining",
]


def __getattr__(name: str) -> Any:
    # Tests only: not worth its import time in a service.
    if name == "testing":
        import importlib

        return importlib.import_module("kit.testing")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
