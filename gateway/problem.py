"""How a refusal looks: application/problem+json (RFC 9457), with sentences for people and no internals.

A gRPC status maps to an HTTP status by one table. The sentence of a service is passed on where the service wrote it for
its caller; what a transport or a defect put there is replaced, because it names addresses, classes and files.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import grpc

from kit.errors import CallRefused, ErrorDetails, FieldViolation, StatusError, details_of

__all__ = ["HTTP_OF_CODE", "Problem", "RefusedError", "of_call", "of_status_error", "refused"]

MEDIA_TYPE = b"application/problem+json"
QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"
#: Not in any standard: the client closed the request. Nobody reads the answer; the log does.
CLIENT_CLOSED = 499

_C = grpc.StatusCode
HTTP_OF_CODE: Mapping[grpc.StatusCode, int] = {
    _C.OK: 200,
    _C.CANCELLED: CLIENT_CLOSED,
    _C.UNKNOWN: 500,
    _C.INTERNAL: 500,
    _C.DATA_LOSS: 500,
    _C.INVALID_ARGUMENT: 400,
    _C.FAILED_PRECONDITION: 400,
    _C.OUT_OF_RANGE: 400,
    _C.DEADLINE_EXCEEDED: 504,
    _C.NOT_FOUND: 404,
    _C.ALREADY_EXISTS: 409,
    _C.ABORTED: 409,
    _C.PERMISSION_DENIED: 403,
    _C.RESOURCE_EXHAUSTED: 429,
    _C.UNIMPLEMENTED: 501,
    _C.UNAVAILABLE: 503,
    _C.UNAUTHENTICATED: 401,
}

#: Where a reason says more than the code. A key that was sent before with another request: IETF's Idempotency-Key.
_HTTP_OF_REASON = {"IDEMPOTENCY_KEY_REUSED": 422}

#: Codes that grpc itself uses for what it has to say: the sentence is a service's only where a reason stands beside it.
_OFTEN_INTERNAL = frozenset(
    {_C.UNKNOWN, _C.INTERNAL, _C.DATA_LOSS, _C.UNAVAILABLE, _C.DEADLINE_EXCEEDED, _C.UNIMPLEMENTED, _C.CANCELLED}
)
#: How a kit server names a defect: the id stands in its log, and nothing else is said.
_DEFECT_ID = re.compile(r"internal error, id [0-9a-f]+")
_TOO_LARGE = re.compile(r"message larger than max", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One refusal. `detail` is a sentence for a person; `code` a gRPC status by name."""

    status: int
    detail: str
    code: str
    type: str = "about:blank"
    title: str = ""
    reason: str = ""
    domain: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: tuple[FieldViolation, ...] = ()
    #: Seconds after which it makes sense to come back, or None.
    retry_after: float | None = None
    #: HTTP headers that go with it, beside Retry-After.
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def document(self, *, instance: str, request_id: str) -> dict[str, Any]:
        """The JSON object. Parts that have nothing to say are left out."""
        found: dict[str, Any] = {
            "type": self.type,
            "title": self.title or _title(self.status),
            "status": self.status,
            "detail": self.detail,
            "instance": instance,
            "code": self.code,
        }
        if self.reason:
            found |= {"reason": self.reason, "domain": self.domain, "metadata": dict(self.metadata)}
        if self.violations:
            found["violations"] = [{"field": one.field, "description": one.description} for one in self.violations]
        found["request_id"] = request_id
        return found

    def encode(self, *, instance: str, request_id: str) -> bytes:
        """The body of an answer."""
        return to_json(self.document(instance=instance, request_id=request_id))

    @property
    def retry_header(self) -> tuple[tuple[bytes, bytes], ...]:
        """Retry-After in whole seconds, rounded up, at least 1; empty where there is nothing to wait for."""
        if self.retry_after is None:
            return ()
        return ((b"retry-after", b"%d" % max(1, math.ceil(self.retry_after))),)


class RefusedError(Exception):
    """Ends a request with a problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def refused(
    status: int, code: grpc.StatusCode, reason: str, detail: str, *, headers: tuple[tuple[bytes, bytes], ...] = ()
) -> RefusedError:
    """A refusal by the gateway itself."""
    return RefusedError(
        Problem(status=status, code=code.name, reason=reason, domain="gateway", detail=detail, headers=headers)
    )


def of_status_error(error: StatusError) -> Problem:
    """The problem of an error that the gateway's own code raised."""
    details = ErrorDetails(
        error.code,
        error.message,
        error.reason,
        error.domain,
        error.metadata,
        error.violations,
        error.retry_after,
    )
    return _of(details, error.message)


def of_call(error: grpc.aio.AioRpcError, upstream: str) -> Problem:
    """The problem of a call that failed. `upstream` is the service's name in the configuration."""
    details = details_of(error)
    if isinstance(error, CallRefused) and details.code is _C.UNAVAILABLE:
        return _of(details, f"No {upstream} service can be reached just now. Try again in a moment.")
    return _of(details, _sentence(details, upstream))


def _of(details: ErrorDetails, sentence: str) -> Problem:
    status = _HTTP_OF_REASON.get(details.reason, HTTP_OF_CODE[details.code])
    return Problem(
        status=status,
        code=details.code.name,
        detail=sentence,
        reason=details.reason,
        domain=details.domain,
        metadata=details.metadata,
        violations=details.violations,
        retry_after=details.retry_after,
    )


def _sentence(details: ErrorDetails, upstream: str) -> str:
    code, message = details.code, details.message
    if code is _C.RESOURCE_EXHAUSTED and not details.reason and _TOO_LARGE.search(message):
        return "The request or its answer is larger than one message may be. Ask for less at a time."
    if code not in _OFTEN_INTERNAL or (details.reason and message):
        return message or f"The {upstream} service refused the request without saying why."
    if code is _C.UNAVAILABLE:
        return f"The {upstream} service cannot be reached just now. Try again in a moment."
    if code is _C.DEADLINE_EXCEEDED:
        return f"The {upstream} service did not answer in time. Try again, or ask for less."
    if code is _C.UNIMPLEMENTED:
        return f"The {upstream} service does not offer this."
    if code is _C.CANCELLED:
        return "The request was cancelled."
    defect = _DEFECT_ID.fullmatch(message)
    where = f" ({defect[0]})" if defect else ""
    return f"The {upstream} service failed on this request{where}. Its log knows more."


def to_json(document: Any) -> bytes:
    """Compact JSON in UTF-8."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _title(status: int) -> str:
    if status == CLIENT_CLOSED:
        return "Client Closed Request"
    return HTTPStatus(status).phrase
