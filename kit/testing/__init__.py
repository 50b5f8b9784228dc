"""For tests of services that use the kit: a clock moved by hand, a server in the process, scripted faults.

Public. Nothing here is imported by the rest of the kit.
"""

from kit.testing.clock import VirtualClock
from kit.testing.faults import Fault, Faults, Seen
from kit.testing.inprocess import InProcess

__all__ = ["Fault", "Faults", "InProcess", "Seen", "VirtualClock"]
