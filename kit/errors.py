"""Every error of the kit.

    KitError
    |-- ConfigurationError            something that was written down is wrong; found before anything is sent
    |   `-- PolicyError               a policy that contradicts itself or is unsafe: names method, field and reason
    |-- UsageError                    the kit is used in a way that cannot work: two event loops, a call after fork
    |   |-- UsageTypeError            an argument of a type that cannot work; a TypeError as well
    |   |-- UsageValueError           an argument that nobody can mean; a ValueError as well
    |   `-- InvalidMetadata           metadata that cannot be sent; whatever grpc.aio raises for it as well
    `-- StatusError                   raised by a handler; becomes google.rpc.Status with details on the wire
        |-- InvalidArgument FailedPrecondition OutOfRange Unauthenticated PermissionDenied NotFound
        |-- AlreadyExists Aborted ResourceExhausted Cancelled DataLoss Unknown Internal
        `-- Unimplemented Unavailable DeadlineExceeded

    grpc.aio.AioRpcError
    |-- CallRefused                   never sent: refused here
    |   |-- DeadlineExpired           no time was left
    |   |-- NoEndpoint                no address to send to, or none that is healthy
    |   |-- InvalidIdempotencyKey     the caller's own idempotency-key metadata is no key
    |   |-- MetadataTooLarge          the caller's metadata is more than servers take
    |   |-- TooManyCalls              as many calls as the policy allows are in flight
    |   `-- BreakerOpen               circuit breakers refuse; an aiobreaker.CircuitBreakerError as well
    `-- CallFailed                    sent, and failed there (or its time ran out on the way)

Both kinds of client error carry the call's report as ``report``. Refused here and failed there differ in type, so that
a caller can tell "it certainly did not happen" from "it may have happened".
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, ClassVar

import aiobreaker
import grpc
import grpc.aio
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

if TYPE_CHECKING:
    from kit.call import CallReport

__all__ = [
    "Aborted",
    "AlreadyExists",
    "BreakerOpen",
    "CallFailed",
    "CallRefused",
    "Cancelled",
    "ConfigurationError",
    "DataLoss",
    "DeadlineExceeded",
    "DeadlineExpired",
    "ErrorDetails",
    "FailedPrecondition",
    "FieldViolation",
    "Internal",
    "InvalidArgument",
    "InvalidIdempotencyKey",
    "InvalidMetadata",
    "KitError",
    "MetadataTooLarge",
    "NoEndpoint",
    "NotFound",
    "OutOfRange",
    "PermissionDenied",
    "PolicyError",
    "ResourceExhausted",
    "StatusError",
    "TooManyCalls",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "Unknown",
    "UsageError",
    "UsageTypeError",
    "UsageValueError",
    "details_of",
]

STATUS_DETAILS_KEY = "grpc-status-details-bin"


class KitError(Exception):
    """Base of what the kit raises, apart from the errors of calls."""


class ConfigurationError(KitError):
    """A setting is missing, impossible or contradicts another one."""


class PolicyError(ConfigurationError):
    """A policy is refused.

    `method` is "/package.Service/Method", "" when it is about all; `field` is the dotted field name.
    """

    def __init__(self, method: str, field: str, reason: str) -> None:
        super().__init__(f"{method or 'policy'}: {field}: {reason}" if field else f"{method or 'policy'}: {reason}")
        self.method = method
        self.field = field
        self.reason = reason


class UsageError(KitError):
    """The kit is used in a way that cannot work."""


class UsageTypeError(UsageError, TypeError):
    """An argument is of a type that cannot work."""


class UsageValueError(UsageError, ValueError):
    """An argument is of a value that nobody can mean."""


class InvalidMetadata(UsageError, ValueError, TypeError, grpc.aio.InternalError):
    """The metadata of a call cannot be sent: it is no sequence of pairs, or a key or value is none that gRPC takes.

    grpc.aio raises ValueError, TypeError or InternalError, according to what is wrong; this is each of them.
    """


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field of a request that is wrong. `field` is dotted, as in the .proto."""

    field: str
    description: str


class StatusError(KitError):
    """What a handler raises to end its call with a status.

    `message` is for a person and is sent. `reason` (UPPER_SNAKE_CASE) and `domain` are for programs and go into
    google.rpc.ErrorInfo with `metadata`; `violations` into BadRequest; `retry_after` (seconds) into RetryInfo. Nothing
    else of the exception, and nothing of its cause, reaches the caller.
    """

    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.UNKNOWN

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        domain: str = "",
        metadata: Mapping[str, str] | None = None,
        violations: Iterable[FieldViolation] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.domain = domain
        self.metadata: dict[str, str] = dict(metadata or {})
        self.violations: tuple[FieldViolation, ...] = tuple(violations)
        self.retry_after = retry_after

    def to_status(self) -> status_pb2.Status:
        """The google.rpc.Status that says the same."""
        status = status_pb2.Status(code=self.code.value[0], message=sendable(self.message))
        if self.reason:
            info = error_details_pb2.ErrorInfo(reason=self.reason, domain=self.domain, metadata=self.metadata)
            status.details.append(_packed(info))
        if self.violations:
            bad = error_details_pb2.BadRequest()
            for violation in self.violations:
                bad.field_violations.add(field=sendable(violation.field), description=sendable(violation.description))
            status.details.append(_packed(bad))
        if self.retry_after is not None:
            delay = duration_pb2.Duration()
            delay.FromNanoseconds(round(self.retry_after * 1e9))
            status.details.append(_packed(error_details_pb2.RetryInfo(retry_delay=delay)))
        return status


