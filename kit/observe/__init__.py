"""Telemetry: spans and metrics of calls, structured logs, and the switch that turns them on.

Decisions about calls live elsewhere; this room only tells what happened.
"""

from kit.observe import metrics
from kit.observe._setup import Telemetry, setup
from kit.observe.channels import channel
from kit.observe.logging import configure as configure_logging
from kit.observe.logging import get_logger
from kit.observe.redaction import redacted

__all__ = [
    "Telemetry",
    "access",
    "audit",
    "business",
    "channel",
    "configure_logging",
    "errors",
    "get_logger",
    "metrics",
    "redacted",
    "setup",
]

#: The loggers of the channels.
access = channel("access")
audit = channel("audit")
business = channel("business")
errors = channel("error")
