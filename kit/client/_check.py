"""One health check of one endpoint by grpc.health.v1, outside the pipeline: no retry, no breaker, no span."""

from __future__ import annotations

import asyncio
import enum
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2

from kit.client.endpoints import Endpoint, reason_in
from kit.clock import Clock

__all__ = ["MUTE", "Answer", "Checked", "check"]

CHECK = "/grpc.health.v1.Health/Check"
_SERVING = health_pb2.HealthCheckResponse.SERVING
_STATUS = health_pb2.HealthCheckResponse.ServingStatus
#: The endpoint is there and does not say how it is: it has no such service, or does not tell us.
MUTE = {
    grpc.StatusCode.UNIMPLEMENTED: "answers, and has no health service",
    grpc.StatusCode.UNAUTHENTICATED: "answers, and tells its health to nobody unknown",
    grpc.StatusCode.PERMISSION_DENIED: "answers, and does not tell us its health",
}


class Answer(enum.Enum):
    """How a check ended."""

    WELL = 1
    SAID_NO = 2
    FAILED = 3


@dataclass(frozen=True, slots=True)
class Checked:
    """A check and how it ended. Instants are of the channel's clock."""

    answer: Answer
    message: str
    began: float
    ended: float


async def check(endpoint: Endpoint, service: str, timeout: float, clock: Clock) -> Checked:
    """Asks for the status of `service`; connects where there is no connection. Raises nothing of grpc's."""
    began = clock.now()
    answer, message = await _ask(endpoint, service, timeout)
    return Checked(answer, message, began, clock.now())


async def _ask(endpoint: Endpoint, service: str, timeout: float) -> tuple[Answer, str]:
    asked = health_pb2.HealthCheckRequest(service=service)
    call: Any = None
    try:
        make: Any = endpoint.channel.unary_unary(
            CHECK,
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        call = make(asked, timeout=timeout)
        response = await call
    except grpc.aio.AioRpcError as error:
        return _failure(error, service, timeout)
    except grpc.aio.UsageError:
        return Answer.FAILED, "the connection was closed"
    except asyncio.CancelledError:
        current = asyncio.current_task()
        if current is not None and current.cancelling():
            raise
        # Closing the connection cancels its calls; nobody has cancelled us.
        return Answer.FAILED, "the connection was closed"
    if response.status == _SERVING:
        return Answer.WELL, "SERVING"
    return Answer.SAID_NO, f"answers {_STATUS.Name(response.status)}" if response.status in _STATUS.values() else (
        f"answers status {response.status}"
    )


def _failure(error: grpc.aio.AioRpcError, service: str, timeout: float) -> tuple[Answer, str]:
    code = error.code()
    if code in MUTE:
        return Answer.WELL, MUTE[code]
    if code is grpc.StatusCode.NOT_FOUND:
        return Answer.SAID_NO, f"knows no service {service!r}"
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return Answer.FAILED, f"no answer within {timeout:.3g} s"
    details = reason_in(error.details() or "")
    return Answer.FAILED, f"{code.name}: {details}" if details else code.name