class InvalidArgument(StatusError):
    """The request is wrong whatever the state of the system."""

    code = grpc.StatusCode.INVALID_ARGUMENT


class FailedPrecondition(StatusError):
    """The request is right, but the system is not in the state that it needs."""

    code = grpc.StatusCode.FAILED_PRECONDITION


class OutOfRange(StatusError):
    """Past the end of what there is."""

    code = grpc.StatusCode.OUT_OF_RANGE


class Unauthenticated(StatusError):
    """It is not known who calls."""

    code = grpc.StatusCode.UNAUTHENTICATED


class PermissionDenied(StatusError):
    """The caller is known and may not."""

    code = grpc.StatusCode.PERMISSION_DENIED


class NotFound(StatusError):
    """What was named does not exist."""

    code = grpc.StatusCode.NOT_FOUND


class AlreadyExists(StatusError):
    """What was to be made exists."""

    code = grpc.StatusCode.ALREADY_EXISTS


class Aborted(StatusError):
    """Lost against a concurrent change; the caller may start over."""

    code = grpc.StatusCode.ABORTED


class ResourceExhausted(StatusError):
    """A quota or limit is used up."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class Cancelled(StatusError):
    """The caller, or the server on its behalf, gave up."""

    code = grpc.StatusCode.CANCELLED


class DataLoss(StatusError):
    """Stored data is damaged."""

    code = grpc.StatusCode.DATA_LOSS


class Unknown(StatusError):
    """Something that has no better code."""

    code = grpc.StatusCode.UNKNOWN


class Internal(StatusError):
    """A defect."""

    code = grpc.StatusCode.INTERNAL


class Unimplemented(StatusError):
    """The server has no such method, or not this part of it."""

    code = grpc.StatusCode.UNIMPLEMENTED


class Unavailable(StatusError):
    """Not now; trying again may help."""

    code = grpc.StatusCode.UNAVAILABLE


class DeadlineExceeded(StatusError):
    """There was no time left."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED


class _CallError(grpc.aio.AioRpcError):
    """An AioRpcError that knows its call's report."""

    def __init__(
        self,
        code: grpc.StatusCode,
        details: str,
        *,
        report: CallReport | None = None,
        initial_metadata: grpc.aio.Metadata | None = None,
        trailing_metadata: grpc.aio.Metadata | None = None,
        debug_error_string: str | None = None,
    ) -> None:
        super().__init__(
            code,
            initial_metadata if initial_metadata is not None else grpc.aio.Metadata(),
            trailing_metadata if trailing_metadata is not None else grpc.aio.Metadata(),
            details=details,
            debug_error_string=debug_error_string,
        )
        self.report = report

    def __str__(self) -> str:
        """For people: the status, and where the time went. `details()` is the server's text, as it came."""
        said = f"{self.code().name}: {self.details()}"
        return said if self.report is None else f"{said} ({self.report.course()})"


class CallRefused(_CallError):
    """The call was refused before anything was sent: it did not happen."""


class DeadlineExpired(CallRefused):
    """The deadline had passed when the call was made."""

    def __init__(self, details: str, *, report: CallReport | None = None) -> None:
        super().__init__(grpc.StatusCode.DEADLINE_EXCEEDED, details, report=report)


class NoEndpoint(CallRefused):
    """There is no endpoint to send to."""

    def __init__(self, details: str, *, report: CallReport | None = None) -> None:
        super().__init__(grpc.StatusCode.UNAVAILABLE, details, report=report)


class InvalidIdempotencyKey(CallRefused):
    """The `idempotency-key` metadata that the caller gave is no key: one value of 1 to 255 visible ASCII characters."""

    def __init__(self, details: str, *, report: CallReport | None = None) -> None:
        super().__init__(grpc.StatusCode.INVALID_ARGUMENT, details, report=report)


