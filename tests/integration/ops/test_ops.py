"""A process tells of itself: a shop whose store fails, seen through its OpsService."""

from __future__ import annotations

import asyncio
import gc
import os
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

import kit
from kit import events
from kit.client import Channel
from kit.events import MemoryBus
from kit.server.auth import ApiKeys, Principal, digest_of
from kit.testing import VirtualClock
from kitapi.v1 import events_pb2, ops_pb2
from tests.integration.ops.shop import BUSY, BUY, TAKE, shop

OK, UNAVAILABLE = grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE


async def refused(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def test_a_breaker_that_opens_is_listed_and_the_event_is_watched() -> None:
    async with shop() as it:
        assert await it.buy() is OK
        (closed,) = [one for one in (await breakers(it)) if one.target == it.store.address]
        assert (closed.state, closed.successes, closed.failures) == (ops_pb2.Breaker.CLOSED, 1, 0)
        assert not closed.HasField("changed_time")
        after = (await it.ops.GetProcess(ops_pb2.GetProcessRequest())).last_event
        watch = it.ops.WatchEvents(ops_pb2.WatchEventsRequest(after_sequence=after, types=["BreakerStateChanged"]))
        it.faults.script(TAKE, [BUSY] * 3)
        assert await it.buy() is UNAVAILABLE
        assert await it.buy() is UNAVAILABLE
        async with asyncio.timeout(10):
            event = await watch.read()
        assert event.sequence > after
        assert event.subject == f"breakers/{it.store.address}"
        assert event.source.startswith("shop@")
        change = events_pb2.BreakerStateChanged()
        assert event.payload.Unpack(change)
        assert (change.old_state, change.new_state, change.reason) == ("CLOSED", "OPEN", "3 failures in a row")
        watch.cancel()
        (opened,) = [one for one in (await breakers(it)) if one.target == it.store.address]
        assert opened.state == ops_pb2.Breaker.OPEN
        assert opened.endpoint == it.store.address
        assert opened.method == TAKE[1:]
        assert list(opened.methods) == [TAKE[1:]]
        assert opened.failures == 3
        assert opened.refused >= 1
        assert 0 < opened.time_to_half_open.seconds <= 60
        assert opened.reason == "3 failures in a row"
        assert opened.HasField("changed_time")


async def breakers(it: Any) -> list[Any]:
    return list((await it.ops.ListBreakers(ops_pb2.ListBreakersRequest())).breakers)


async def test_calls_that_failed_are_listed_newest_first_and_those_that_went_well_are_not() -> None:
    async with shop() as it:
        mine = it.store.address

        async def calls(**request: Any) -> list[Any]:
            found = (await it.ops.ListCalls(ops_pb2.ListCallsRequest(**request))).calls
            return [call for call in found if call.target == mine]

        for _ in range(3):
            assert await it.buy() is OK
        assert await calls() == []
        it.faults.script(TAKE, [BUSY])
        assert await it.buy() is OK
        it.faults.script(TAKE, [BUSY] * 3)
        assert await it.buy() is UNAVAILABLE
        failed, retried = await calls()
        assert (failed.method, failed.code) == (TAKE[1:], "UNAVAILABLE")
        assert failed.message == "busy"
        assert [attempt.code for attempt in failed.attempts] == ["UNAVAILABLE"] * 3
        assert failed.stop_reason in ("ATTEMPTS_EXHAUSTED", "BREAKER_OPEN")
        assert (retried.code, [one.code for one in retried.attempts]) == ("OK", ["UNAVAILABLE", "OK"])
        assert retried.attempts[1].delay.ToNanoseconds() > 0
        assert await calls(failed_only=True) == [failed]
        assert len((await it.ops.ListCalls(ops_pb2.ListCallsRequest(page_size=1))).calls) == 1
        error = await refused(it.ops.ListCalls(ops_pb2.ListCallsRequest(page_size=-1)))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_endpoints_limits_and_policies_are_told() -> None:
    async with shop() as it:
        assert await it.buy() is OK
        target = it.store.address
        (endpoint,) = (await it.ops.ListEndpoints(ops_pb2.ListEndpointsRequest(target=target))).endpoints
        assert (endpoint.address, endpoint.connectivity, endpoint.ejected) == (target, "READY", False)
        found = (await it.ops.ListLimits(ops_pb2.ListLimitsRequest())).limits
        inside = {one.kind: one for one in found if one.target == target}
        assert set(inside) == {"concurrency", "retry throttle", "retry budget"}
        assert (inside["concurrency"].limit, inside["concurrency"].used) == (7, 0)
        assert (inside["retry throttle"].limit, inside["retry throttle"].used) == (100, 0)
        assert inside["concurrency"].name == TAKE[1:]
        assert "concurrency" in {one.kind for one in found if not one.target}, "the server's own"
        policies = (await it.ops.ListPolicies(ops_pb2.ListPoliciesRequest())).policies
        (served,) = [one for one in policies if one.served]
        assert served.method == BUY[1:]
        assert served.policy.timeout.seconds == 9
        assert served.origins["timeout"] == f'code, "{BUY}"'
        (called,) = [one for one in policies if one.target == target]
        assert (called.method, called.policy.retry.max_attempts) == (TAKE[1:], 3)


async def test_the_process_and_its_health_are_told() -> None:
    async with shop() as it:
        process = await it.ops.GetProcess(ops_pb2.GetProcessRequest())
        assert (process.name, process.pid, process.address) == ("shop", os.getpid(), it.server.address)
        assert list(process.services) == ["shop.v1.Shop"]
        assert process.in_flight == 1, "the question itself"
        assert not process.draining
        components = (await it.ops.ListHealth(ops_pb2.ListHealthRequest())).components
        assert "event loop" in [one.component for one in components]


async def test_ports_are_those_of_the_registry_and_those_that_are_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIT_DATA_DIR", str(tmp_path))
    async with shop(register=True) as it:
        with kit.discovery.Ports(first=20_001, last=29_999, tries=1000).allocate("later") as lease:
            found = {one.service: one for one in (await it.ops.ListPorts(ops_pb2.ListPortsRequest())).ports}
        assert set(found) == {"shop", "later"}
        assert (found["shop"].address, found["shop"].healthy) == (it.server.address, True)
        assert found["shop"].instance_id == it.server.instance_id != ""
        assert (found["later"].port, found["later"].healthy, found["later"].pid) == (lease.port, False, os.getpid())


async def test_nobody_sets_a_breaker_unless_it_was_allowed() -> None:
    async with shop() as it:
        assert await it.buy() is OK
        request = ops_pb2.SetBreakerRequest(endpoint=it.store.address, state=ops_pb2.Breaker.OPEN)
        error = await refused(it.ops.SetBreaker(request))
        assert error.code() is grpc.StatusCode.PERMISSION_DENIED
        assert "ops.write" in (error.details() or "")
        assert await it.buy() is OK


async def test_a_breaker_is_opened_and_closed_by_hand() -> None:
    async with shop(admin="write") as it:
        assert await it.buy() is OK
        request = ops_pb2.SetBreakerRequest(
            endpoint=it.store.address, state=ops_pb2.Breaker.OPEN, reason="maintenance", hold=True
        )
        opened = await it.ops.SetBreaker(request)
        assert opened.held
        assert not opened.HasField("time_to_half_open")
        assert opened.reason.startswith("maintenance (ipv4:127.0.0.1:")
        assert await it.buy() is UNAVAILABLE
        closed = await it.ops.SetBreaker(
            ops_pb2.SetBreakerRequest(endpoint=it.store.address, method=TAKE[1:], state=ops_pb2.Breaker.CLOSED)
        )
        assert (closed.state, closed.held) == (ops_pb2.Breaker.CLOSED, False)
        assert await it.buy() is OK


async def test_a_breaker_that_is_not_named_clearly_stays_as_it_is() -> None:
    async with shop(admin="write") as it:
        assert await it.buy() is OK
        address = it.store.address
        wrong: tuple[tuple[dict[str, Any], grpc.StatusCode], ...] = (
            ({"endpoint": address, "state": ops_pb2.Breaker.HALF_OPEN}, grpc.StatusCode.INVALID_ARGUMENT),
            ({"endpoint": address, "state": ops_pb2.Breaker.CLOSED, "hold": True}, grpc.StatusCode.INVALID_ARGUMENT),
            ({"endpoint": "10.0.0.1:1", "state": ops_pb2.Breaker.OPEN}, grpc.StatusCode.NOT_FOUND),
            ({"endpoint": address, "method": "a.B/C", "state": ops_pb2.Breaker.OPEN}, grpc.StatusCode.NOT_FOUND),
        )
        for request, code in wrong:
            error = await refused(it.ops.SetBreaker(ops_pb2.SetBreakerRequest(**request)))
            assert error.code() is code, request
        async with Channel(
            [address], policy={"/shop.v1.Store/*": kit.MethodPolicy(breaker=kit.BreakerPolicy(failure_threshold=9))}
        ) as two:
            await two.unary_unary(TAKE)(b"")
            error = await refused(
                it.ops.SetBreaker(ops_pb2.SetBreakerRequest(endpoint=address, state=ops_pb2.Breaker.OPEN))
            )
            assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
            assert "name one" in (error.details() or "")
        assert await it.buy() is OK


async def test_where_callers_are_known_only_they_read_and_the_scope_writes() -> None:
    keys = ApiKeys(
        {
            digest_of("reader"): Principal("reader", frozenset({"shop.read"})),
            digest_of("operator"): Principal("operator", frozenset({"ops.write"})),
        }
    )
    async with shop(authenticators=[keys]) as it:
        opening = ops_pb2.SetBreakerRequest(endpoint=it.store.address, state=ops_pb2.Breaker.OPEN)
        error = await refused(it.ops.ListBreakers(ops_pb2.ListBreakersRequest()))
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED
        reader, operator = ((("x-api-key", name),) for name in ("reader", "operator"))
        assert await it.buy(metadata=reader) is OK
        assert (await it.ops.ListBreakers(ops_pb2.ListBreakersRequest(), metadata=reader)).breakers
        error = await refused(it.ops.SetBreaker(opening, metadata=reader))
        assert error.code() is grpc.StatusCode.PERMISSION_DENIED
        opened = await it.ops.SetBreaker(opening, metadata=operator)
        assert opened.reason == "by hand (operator)"


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"admin": False}, grpc.StatusCode.UNIMPLEMENTED),
        ({"listen": "0.0.0.0:0"}, grpc.StatusCode.UNIMPLEMENTED),
        ({"listen": "0.0.0.0:0", "admin": True}, OK),
    ],
)
async def test_a_server_that_others_reach_tells_only_what_it_was_told_to(
    options: dict[str, Any], code: grpc.StatusCode
) -> None:
    async with shop(**options) as it:
        call = it.ops.GetProcess(ops_pb2.GetProcessRequest())
        assert await call.code() is code


