"""Telemetry: spans of calls over the OpenTelemetry SDK, structured logs, and the switch that turns both on.

Decisions about calls live elsewhere; this room only tells what happened.
"""

from kit.observe._setup import Telemetry, setup
from kit.observe.logging import configure as configure_logging
from kit.observe.logging import get_logger

__all__ = ["Telemetry", "configure_logging", "get_logger", "setup"]
