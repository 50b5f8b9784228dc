"""Health: what a process knows of itself and of what it needs, and what it says of that over grpc.health.v1.

`registry` has the components and checks them in the background (`_component` one of them, `checks` what is ready to be
used), `events` is what it tells, `loop` watches the event loop, `service` is grpc.health.v1, `port` a port for it
alone, `process` puts all of it together for a server, whose methods for it are in `face`, and `snapshot` makes a
document of it. What checks add up to is decided in `kit.resilience`. What a client thinks of the endpoints of its
channels is no part of it; that is in `kit.client`.
"""

from kit.health.checks import DiskSpace, GrpcHealth, OpenFiles, TcpPort
from kit.health.events import HealthChanged, HealthEvent, LatencyAnomaly
from kit.health.face import WithHealth
from kit.health.loop import LoopWatch
from kit.health.port import HealthPort
from kit.health.process import ProcessHealth
from kit.health.registry import HealthRegistry
from kit.health.result import Finding, HealthLayer, HealthResult
from kit.health.service import LIVENESS, OVERALL, READINESS, STARTUP, HealthService
from kit.health.snapshot import merge_snapshots, snapshot
from kit.resilience.pulse import Health

__all__ = [
    "LIVENESS",
    "OVERALL",
    "READINESS",
    "STARTUP",
    "DiskSpace",
    "Finding",
    "GrpcHealth",
    "Health",
    "HealthChanged",
    "HealthEvent",
    "HealthLayer",
    "HealthPort",
    "HealthRegistry",
    "HealthResult",
    "HealthService",
    "LatencyAnomaly",
    "LoopWatch",
    "OpenFiles",
    "ProcessHealth",
    "TcpPort",
    "WithHealth",
    "merge_snapshots",
    "snapshot",
]
