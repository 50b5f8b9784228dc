"""Keeping processes alive: when to start one again, a supervisor that does it, and how a process is told to stop."""

from kit.recovery.stopping import StopRequest, watch_parent

__all__ = ["StopRequest", "watch_parent"]
