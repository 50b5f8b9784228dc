"""Health: what a server says about itself over grpc.health.v1.

What a client thinks of the health of others is no part of it.
"""

from kit.health.service import LIVENESS, OVERALL, READINESS, STARTUP, HealthService

__all__ = ["LIVENESS", "OVERALL", "READINESS", "STARTUP", "HealthService"]
