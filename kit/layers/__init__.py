"""The layers of a call on the client side, each a thin driver of something that decides elsewhere.

    report > trace call > deadline > idempotency key > fallback > replay > concurrency > (retry | hedge) > balance >
        breaker > attempt > trace attempt > transport

`replay`, `balance` and the transport live in `kit.client`, because they know endpoints and grpc's own calls. What is
decided by figures is in `kit.resilience`.
"""

from kit.layers._storage_later import StorageFactory
from kit.layers.allowance import Allowances
from kit.layers.attempt import AttemptLayer, TraceAttemptLayer
from kit.layers.breaker import BreakerLayer, Breakers
from kit.layers.concurrency import ConcurrencyLayer, Limits, Places
from kit.layers.deadline import DeadlineLayer
from kit.layers.fallback import FallbackLayer
from kit.layers.hedge import HedgeLayer
from kit.layers.idempotency import IdempotencyKeyLayer
from kit.layers.report import ReportLayer
from kit.layers.retry import RetryLayer
from kit.layers.trace import TraceCallLayer

__all__ = [
    "Allowances",
    "AttemptLayer",
    "BreakerLayer",
    "Breakers",
    "ConcurrencyLayer",
    "DeadlineLayer",
    "FallbackLayer",
    "HedgeLayer",
    "IdempotencyKeyLayer",
    "Limits",
    "Places",
    "ReportLayer",
    "RetryLayer",
    "StorageFactory",
    "TraceAttemptLayer",
    "TraceCallLayer",
]
