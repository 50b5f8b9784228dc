"""Several calls with one key at the same time, in one process and in several servers on one database."""

from __future__ import annotations

import asyncio
import threading

import grpc
import grpc.aio
import pytest
from google.protobuf.wrappers_pb2 import StringValue

import kit
from kit import errors
from kit.observe import metrics
from kit.server.idempotency import IdempotencyStore, MemoryStore, SqlStore
from tests.integration.client.caring import eventually
from tests.integration.server.idempotency.conftest import Deaf, Serve, Served
from tests.integration.server.idempotency.shop import ORDER, Context, Shop, add_shop, declared, send

OK = grpc.StatusCode.OK


class Door:
    """A handler that stands still until it is let through."""

    def __init__(self, *failures: Exception) -> None:
        self.began = asyncio.Event()
        self.open = asyncio.Event()
        self.cancelled = 0
        self._failures = list(failures)

    async def __call__(self, _text: str, _context: Context) -> None:
        self.began.set()
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self._failures:
            raise self._failures.pop(0)


def outcomes() -> dict[str, float]:
    """What the calls of the method came to, as the metrics have it."""
    [family] = [family for family in metrics.snapshot()["families"] if family["name"] == "kit.idempotency.calls"]
    of_orders = [one for one in family["series"] if one["labels"]["rpc.method"] == ORDER]
    return {one["labels"]["outcome"]: one["value"] for one in of_orders}


async def in_flight(count: int, *all_served: Served) -> None:
    await eventually(lambda: sum(served.server.in_flight for served in all_served) == count)


async def test_twins_in_one_process_wait_for_the_first_and_get_its_answer(
    serve: Serve, store: IdempotencyStore
) -> None:
    door = Door()
    served = await serve(store, door)
    calls = [asyncio.ensure_future(served.send("a book", "k")) for _ in range(20)]
    await in_flight(20, served)
    door.open.set()
    answers = await asyncio.gather(*calls)
    assert {(answer.code, answer.text) for answer in answers} == {(OK, "a book 1")}
    assert sorted(answer.replayed for answer in answers) == [False] + [True] * 19
    assert served.shop.executed == ["a book"]


async def test_twins_in_several_servers_find_the_answer_in_the_database(serve: Serve, url: str) -> None:
    door = Door()
    one, two, three = [await serve(url, door) for _ in range(3)]
    first = asyncio.ensure_future(one.send("a book", "k"))
    await door.began.wait()
    others = [asyncio.ensure_future(served.send("a book", "k")) for served in (two, two, three, three)]
    await in_flight(5, one, two, three)
    wrong = await two.send("a pen", "k")
    assert wrong.reason == "IDEMPOTENCY_KEY_REUSED"
    door.open.set()
    assert (await first).text == "a book 1"
    answers = await asyncio.gather(*others)
    assert {(answer.text, answer.replayed) for answer in answers} == {("a book 1", True)}
    assert [served.shop.executed for served in (one, two, three)] == [["a book"], [], []]


async def test_when_the_first_fails_in_a_way_that_may_pass_one_of_the_others_tries(
    serve: Serve, store: IdempotencyStore
) -> None:
    door = Door(errors.Unavailable("not now"))
    served = await serve(store, door)
    calls = [asyncio.ensure_future(served.send("a book", "k")) for _ in range(5)]
    await in_flight(5, served)
    door.open.set()
    answers = await asyncio.gather(*calls)
    assert sorted(answer.code.name for answer in answers) == ["OK"] * 4 + ["UNAVAILABLE"]
    assert {answer.text for answer in answers if answer.code is OK} == {"a book 2"}
    assert served.shop.executed == ["a book"] * 2


async def test_a_refusal_is_the_answer_of_the_others_too(serve: Serve) -> None:
    door = Door(errors.NotFound("there is no such book"))
    served = await serve(MemoryStore(), door)
    calls = [asyncio.ensure_future(served.send("a book", "k")) for _ in range(3)]
    await in_flight(3, served)
    door.open.set()
    answers = await asyncio.gather(*calls)
    assert {(answer.code, answer.text) for answer in answers} == {(grpc.StatusCode.NOT_FOUND, "there is no such book")}
    assert served.shop.executed == ["a book"]


async def test_a_twin_waits_no_longer_than_its_deadline(serve: Serve, url: str) -> None:
    door = Door()
    one, two = await serve(url, door), await serve(url, door)
    first = asyncio.ensure_future(one.send("a book", "k"))
    await door.began.wait()
    late = await asyncio.gather(one.send("a book", "k", timeout=0.2), two.send("a book", "k", timeout=0.2))
    assert {answer.code for answer in late} == {grpc.StatusCode.DEADLINE_EXCEEDED}
    door.open.set()
    assert (await first).text == "a book 1"
    assert (await two.send("a book", "k")).replayed


@pytest.mark.parametrize("how", ["cancelled", "late"])
async def test_a_call_that_is_given_up_frees_its_key(serve: Serve, store: IdempotencyStore, how: str) -> None:
    door = Door()
    served = await serve(store, door)
    call = asyncio.ensure_future(served.send("a book", "k", timeout=0.2 if how == "late" else None))
    await door.began.wait()
    if how == "cancelled":
        call.cancel()
    await asyncio.wait([call])
    await eventually(lambda: door.cancelled == 1)
    door.open.set()
    answer = await served.send("a book", "k")
    assert (answer.text, answer.replayed) == ("a book 2", False)


