"""Resilient, observable gRPC services in Python, with policy declared in the .proto.

    channel = kit.channel("local:///search")          # or kit.client_interceptors() on a stock grpc.aio channel
    server = kit.Server("search").add(servicer, add_SearchServiceServicer_to_server)

The names here are the public ones, with those of `kit.errors`, `kit.observe`, `kit.discovery`, `kit.policy` and
`kit.testing`. `docs/architecture.md` has the picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kit import auth, discovery, errors, observe, policy
from kit.auth import principal
from kit.call import Attempt, CallReport, Deadline, background, deadline, priority, report, reports, timeout
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
from kit.resilience.admission_rules import Admission
from kit.server import AccessLog, ConnectionLimits, Server, ServerTls, run, server_interceptors, unless_draining
from kit.server.idempotency import idempotency_key

if TYPE_CHECKING:
    from kit import events, testing

__all__ = [
    "AccessLog",
    "Admission",
    "Attempt",
    "AuthPolicy",
    "BalanceKind",
    "BalancePolicy",
    "BreakerKind",
    "BreakerPolicy",
    "CallReport",
    "ConcurrencyPolicy",
    "ConnectionLimits",
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
    "ServerTls",
    "TlsFiles",
    "auth",
    "background",
    "channel",
    "client_interceptors",
    "data_dir",
    "deadline",
    "discovery",
    "errors",
    "events",
    "idempotency_key",
    "observe",
    "policy",
    "principal",
    "priority",
    "report",
    "reports",
    "run",
    "server_interceptors",
    "testing",
    "timeout",
    "unless_draining",
]


def __getattr__(name: str) -> Any:
    # For tests, and for who tells or hears of events: not worth their import time in every program.
    if name in ("events", "testing"):
        import importlib

        return importlib.import_module(f"kit.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