async def test_a_watch_ends_when_the_process_drains() -> None:
    async with shop() as it:
        after = (await it.ops.GetProcess(ops_pb2.GetProcessRequest())).last_event
        watch = it.ops.WatchEvents(ops_pb2.WatchEventsRequest(after_sequence=after, types=["DrainBegun"]))
        reading = asyncio.ensure_future(watch.read())
        await asyncio.wait([reading], timeout=0)
        await it.buy()
        stopping = asyncio.ensure_future(it.server.stop(30))
        async with asyncio.timeout(20):
            event = await reading
            assert event.payload.Is(events_pb2.DrainBegun.DESCRIPTOR)
            error = await refused(watch.read())
            assert error.code() is UNAVAILABLE
            await stopping


async def test_a_watch_that_fell_behind_is_told_what_it_missed_and_goes_on() -> None:
    async with shop() as it:
        with events.use(MemoryBus(size=5)) as bus:
            events.publish(events_pb2.CacheHit(key="0"), subject="caches/0")
            watch = it.ops.WatchEvents(ops_pb2.WatchEventsRequest(types=["CacheHit"]))
            async with asyncio.timeout(10):
                assert (await watch.read()).sequence == 1
                for number in range(1, 100):
                    events.publish(events_pb2.CacheHit(key=str(number)), subject=f"caches/{number}")
                lost = await watch.read()
                gap = events_pb2.EventsLost()
                assert lost.payload.Unpack(gap)
                assert (gap.first_sequence, gap.last_sequence) == (2, bus.last - 5)
                assert [(await watch.read()).sequence for _ in range(5)] == list(range(bus.last - 4, bus.last + 1))
            watch.cancel()


