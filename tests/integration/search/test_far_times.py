"""Queries whose times end where time does, through every way in."""

from __future__ import annotations

import json

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from loganalyzer.search.v1 import search_pb2
from tests.integration.search.conftest import PARENT, Searching, texts
from tests.integration.search.test_tails import tailing
from tests.unit.search.splits import EPOCH, Row, Source

LAST = 253_402_300_799_999_999
#: Of the last day. The bars of the index are exact to 32 microseconds there, so this one begins at a multiple of it.
ROWS = [Row(b"x now", EPOCH), Row(b"x last", 253_402_300_700_000_500)]
OPEN = ["time:9999-12-31", "time:<=9999-12-31T23:59", "time:[* TO 9999-12-31]", "time:9999", "time:..9999"]


@pytest.mark.parametrize("query", OPEN)
async def test_an_end_beyond_all_times_is_no_end(searching: Searching, query: str) -> None:
    expected = ["x last"] if query in ("time:9999", "time:9999-12-31") else ["x last", "x now"]
    await searching.publish(Source(ROWS))
    assert texts((await searching.search(query)).hits) == expected
    plan = await searching.stub.ExplainQuery(search_pb2.ExplainQueryRequest(parent=PARENT, query=query))
    assert (await searching.search(plan.normal_form)).total_size == len(expected)
    bars = await searching.stub.GetHistogram(search_pb2.GetHistogramRequest(parent=PARENT, query=query))
    assert sum(bar.count for bar in bars.buckets) == len(expected)
    export = searching.stub.ExportLogs(search_pb2.ExportLogsRequest(parent=PARENT, query=query))
    exported = b"".join([body.data async for body in export]).splitlines()
    assert [json.loads(line)["text"] for line in exported] == expected
    async with tailing(searching, query) as tail:
        await searching.importer.read(Source(ROWS, "bb"))
        assert sorted(await tail.until(len(expected))) == sorted(expected)


async def test_an_end_time_that_is_finer_than_a_microsecond_may_be_the_last_one(searching: Searching) -> None:
    await searching.publish(Source([Row(b"x now", EPOCH), Row(b"x last", LAST)]))
    last = Timestamp(seconds=LAST // 1_000_000, nanos=999_999_999)
    assert len((await searching.search("x", end_time=last)).hits) == 2
    assert not (await searching.search("x", start_time=last)).hits
