"""Splits that are damaged while the service runs."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from kit.errors import details_of
from loganalyzer.search.v1 import search_pb2
from services.search.index.layout import INDEX, split_path
from tests.integration.search.conftest import PARENT, Searching, texts
from tests.unit.search.splits import EPOCH, WORKSPACE, Row, Source, lines


def damage(searching: Searching, split_id: str) -> None:
    """Overwrites the columns of its index, in place: the engine has them mapped."""
    for path in (split_path(searching.config.splits, WORKSPACE, split_id) / INDEX).glob("*.fast"):
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.write(b"\xff" * size)


async def test_a_search_over_a_damaged_index_says_which_split_it_is(
    searching: Searching, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = [Row(f"x {number}".encode(), EPOCH + number * 1000, number % 5) for number in range(3000)]
    await searching.publish(Source(rows))
    await searching.publish(Source(lines("alone", start=EPOCH + 10**12), "bb", "b.log"))
    damage(searching, "s1")

    async def fails(call: object) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await asyncio.wait_for(call, 10)  # type: ignore[arg-type]
        assert caught.value.code() is grpc.StatusCode.DATA_LOSS
        assert "s1" in (caught.value.details() or "")
        assert "app.log" in (caught.value.details() or "")
        assert "loganalyzer doctor" in (caught.value.details() or "")
        assert details_of(caught.value).reason == "SPLIT_DAMAGED"
        assert details_of(caught.value).metadata == {"split": "s1", "sources": "app.log"}

    async def streamed() -> None:
        await searching.stream("x", page_size=1)

    for _ in range(2):
        await fails(searching.stub.Search(search_pb2.SearchRequest(parent=PARENT, query="x")))
        await fails(streamed())
        request = search_pb2.GetHistogramRequest(parent=PARENT, query="x")
        await fails(searching.stub.GetHistogram(request))
    # What does not need the damaged split is answered as ever.
    start = {"start_time": {"seconds": (EPOCH + 10**12) // 10**6 - 1}}
    assert texts((await searching.search("alone", **start)).hits) == ["alone"]
    logged = caplog.text + capfd.readouterr().err
    assert logged.count("split damaged") == 1
