"""What Prometheus reads from a server: a real scrape, read by prometheus_client's own strict parser."""

from __future__ import annotations

import asyncio
import urllib.request
from typing import Any

import grpc
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

import kit
from kit.observe import metrics
from kit.observe._state import STATE
from tests.integration.observe.collector import Collector
from tests.integration.observe.conftest import SetUp
from tests.integration.server.echo import SERVICE, Context, Echo, add_echo, call, failure

NAME = f"{SERVICE}/UnaryUnary"


async def scrape(port: int) -> dict[str, Any]:
    """Families by name."""

    def read() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            assert answer.headers["content-type"] == metrics.CONTENT_TYPE
            return str(answer.read().decode())

    text = await asyncio.to_thread(read)
    return {family.name: family for family in text_string_to_metric_families(text)}  # type: ignore[no-untyped-call]  # it has no types


def value(families: dict[str, Any], family: str, name: str, **labels: str) -> float:
    """Of the only sample that has these labels."""
    [found] = [
        sample.value
        for sample in families[family].samples
        if sample.name == name and sample.labels.items() >= labels.items()
    ]
    return float(found)


def server(act: Any = None) -> kit.Server:
    return kit.Server("echo", register=False, grace=0, metrics_listen="127.0.0.1:0").add(Echo(act), add_echo)


async def test_a_server_shows_its_calls_its_load_and_its_process() -> None:
    seen: dict[str, Any] = {}

    async def act(text: str, _context: Context) -> None:
        if text == "look":
            seen.update(await scrape(running.metrics_port))
        if text == "fail":
            raise kit.errors.NotFound("no")

    async with server(act) as running, kit.channel(running.address) as channel:
        before = await scrape(running.metrics_port)
        await call(channel, "UnaryUnary", "x")
        await failure(channel, "UnaryUnary", "fail")
        await call(channel, "UnaryUnary", "look")
        started = ("grpc_server_call_started", "grpc_server_call_started_total")
        had = value(before, *started, grpc_method=NAME) if started[0] in before else 0
        async with asyncio.timeout(20):
            after = await scrape(running.metrics_port)
            while value(after, *started, grpc_method=NAME) != had + 3:
                after = await scrape(running.metrics_port)
    duration = "rpc_server_call_duration_seconds"
    ok = {"rpc_method": NAME, "rpc_response_status_code": "OK"}
    assert value(after, duration, f"{duration}_count", **ok) >= 2
    assert value(after, duration, f"{duration}_bucket", le="10.0", **ok) >= 2
    assert value(after, duration, f"{duration}_count", rpc_method=NAME, rpc_response_status_code="NOT_FOUND") >= 1
    target = {"grpc_method": NAME, "grpc_target": running.address}
    assert value(after, "grpc_client_attempt_started", "grpc_client_attempt_started_total", **target) == 3
    # While the call that looked was served.
    assert value(seen, "kit_server_in_flight", "kit_server_in_flight", server="echo") >= 1
    assert value(after, "kit_server_in_flight", "kit_server_in_flight", server="echo") == 0
    assert "kit_event_loop_lag_seconds" in after
    assert value(after, "process_resident_memory_bytes", "process_resident_memory_bytes") > 1_000_000
    assert not any("Health" in str(sample.labels) for family in after.values() for sample in family.samples)
    assert not STATE.metrics
    assert b"kit_server_in_flight" not in metrics.exposition()


async def test_durations_carry_the_trace_of_an_example(set_up: SetUp, collector: Collector) -> None:
    telemetry = set_up()
    async with server() as running, kit.channel(running.address) as channel:
        await call(channel, "UnaryUnary", "x")
        families = await scrape(running.metrics_port)
        await asyncio.to_thread(telemetry.flush, 10)
    ids = {(seen.span.trace_id.hex(), seen.span.span_id.hex()) for seen in collector.spans}
    for name, kind in (("rpc_server_call_duration_seconds", "SERVER"), ("rpc_client_call_duration_seconds", "CLIENT")):
        shown = [sample.exemplar for sample in families[name].samples if sample.exemplar is not None]
        found = {(one.labels["trace_id"], one.labels["span_id"]) for one in shown}
        assert found & ids, kind


async def test_a_method_that_nobody_serves_is_counted_as_other() -> None:
    async with server() as running, grpc.aio.insecure_channel(running.address) as channel:
        for name in ("A", "B"):
            with pytest.raises(grpc.aio.AioRpcError, match="Method not found!"):
                await channel.unary_unary(f"/made.up/{name}")(b"")  # type: ignore[arg-type]  # without a serializer it is bytes
        families = await scrape(running.metrics_port)
    duration = "rpc_server_call_duration_seconds"
    other = {"rpc_method": "other", "rpc_response_status_code": "UNIMPLEMENTED"}
    assert value(families, duration, f"{duration}_count", **other) >= 2
    assert not any("made.up" in str(sample.labels) for family in families.values() for sample in family.samples)


async def test_where_nothing_listens_nothing_is_counted() -> None:
    async with kit.Server("echo", register=False, grace=0).add(Echo(), add_echo) as running:
        assert running.metrics_port == 0
        assert not STATE.metrics


async def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(kit.errors.ConfigurationError, match="KIT_METRICS_LISTEN"):
        kit.Server("echo", register=False, metrics_listen="nowhere")
