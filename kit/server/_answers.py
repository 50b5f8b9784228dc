"""What an error that leaves a handler becomes on the wire. Pure; `kit.server._layers.map_errors` sends it.

Prepared                      the answer that it brings
StatusError                   its own code, message and details; one that cannot be written down is a defect
a failed call made inside     UNAVAILABLE, DEADLINE_EXCEEDED or CANCELLED in words of our own; with any other status
                              the handler did not expect the failure: a defect
anything else                 a defect: INTERNAL with an id that the log has, and nothing else
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import grpc
import grpc.aio
from google.rpc import status_pb2

from kit.errors import STATUS_DETAILS_KEY, Internal, StatusError
from kit.resilience.retry import StopReason

PUSHBACK_KEY = "grpc-retry-pushback-ms"
#: Characters of a message that are sent; a quarter of it where some are not ASCII: those take up to 12 bytes each.
MAX_MESSAGE = 1024
#: Bytes of google.rpc.Status that are sent: a client refuses trailers of more than 8 KiB in all.
MAX_STATUS = 3072

_INT32_MAX = 2**31 - 1
_PUSHBACK_CODES = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.ABORTED})
#: Reasons in a call's report after which one more round of attempts, asked for from further up, would only add load.
_NO_MORE = frozenset(reason.name for reason in StopReason if reason.no_more)
_DOWNSTREAM = {
    grpc.StatusCode.UNAVAILABLE: (grpc.StatusCode.UNAVAILABLE, "a service that this call needs is not available"),
    grpc.StatusCode.RESOURCE_EXHAUSTED: (grpc.StatusCode.UNAVAILABLE, "a service that this call needs is overloaded"),
    grpc.StatusCode.DEADLINE_EXCEEDED: (
        grpc.StatusCode.DEADLINE_EXCEEDED,
        "a service that this call needs did not answer in time",
    ),
    grpc.StatusCode.CANCELLED: (grpc.StatusCode.CANCELLED, "a call that this call needs was cancelled"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """A status as it is sent. `error_id` is set for a defect, which is logged under it."""

    code: grpc.StatusCode
    message: str
    trailing: tuple[tuple[str, str | bytes], ...]
    error_id: str = ""


class Prepared(Exception):  # noqa: N818 - what it stands for may be no error at all
    """Ends a call with an answer that was made before, for what has to be cheap."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.message)
        self.answer = answer


def answer_to(error: BaseException, new_id: Callable[[], str]) -> Answer:
    """The answer to `error`. `new_id` is called for a defect only."""
    if isinstance(error, Prepared):
        return error.answer
    if isinstance(error, StatusError):
        try:
            return _answer(error.to_status(), error.code, pushback=_pushback(error))
        except Exception as fault:  # noqa: BLE001 - it holds what no status can: a defect of who raised it
            error.add_note(f"its status cannot be sent: {type(fault).__name__}: {fault}")
    if isinstance(error, grpc.aio.AioRpcError) and error.code() in _DOWNSTREAM:
        code, message = _DOWNSTREAM[error.code()]
        return _answer(
            status_pb2.Status(code=code.value[0], message=message), code, pushback=-1 if _no_more(error) else None
        )
    error_id = new_id()
    status = Internal(f"internal error, id {error_id}").to_status()
    return _answer(status, grpc.StatusCode.INTERNAL, error_id=error_id)


def _answer(
    status: status_pb2.Status, code: grpc.StatusCode, *, pushback: int | None = None, error_id: str = ""
) -> Answer:
    limit = MAX_MESSAGE if status.message.isascii() else MAX_MESSAGE // 4
    if len(status.message) > limit:
        status.message = status.message[: limit - 3] + "..."
    while status.details and status.ByteSize() > MAX_STATUS:
        # The largest goes first: a code and a reason say more than a long list of fields.
        largest = max(range(len(status.details)), key=lambda index: status.details[index].ByteSize())
        del status.details[largest]
    trailing: list[tuple[str, str | bytes]] = [(STATUS_DETAILS_KEY, status.SerializeToString())]
    if pushback is not None:
        trailing.append((PUSHBACK_KEY, str(pushback)))
    return Answer(code=code, message=status.message, trailing=tuple(trailing), error_id=error_id)


def _pushback(error: StatusError) -> int | None:
    if error.retry_after is None or error.code not in _PUSHBACK_CODES:
        return None
    return min(max(0, round(error.retry_after * 1000)), _INT32_MAX)


def _no_more(error: grpc.aio.AioRpcError) -> bool:
    """Whether the failed call's retries were used up or refused, here or further down."""
    report = getattr(error, "report", None)
    if getattr(report, "stop_reason", None) in _NO_MORE:
        return True
    return any(key == PUSHBACK_KEY and str(value).startswith("-") for key, value in error.trailing_metadata() or ())
