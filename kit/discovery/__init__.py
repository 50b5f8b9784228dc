"""Finding services on one machine: the data folder, the local registry, ports and who holds them.

What dials an address lives in `kit.client`; discovery through DNS or Kubernetes needs nothing from here.
"""

from kit.discovery._entry import Instance
from kit.discovery._port_facts import PortCheck, PortConflict, PortStatistics
from kit.discovery.allocation import Ports
from kit.discovery.leases import LeasedPort, PortLease
from kit.discovery.paths import data_dir
from kit.discovery.ports import find_port, is_available, port_of
from kit.discovery.registry import Registration, Registry

__all__ = [
    "Instance",
    "LeasedPort",
    "PortCheck",
    "PortConflict",
    "PortLease",
    "PortStatistics",
    "Ports",
    "Registration",
    "Registry",
    "data_dir",
    "find_port",
    "is_available",
    "port_of",
]
