"""What gRPC's own suites leave open: a thousand large calls at a time on one channel."""

from __future__ import annotations

import asyncio

from tests.conformance.interop.conftest import Pair

CALLS = 1000
REQUEST = 271_828
RESPONSE = 8


async def test_a_thousand_large_calls_at_once_are_all_answered(pair: Pair) -> None:
    request = pair.pb.UnaryCallRequest(response_size=RESPONSE, payload=pair.pb.Payload(body=bytes(REQUEST)))
    answers = await asyncio.gather(*(pair.stub.UnaryCall(request, timeout=120) for _ in range(CALLS)))
    assert [len(answer.payload.body) for answer in answers] == [RESPONSE] * CALLS