async def test_past_events_end_without_waiting_for_more() -> None:
    async with shop() as it:
        with events.use(MemoryBus()):

            async def past(**request: Any) -> list[int]:
                watch = it.ops.WatchEvents(ops_pb2.WatchEventsRequest(only_past=True, **request), timeout=10)
                return [event.sequence async for event in watch]

            assert await past() == []
            for number in range(3):
                events.publish(events_pb2.CacheHit(key=str(number)), subject="caches/a")
            assert await past() == [1, 2, 3]
            assert await past(after_sequence=2) == [3]
            assert await past(after_sequence=3) == []
            assert await past(types=["kitapi.v1.CacheMiss"]) == []


async def test_a_channel_that_is_gone_and_one_in_virtual_time_are_not_listed() -> None:
    async with shop() as it:
        target = it.store.address

        async def count() -> int:
            return len((await it.ops.ListEndpoints(ops_pb2.ListEndpointsRequest(target=target))).endpoints)

        async with Channel(target, clock=VirtualClock()):
            assert await count() == 1
        other = Channel(target)
        assert await count() == 2
        await other.close()
        del other
        gc.collect()
        assert await count() == 1


async def test_interceptors_on_a_stock_channel_are_listed_without_endpoints() -> None:
    async with shop() as it:
        rules = kit.MethodPolicy(breaker=kit.BreakerPolicy(failure_threshold=77), timeout=3.0)
        interceptors = kit.client_interceptors(policy=rules)
        async with grpc.aio.insecure_channel(it.store.address, interceptors=interceptors) as stock:
            take: Any = stock.unary_unary(TAKE)
            await take(b"")
            mine = [one for one in await breakers(it) if not one.target and list(one.methods) == [TAKE[1:]]]
            assert [(one.endpoint, one.successes) for one in mine] == [("", 1)]


async def test_reflection_names_the_service() -> None:
    async with shop() as it:
        from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

        stub = reflection_pb2_grpc.ServerReflectionStub(it.channel)
        call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
        answer = await call.read()
        assert "kitapi.v1.OpsService" in [one.name for one in answer.list_services_response.service]
