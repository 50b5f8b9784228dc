"""For tests of services that use the kit: a clock moved by hand, a server in the process, scripted faults, simulations.

`plugin` has the same as fixtures of pytest. Public. Nothing here is imported by the rest of the kit.
"""

from kit.testing.clock import VirtualClock
from kit.testing.faults import Fault, Faults, Seen
from kit.testing.inprocess import InProcess
from kit.testing.plan import FaultPlan, Fixed, Latency, Lognormal, Outage, OutageKind, Phase, Uniform, load_plan
from kit.testing.simulator import Load, SimulationResult, simulate
from kit.testing.virtual_loop import LoopClock, run_virtually

__all__ = [
    "Fault",
    "FaultPlan",
    "Faults",
    "Fixed",
    "InProcess",
    "Latency",
    "Load",
    "Lognormal",
    "LoopClock",
    "Outage",
    "OutageKind",
    "Phase",
    "Seen",
    "SimulationResult",
    "Uniform",
    "VirtualClock",
    "load_plan",
    "run_virtually",
    "simulate",
]
