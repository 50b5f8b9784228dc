"""Health: what a server says about itself over grpc.health.v1.

Looking after the health of others (the client's side of it) belongs here too, and to a later issue.
"""

from kit.health.service import LIVENESS, OVERALL, READINESS, STARTUP, HealthService

__all__ = ["LIVENESS", "OVERALL", "READINESS", "STARTUP", "HealthService"]
