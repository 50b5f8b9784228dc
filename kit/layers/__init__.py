"""The layers of a call on the client side, each a thin driver of something that decides elsewhere.

    report > trace call > deadline > retry > balance > attempt > trace attempt > transport

`balance` and the transport live in `kit.client`, because they know endpoints. What is decided by figures is in
`kit.resilience`.
"""

from kit.layers.attempt import AttemptLayer, TraceAttemptLayer
from kit.layers.deadline import DeadlineLayer
from kit.layers.report import ReportLayer
from kit.layers.retry import RetryLayer
from kit.layers.trace import TraceCallLayer

__all__ = [
    "AttemptLayer",
    "DeadlineLayer",
    "ReportLayer",
    "RetryLayer",
    "TraceAttemptLayer",
    "TraceCallLayer",
]
