"""What an error becomes on the wire."""

from __future__ import annotations

import math
from typing import Any

import grpc
import grpc.aio
import pytest
from google.rpc import status_pb2

from kit import errors
from kit.call import CallReport
from kit.resilience.retry import StopReason
from kit.server._answers import MAX_MESSAGE, MAX_STATUS, Answer, answer_to


def answer(error: BaseException) -> Answer:
    return answer_to(error, lambda: "abc")


def status_of(sent: Answer) -> status_pb2.Status:
    raw: Any = dict(sent.trailing)[errors.STATUS_DETAILS_KEY]
    return status_pb2.Status.FromString(raw)


def report(stop_reason: str) -> CallReport:
    return CallReport(
        method="/a.B/C",
        target="t",
        attempts=(),
        code=grpc.StatusCode.UNAVAILABLE,
        details="",
        duration=1,
        stop_reason=stop_reason,
    )


def failed(code: grpc.StatusCode, stop_reason: str = "OFF") -> errors.CallFailed:
    return errors.CallFailed(code, "secret", report=report(stop_reason))


def test_a_status_error_keeps_code_message_and_details() -> None:
    sent = answer(errors.AlreadyExists("there is one", reason="TWICE"))
    assert (sent.code, sent.message, sent.error_id) == (grpc.StatusCode.ALREADY_EXISTS, "there is one", "")
    assert errors.parse_details(status_of(sent)).reason == "TWICE"


@pytest.mark.parametrize(
    ("error", "pushback"),
    [
        (errors.Unavailable("x", retry_after=0.25), "250"),
        (errors.ResourceExhausted("x", retry_after=0), "0"),
        (errors.ResourceExhausted("x", retry_after=1e12), str(2**31 - 1)),
        (errors.Unavailable("x"), None),
        (errors.Aborted("x", retry_after=1), "1000"),
        (errors.FailedPrecondition("x", retry_after=1), None),
    ],
)
def test_retry_after_is_pushback_where_a_client_may_retry(error: errors.StatusError, pushback: str | None) -> None:
    assert dict(answer(error).trailing).get("grpc-retry-pushback-ms") == pushback


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAVAILABLE),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE),
        (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.DEADLINE_EXCEEDED),
        (grpc.StatusCode.CANCELLED, grpc.StatusCode.CANCELLED),
        (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INTERNAL),
        (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.INTERNAL),
    ],
)
def test_a_failed_call_made_inside_has_a_safe_answer(code: grpc.StatusCode, expected: grpc.StatusCode) -> None:
    sent = answer(failed(code))
    assert sent.code is expected
    assert "secret" not in sent.message
    assert bool(sent.error_id) == (expected is grpc.StatusCode.INTERNAL)


@pytest.mark.parametrize(("reason", "pushback"), [("ATTEMPTS_EXHAUSTED", "-1"), ("PUSHBACK", "-1"), ("OFF", None)])
def test_exhausted_retries_further_down_ask_for_no_more(reason: str, pushback: str | None) -> None:
    sent = answer(failed(grpc.StatusCode.UNAVAILABLE, reason))
    assert dict(sent.trailing).get("grpc-retry-pushback-ms") == pushback


@pytest.mark.parametrize("reason", StopReason)
def test_every_reason_to_stop_says_whether_more_is_asked_for(reason: StopReason) -> None:
    sent = answer(failed(grpc.StatusCode.UNAVAILABLE, reason.name))
    assert dict(sent.trailing).get("grpc-retry-pushback-ms") == ("-1" if reason.no_more else None)


def test_a_dont_retry_from_further_down_is_handed_up() -> None:
    trailing = grpc.aio.Metadata(("grpc-retry-pushback-ms", "-1"))
    error = grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), trailing)
    assert dict(answer(error).trailing)["grpc-retry-pushback-ms"] == "-1"


def test_a_call_refused_here_is_answered_by_its_code() -> None:
    assert answer(errors.DeadlineExpired("late")).code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert answer(errors.NoEndpoint("none")).code is grpc.StatusCode.UNAVAILABLE


def test_any_other_exception_shows_nothing_but_an_id() -> None:
    sent = answer(KeyError("internals"))
    assert (sent.code, sent.message, sent.error_id) == (grpc.StatusCode.INTERNAL, "internal error, id abc", "abc")


def test_what_is_too_long_for_the_trailers_is_cut() -> None:
    violations = [errors.FieldViolation("f" * 50, "d" * 200) for _ in range(100)]
    sent = answer(errors.InvalidArgument("m" * 9000, reason="R", violations=violations))
    assert len(sent.message) == MAX_MESSAGE
    status = status_of(sent)
    assert status.ByteSize() <= MAX_STATUS
    assert errors.parse_details(status).reason == "R"


def test_lone_surrogates_as_in_names_of_files_are_question_marks() -> None:
    wrong = [errors.FieldViolation("file\udcff", "no file \udcff")]
    said = answer(errors.InvalidArgument("no file \udcff of ü", violations=wrong))
    assert (said.code, said.message) == (grpc.StatusCode.INVALID_ARGUMENT, "no file ? of ü")
    assert status_of(said).message == "no file ? of ü"


@pytest.mark.parametrize(
    "error",
    [
        errors.NotFound(404),  # type: ignore[arg-type]
        errors.NotFound("gone", reason="GONE", metadata={"id": 7}),  # type: ignore[dict-item]
        errors.Unavailable("later", retry_after=math.inf),
    ],
)
def test_a_status_error_that_cannot_be_written_down_is_a_defect(error: errors.StatusError) -> None:
    said = answer(error)
    assert said.code is grpc.StatusCode.INTERNAL
    assert said.error_id
    assert error.__notes__[0].startswith("its status cannot be sent: ")
