"""Keeping processes alive: when to start one again, a supervisor that does it, and how a process is told to stop."""

from kit.recovery.stopping import PARENT_FD, StopRequest, watch_parent
from kit.recovery.strategies import Growth, RestartPolicy, Restarts
from kit.recovery.supervisor import Child, ChildEvent, ChildState, Supervisor

__all__ = [
    "PARENT_FD",
    "Child",
    "ChildEvent",
    "ChildState",
    "Growth",
    "RestartPolicy",
    "Restarts",
    "StopRequest",
    "Supervisor",
    "watch_parent",
]
