"""Telemetry: spans and metrics of calls, structured logs, and the switch that turns them on.

Decisions about calls live elsewhere; this room only tells what happened.
"""

from kit.observe import metrics
from kit.observe._setup import Telemetry, setup
from kit.observe.logging import configure as configure_logging
from kit.observe.logging import get_logger

__all__ = ["Telemetry", "configure_logging", "get_logger", "metrics", "setup"]
