"""Finding services on one machine: the data folder, the local registry, ports.

What dials an address lives in `kit.client`; discovery through DNS or Kubernetes needs nothing from here.
"""

from kit.discovery._entry import Instance
from kit.discovery.paths import data_dir
from kit.discovery.ports import find_port, is_available
from kit.discovery.registry import Registration, Registry

__all__ = ["Instance", "Registration", "Registry", "data_dir", "find_port", "is_available"]
