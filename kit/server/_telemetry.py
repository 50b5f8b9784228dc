"""What is told of each call that is served."""

from __future__ import annotations

from typing import Any

from kit.observe import tracing
from kit.server._call import Handler, ServerCall, ServerMethod

#: Probes come every few seconds and tell nothing.
_UNTRACED = "/grpc.health.v1.Health/"


class TelemetryLayer:
    """A SERVER span for the call; current while the handler runs, so that logs and calls made inside belong to it."""

    name = "telemetry"

    def wrap(self, method: ServerMethod, inner: Handler) -> Handler:
        if method.path.startswith(_UNTRACED):
            return inner

        async def handle(call: ServerCall) -> Any:
            if not tracing.enabled():
                return await inner(call)
            span = tracing.server_span(call.method, call.metadata)
            try:
                with tracing.current(span):
                    return await inner(call)
            finally:
                tracing.end_span(span, call.code, call.details)

        return handle
