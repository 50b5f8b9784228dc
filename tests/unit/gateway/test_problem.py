"""From a status to problem+json: the table, and what is never let out."""

from __future__ import annotations

import grpc
import pytest

from gateway.problem import HTTP_OF_CODE, Problem, of_call, of_status_error
from kit.errors import CallFailed, FieldViolation, InvalidArgument, NoEndpoint, StatusError, Unavailable

_KEY = "grpc-status-details-bin"


def _failed(code: grpc.StatusCode, details: str) -> CallFailed:
    return CallFailed(code, details)


def _told(error: StatusError) -> CallFailed:
    """The error as a client gets it from a service that raised it."""
    trailing = grpc.aio.Metadata((_KEY, error.to_status().SerializeToString()))
    return CallFailed(error.code, error.message, trailing_metadata=trailing)


def test_every_code_has_its_status() -> None:
    assert {code.name: status for code, status in HTTP_OF_CODE.items()} == {
        "OK": 200,
        "CANCELLED": 499,
        "UNKNOWN": 500,
        "INTERNAL": 500,
        "DATA_LOSS": 500,
        "INVALID_ARGUMENT": 400,
        "FAILED_PRECONDITION": 400,
        "OUT_OF_RANGE": 400,
        "DEADLINE_EXCEEDED": 504,
        "NOT_FOUND": 404,
        "ALREADY_EXISTS": 409,
        "ABORTED": 409,
        "PERMISSION_DENIED": 403,
        "RESOURCE_EXHAUSTED": 429,
        "UNIMPLEMENTED": 501,
        "UNAVAILABLE": 503,
        "UNAUTHENTICATED": 401,
    }


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_every_problem_has_a_title_and_a_sentence(code: grpc.StatusCode) -> None:
    document = of_call(_failed(code, ""), "search").document(instance="/v1/x", request_id="r")
    assert document["title"]
    assert document["detail"].endswith(".")
    assert document["code"] == code.name
    assert (document["type"], document["instance"], document["request_id"]) == ("about:blank", "/v1/x", "r")


@pytest.mark.parametrize(
    ("code", "internal"),
    [
        (grpc.StatusCode.UNAVAILABLE, "failed to connect to all addresses; ipv4:10.0.0.1:5: Connection refused"),
        (grpc.StatusCode.UNKNOWN, "Unexpected <class 'KeyError'>: 'secret'"),
        (grpc.StatusCode.INTERNAL, "Exception deserializing request!"),
        (grpc.StatusCode.UNIMPLEMENTED, "Method not found!"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded on 10.0.0.1"),
        (grpc.StatusCode.DATA_LOSS, "/var/lib/data is broken"),
    ],
)
def test_what_a_transport_or_a_defect_says_stays_inside(code: grpc.StatusCode, internal: str) -> None:
    detail = of_call(_failed(code, internal), "search").detail
    assert internal not in detail
    assert "search" in detail


def test_the_sentence_of_a_service_is_passed_on() -> None:
    error = InvalidArgument("query: expected a term", violations=[FieldViolation("query", "expected a term")])
    problem = of_call(_told(error), "search")
    assert problem.detail == "query: expected a term"
    document = problem.document(instance="", request_id="")
    assert document["violations"] == [{"field": "query", "description": "expected a term"}]


def test_a_reason_makes_a_sentence_the_services_own() -> None:
    error = Unavailable(
        "The index is being rebuilt.", reason="REBUILD", domain="x", metadata={"a": "b"}, retry_after=2.2
    )
    problem = of_call(_told(error), "search")
    assert problem.detail == "The index is being rebuilt."
    assert (problem.reason, problem.domain, problem.metadata) == ("REBUILD", "x", {"a": "b"})
    assert problem.retry_header == ((b"retry-after", b"3"),)


def test_the_id_of_a_defect_is_passed_on() -> None:
    assert "id 12ab" in of_call(_failed(grpc.StatusCode.INTERNAL, "internal error, id 12ab"), "search").detail


def test_a_call_that_found_no_endpoint_names_the_service() -> None:
    assert "No search service" in of_call(NoEndpoint("local:///search has none"), "search").detail


def test_an_answer_that_is_too_large_is_said_so() -> None:
    error = _failed(grpc.StatusCode.RESOURCE_EXHAUSTED, "Received message larger than max (5 vs. 4)")
    assert "larger than one message" in of_call(error, "search").detail


def test_an_error_of_our_own_is_mapped_by_the_same_table() -> None:
    assert of_status_error(InvalidArgument("no")).status == 400


def test_a_wait_is_told_in_whole_seconds_of_at_least_one() -> None:
    for given, told in ((0.0, b"1"), (0.2, b"1"), (1.0, b"1"), (1.01, b"2")):
        problem = Problem(status=503, detail="x", code="UNAVAILABLE", retry_after=given)
        assert problem.retry_header == ((b"retry-after", told),)
    assert Problem(status=503, detail="x", code="UNAVAILABLE").retry_header == ()