class MetadataTooLarge(CallRefused):
    """The metadata that the caller gave is more than servers take, which is 16 KiB unless they are told otherwise.

    `size` and `limit` are in bytes, as HTTP/2 counts them: 32 for each pair, and key and value. `key` is that of the
    largest pair.
    """

    def __init__(
        self, details: str, *, size: int = 0, limit: int = 0, key: str = "", report: CallReport | None = None
    ) -> None:
        super().__init__(grpc.StatusCode.RESOURCE_EXHAUSTED, details, report=report)
        self.size = size
        self.limit = limit
        self.key = key


class TooManyCalls(CallRefused):
    """As many calls of the channel as its policy allows are in flight, and no more may wait (`concurrency`).

    `limit` is how many may run, as of the refusal, and `queued` how many wait.
    """

    def __init__(self, details: str, *, limit: int = 0, queued: int = 0, report: CallReport | None = None) -> None:
        super().__init__(grpc.StatusCode.UNAVAILABLE, details, report=report)
        self.limit = limit
        self.queued = queued


class _Breaker(aiobreaker.CircuitBreakerError):  # type: ignore[misc]  # aiobreaker ships no types
    """Its constructor takes nothing, as that of any other base of a call's error."""

    def __init__(self) -> None:
        Exception.__init__(self)


class BreakerOpen(CallRefused, _Breaker):
    """The circuit breakers of all endpoints that the call could go to refuse it.

    `states` is the state of each endpoint's breaker. `retry_after` is in seconds from the refusal: when the first of
    them lets a probe through. It is 0 while probes are under way and infinite where a breaker is held open.
    `reopen_time` is the same as aiobreaker has it: local time, without a zone.
    """

    def __init__(
        self,
        details: str,
        *,
        endpoints: tuple[str, ...] = (),
        states: Mapping[str, str] | None = None,
        retry_after: float = 0.0,
        reopen_time: datetime = datetime.max,  # noqa: DTZ901 - without a zone, as aiobreaker has it
        report: CallReport | None = None,
    ) -> None:
        super().__init__(grpc.StatusCode.UNAVAILABLE, details, report=report)
        self.message = details
        self.endpoints = endpoints
        self.states: Mapping[str, str] = states if states is not None else {}
        self.retry_after = retry_after
        self.reopen_time = reopen_time

    @property
    def time_remaining(self) -> timedelta:
        """How long after the refusal probes are let through."""
        return timedelta.max if self.retry_after == math.inf else timedelta(seconds=self.retry_after)

    async def sleep_until_open(self) -> None:
        """Waits for `retry_after` seconds, counted from here."""
        await asyncio.sleep(self.retry_after)


class CallFailed(_CallError):
    """The call was sent and failed."""


@dataclass(frozen=True, slots=True)
class ErrorDetails:
    """The details of a failed call, as far as the server gave any."""

    code: grpc.StatusCode
    message: str
    reason: str = ""
    domain: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: tuple[FieldViolation, ...] = ()
    #: Seconds, or None.
    retry_after: float | None = None


def details_of(error: grpc.aio.AioRpcError) -> ErrorDetails:
    """Reads google.rpc.Status and its standard details from a failed call's trailing metadata."""
    code, message = error.code(), error.details() or ""
    raw = next((value for key, value in error.trailing_metadata() or () if key == STATUS_DETAILS_KEY), None)
    if not isinstance(raw, bytes):
        return ErrorDetails(code, message)
    status = status_pb2.Status()
    try:
        status.ParseFromString(raw)
    except Exception:  # noqa: BLE001 - protobuf's DecodeError differs by implementation; a damaged detail is no detail
        return ErrorDetails(code, message)
    return parse_details(status, code)


def parse_details(status: status_pb2.Status, code: grpc.StatusCode | None = None) -> ErrorDetails:
    """The same from a google.rpc.Status; details of unknown types are skipped."""
    reason = domain = ""
    metadata: dict[str, str] = {}
    violations: list[FieldViolation] = []
    retry_after: float | None = None
    for detail in status.details:
        info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            reason, domain, metadata = info.reason, info.domain, dict(info.metadata)
        elif detail.Unpack(bad):
            violations += [FieldViolation(v.field, v.description) for v in bad.field_violations]
        elif detail.Unpack(retry):
            retry_after = retry.retry_delay.ToNanoseconds() / 1e9
    return ErrorDetails(
        code or code_from_int(status.code), status.message, reason, domain, metadata, tuple(violations), retry_after
    )


def code_from_int(number: int) -> grpc.StatusCode:
    """The status code of a number on the wire; UNKNOWN for one that does not exist."""
    return _BY_NUMBER.get(number, grpc.StatusCode.UNKNOWN)


_BY_NUMBER: Mapping[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}
assert set(_BY_NUMBER) == set(code_pb2.Code.values())


def sendable(text: str) -> str:
    """The text without lone surrogates, as names of files have them: UTF-8 has none. For each there is a "?"."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _packed(
    message: error_details_pb2.ErrorInfo | error_details_pb2.BadRequest | error_details_pb2.RetryInfo,
) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed
