"""The layer that writes the access log: a line for each call that was served, in the channel "access".

It stands just inside the telemetry, so the line has the trace's ids, and outside of what maps errors, so it has the
status that the client gets. A call costs a line only where the log is on: `wrap` returns `inner` where it is off.
"""

from __future__ import annotations

import logging
import math
import os
import random
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import grpc
from google.protobuf.message import Message

from kit.call import deadline
from kit.clock import SYSTEM, Clock
from kit.errors import ConfigurationError
from kit.observe import tracing
from kit.observe.channels import ACCESS, route_of, write
from kit.observe.redaction import redacted_text
from kit.server._call import Handler, Serialized, ServerCall, ServerMethod

__all__ = ["AccessLayer", "AccessLog", "access_log"]

#: Probes come every few seconds and tell nothing.
_HEALTH = "grpc.health.v1.Health"
#: Characters of what a client wrote that are printed.
_MAX_TEXT = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class AccessLog:
    """Which of the calls that were served get a line: all that failed, and of those that ended OK

    `sample`, a share from 0 to 1, and those that took longer than `slow` seconds (None: how long does not matter).
    """

    sample: float = 1.0
    slow: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.sample <= 1:
            raise ConfigurationError(f"access log: sample: a share from 0 to 1 is needed, not {self.sample!r}")
        if self.slow is not None and not (math.isfinite(self.slow) and self.slow >= 0):
            raise ConfigurationError(f"access log: slow: seconds are needed, 0 or more, not {self.slow!r}")


def access_log(asked: AccessLog | bool | None, environ: Mapping[str, str] | None = None) -> AccessLog | None:
    """What is to be written; None for nothing. `asked` None leaves it to KIT_LOG_ACCESS, which is off if not set.

    What `asked` does not say comes from KIT_LOG_ACCESS_SAMPLE and KIT_LOG_ACCESS_SLOW. Raises ConfigurationError.
    """
    if isinstance(asked, AccessLog):
        return asked
    env = os.environ if environ is None else environ
    route = route_of(ACCESS, env)
    if asked is False or (route is not None and route.off) or (asked is None and route is None):
        return None
    sample, slow = _number(env, "KIT_LOG_ACCESS_SAMPLE"), _number(env, "KIT_LOG_ACCESS_SLOW")
    return AccessLog(sample=1.0 if sample is None else sample, slow=slow)


class AccessLayer:
    """See the module."""

    name = "access"

    def __init__(
        self, wanted: AccessLog | None, clock: Clock = SYSTEM, chance: Callable[[], float] = random.random
    ) -> None:
        self._wanted = wanted
        self._clock = clock
        self._chance = chance

    def wrap(self, method: ServerMethod, inner: Handler) -> Handler:
        """See `Layer`."""
        if self._wanted is None or method.service == _HEALTH:
            return inner
        sample, chance, now = self._wanted.sample, self._chance, self._clock.now
        slow = math.inf if self._wanted.slow is None else self._wanted.slow
        ok = grpc.StatusCode.OK

        async def handle(call: ServerCall) -> Any:
            began = now()
            # Read at once: a call that its client or the deadline ended has none any more.
            peer = call.context.peer()
            response = None
            try:
                response = await inner(call)
                return response
            finally:
                seconds = now() - began
                if call.code is not ok or sample == 1.0 or seconds > slow or chance() < sample:
                    _write(call, peer, seconds, response)

        return handle


def _write(call: ServerCall, peer: str, seconds: float, response: Any) -> None:
    level = logging.WARNING if call.code in tracing.SERVER_FAULTS else logging.INFO
    fields: dict[str, Any] = {
        "method": call.method,
        "code": call.code.name,
        "duration_ms": round(seconds * 1000, 3),
        "peer": peer_of(peer),
    }
    if call.details and call.code is not grpc.StatusCode.OK:
        fields["details"] = redacted_text(call.details[:_MAX_TEXT])
    if call.principal is not None:
        fields["principal"] = str(getattr(call.principal, "name", call.principal))
    left = deadline().remaining()
    if left is not None and math.isfinite(left):
        fields["deadline_left_ms"] = round(left * 1000, 3)
    for key, value in call.metadata:
        if key == "x-request-id" and isinstance(value, str):
            fields["request_id"] = redacted_text(value[:_MAX_TEXT])
            break
    if isinstance(call.request, Message):
        fields["request_bytes"] = call.request.ByteSize()
    if isinstance(response, Serialized):
        fields["response_bytes"] = len(response.raw)
    write(ACCESS, level, "served", **fields)


@lru_cache(maxsize=1024)
def peer_of(peer: str) -> str:
    """ "127.0.0.1:50051" or "[::1]:50051" of what grpc calls the other end."""
    kind, _, address = peer.partition(":")
    return urllib.parse.unquote(address) if kind in ("ipv4", "ipv6") else peer


def _number(env: Mapping[str, str], name: str) -> float | None:
    text = env.get(name, "").strip()
    try:
        return float(text) if text else None
    except ValueError:
        raise ConfigurationError(f"{name}: a number is needed, not {text!r}") from None
