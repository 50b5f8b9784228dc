"""Keeping processes alive: when to start one again, who does it, and how a process is told to stop."""

from kit.recovery.recovering import NoStrategyError, Recovery, RecoveryState, Restart, Strategy
from kit.recovery.stopping import PARENT_FD, StopRequest, watch_parent
from kit.recovery.strategies import Growth, RestartPolicy, Restarts
from kit.recovery.supervisor import AliveRules, Child, ChildEvent, ChildState, Supervisor

__all__ = [
    "PARENT_FD",
    "AliveRules",
    "Child",
    "ChildEvent",
    "ChildState",
    "Growth",
    "NoStrategyError",
    "Recovery",
    "RecoveryState",
    "Restart",
    "RestartPolicy",
    "Restarts",
    "StopRequest",
    "Strategy",
    "Supervisor",
    "watch_parent",
]