async def test_when_the_first_is_given_up_one_that_waits_executes(serve: Serve, url: str) -> None:
    door = Door()
    one, two = await serve(url, door), await serve(url, door)
    first = asyncio.ensure_future(one.send("a book", "k"))
    await door.began.wait()
    second = asyncio.ensure_future(two.send("a book", "k"))
    await in_flight(2, one, two)
    first.cancel()
    await eventually(lambda: two.shop.executed == ["a book"])
    door.open.set()
    assert (await second).text == "a book 1"


async def test_a_call_that_is_given_up_while_it_claims_its_key_does_not_keep_it(serve: Serve) -> None:
    class Slow(MemoryStore):
        """Claims, and says so only when it may."""

        claimed = asyncio.Event()
        may = asyncio.Event()

        async def claim(self, *arguments: object, **options: object) -> object:  # type: ignore[override]
            claim = await super().claim(*arguments, **options)  # type: ignore[arg-type]
            self.claimed.set()
            await self.may.wait()
            return claim

    store = Slow(lease=1000.0)
    served = await serve(store)
    call = asyncio.ensure_future(served.send("a book", "k"))
    await store.claimed.wait()
    call.cancel()
    await asyncio.wait([call])
    await in_flight(0, served)
    store.may.set()
    assert (await served.send("a book", "k")).text == "a book 1"


async def test_where_too_many_wait_the_next_is_told_to_come_again(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kit.server.idempotency._flights.MAX_WAITING", 2)
    door = Door()
    served = await serve(MemoryStore(), door)
    calls = [asyncio.ensure_future(served.send("a book", "k")) for _ in range(3)]
    await in_flight(3, served)
    refused = await served.send("a book", "k")
    assert (refused.code, refused.retry_after) == (grpc.StatusCode.ABORTED, 1.0)
    assert refused.pushback == "1000"
    door.open.set()
    assert {answer.text for answer in await asyncio.gather(*calls)} == {"a book 1"}


async def test_those_that_wait_do_not_hold_up_a_server_that_stops(serve: Serve, url: str) -> None:
    door = Door()
    one, two = await serve(url, door), await serve(url, door)
    first = asyncio.ensure_future(one.send("a book", "k"))
    await door.began.wait()
    second = asyncio.ensure_future(two.send("a book", "k"))
    await in_flight(2, one, two)
    await two.server.stop(1000.0)
    assert (await second).code is grpc.StatusCode.UNAVAILABLE
    door.open.set()
    assert (await first).text == "a book 1"


async def test_after_a_stop_that_cancels_its_handlers_no_key_is_held(serve: Serve, url: str) -> None:
    door = Door()
    one = await serve(SqlStore(url, lease=1000.0), door)
    first = asyncio.ensure_future(one.send("a book", "k"))
    await door.began.wait()
    await one.server.stop(0)
    await first
    two = await serve(SqlStore(url, lease=1000.0))
    assert (await two.send("a book", "k", timeout=10.0)).text == "a book 1"


async def test_a_handler_in_a_thread_that_is_given_up_runs_on_and_its_answer_is_kept(serve: Serve, url: str) -> None:
    """Nobody can end a thread: were its key freed, a second one would do the same beside it."""
    began, go_on, executed = threading.Event(), threading.Event(), []

    class Slow(Shop):
        def order(self, request: StringValue, _context: object) -> StringValue:  # type: ignore[override]
            executed.append(kit.idempotency_key())
            began.set()
            assert go_on.wait(30)
            return StringValue(value=f"{request.value} {len(executed)}")

    server = kit.Server("shop", register=False, grace=0.0, policy=declared(), idempotency=url)
    async with server.add(Slow(), add_shop), grpc.aio.insecure_channel(server.address) as channel:
        call = asyncio.ensure_future(send(channel, "a book", "k"))
        await eventually(began.is_set)
        call.cancel()
        await eventually(lambda: server.in_flight == 0)
        second = asyncio.ensure_future(send(channel, "a book", "k"))
        await eventually(lambda: server.in_flight == 1)
        go_on.set()
        answer = await second
    assert (answer.text, answer.replayed, executed) == ("a book 1", True, ["k"])


async def test_one_that_was_taken_over_gives_the_answer_of_the_one_that_did(serve: Serve, url: str) -> None:
    """Both have executed the call, as nothing here is in a transaction; but there is one answer."""
    door = Door()
    one, two = await serve(Deaf(url, lease=0.5), door), await serve(SqlStore(url, lease=0.5))
    two.shop.executed.append("something else")
    before = outcomes()
    first = asyncio.ensure_future(one.send("a book", "k"))
    await door.began.wait()
    second = await two.send("a book", "k")
    door.open.set()
    answer = await first
    assert (second.text, second.replayed) == ("a book 2", False)
    assert (answer.text, answer.replayed) == ("a book 2", True)
    counted = {outcome: count - before.get(outcome, 0) for outcome, count in outcomes().items()}
    assert counted == {"executed": 2, "replayed": 1, "taken over": 1}


async def test_calls_that_are_given_up_at_any_moment_hold_no_key(serve: Serve, url: str) -> None:
    """Whatever the store is about when the client goes: claiming, executing or completing."""
    served = await serve(SqlStore(url, lease=1000.0))
    for turns in range(40):
        call = asyncio.ensure_future(served.send("a book", f"key-{turns}"))
        for _ in range(turns):
            await asyncio.to_thread(bool)
        call.cancel()
        await asyncio.wait([call])
    await in_flight(0, served)
    answers = [await served.send("a book", f"key-{turns}", timeout=10.0) for turns in range(40)]
    assert {answer.code for answer in answers} == {OK}
