"""An effect and its answer in one transaction of the store's database."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
import sqlalchemy as sa
from google.protobuf.wrappers_pb2 import StringValue
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from kit import errors
from kit.policy import IdempotencyKeyMode
from kit.server.idempotency import MemoryStore, SqlStore, effect
from tests.integration.client.caring import eventually
from tests.integration.server.idempotency.conftest import Deaf, Serve
from tests.integration.server.idempotency.shop import Context, declared

METADATA = sa.MetaData()
ORDERS = sa.Table("orders", METADATA, sa.Column("id", sa.Integer, primary_key=True), sa.Column("what", sa.Text))


@pytest.fixture
async def engine(url: str) -> Any:
    """The service's own engine, with its table."""
    made = sa.make_url(url)
    driver = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}[made.drivername]
    engine = create_async_engine(made.set(drivername=driver))
    async with engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)
    yield engine
    await engine.dispose()


async def orders(engine: AsyncEngine) -> list[str]:
    async with engine.connect() as connection:
        return list((await connection.execute(sa.select(ORDERS.c.what).order_by(ORDERS.c.id))).scalars())


async def order(text: str) -> StringValue:
    """What a handler does: the answer has the number of the row."""
    answer = StringValue()
    async with effect(answer) as connection:
        result = await connection.execute(sa.insert(ORDERS).values(what=text))
        answer.value = f"order {result.inserted_primary_key[0]}"
    return answer


@pytest.mark.parametrize("own_engine", [False, True])
async def test_the_effect_and_the_answer_are_committed_together(
    serve: Serve, url: str, engine: AsyncEngine, own_engine: bool
) -> None:
    async def act(text: str, _context: Context) -> StringValue:
        return await order(text)

    served = await serve(SqlStore(engine if own_engine else url), act)
    first, second = await served.send("a book", "k"), await served.send("a book", "k")
    assert (first.text, second.text) == ("order 1", "order 1")
    assert (first.replayed, second.replayed) == (False, True)
    assert (await served.send("a pen", "l")).text == "order 2"
    assert await orders(engine) == ["a book", "a pen"]


async def test_what_fails_inside_the_block_has_no_effect_and_is_executed_again(
    serve: Serve, url: str, engine: AsyncEngine
) -> None:
    async def act(text: str, _context: Context) -> StringValue:
        async with effect(StringValue(value="never")) as connection:
            await connection.execute(sa.insert(ORDERS).values(what=text))
            if len(served.shop.executed) == 1:
                raise errors.Unavailable("not now")
        return StringValue(value="done")

    served = await serve(url, act)
    assert (await served.send("a book", "k")).code is grpc.StatusCode.UNAVAILABLE
    assert await orders(engine) == []
    assert not (await served.send("a book", "k")).replayed
    assert await orders(engine) == ["a book"]


@pytest.mark.parametrize("failure", ["raises", "returns something else"])
async def test_what_happens_after_the_block_does_not_change_the_answer(
    serve: Serve, url: str, engine: AsyncEngine, failure: str
) -> None:
    async def act(text: str, _context: Context) -> StringValue:
        answer = await order(text)
        if failure == "raises":
            raise errors.Unavailable("too late")
        answer.value = "another"
        return answer

    served = await serve(url, act)
    assert [(await served.send("a book", "k")).text for _ in "12"] == ["order 1", "order 1"]
    assert await orders(engine) == ["a book"]
    assert served.shop.executed == ["a book"]


async def test_a_call_that_is_cancelled_after_the_block_is_not_executed_again(
    serve: Serve, url: str, engine: AsyncEngine
) -> None:
    committed = asyncio.Event()

    async def act(text: str, _context: Context) -> StringValue:
        await order(text)
        committed.set()
        await asyncio.Event().wait()
        raise AssertionError

    served = await serve(url, act)
    call = asyncio.ensure_future(served.send("a book", "k"))
    await committed.wait()
    call.cancel()
    await eventually(lambda: served.server.in_flight == 0)
    again = await served.send("a book", "k")
    assert (again.text, again.replayed) == ("order 1", True)
    assert await orders(engine) == ["a book"]


async def test_a_call_without_a_key_gets_a_plain_transaction(serve: Serve, url: str, engine: AsyncEngine) -> None:
    async def act(text: str, _context: Context) -> StringValue:
        return await order(text)

    served = await serve(url, act, policy=declared(IdempotencyKeyMode.OPTIONAL))
    assert [(await served.send("a book")).text for _ in "12"] == ["order 1", "order 2"]


async def test_there_is_one_block_a_call(serve: Serve, url: str, engine: AsyncEngine) -> None:
    seen: list[Exception] = []

    async def act(text: str, _context: Context) -> StringValue:
        answer = await order(text)
        try:
            await order(text)
        except errors.UsageError as error:
            seen.append(error)
        return answer

    served = await serve(url, act)
    assert (await served.send("a book", "k")).text == "order 1"
    assert "one block a call" in str(seen[0])
    assert await orders(engine) == ["a book"]


@pytest.mark.parametrize("where", ["no call", "no database"])
async def test_without_a_call_or_a_database_the_block_is_refused(serve: Serve, where: str) -> None:
    if where == "no call":
        with pytest.raises(errors.UsageError, match="inside a call of a method that declares"):
            await order("a book")
        return
    seen: list[Exception] = []

    async def act(text: str, _context: Context) -> None:
        try:
            await order(text)
        except errors.UsageError as error:
            seen.append(error)

    served = await serve(MemoryStore(), act)
    await served.send("a book", "k")
    assert "has no database to write an effect to" in str(seen[0])


async def test_an_error_of_the_handlers_own_statement_is_the_handlers_to_catch(
    serve: Serve, url: str, engine: AsyncEngine
) -> None:
    async def act(_text: str, _context: Context) -> StringValue:
        try:
            async with effect(StringValue()) as connection:
                await connection.execute(sa.insert(ORDERS).values(id=1, what="one"))
                await connection.execute(sa.insert(ORDERS).values(id=1, what="two"))
        except sa.exc.IntegrityError:
            raise errors.AlreadyExists("there is one") from None
        raise AssertionError

    served = await serve(url, act)
    assert [(await served.send("a book", "k")).code for _ in "12"] == [grpc.StatusCode.ALREADY_EXISTS] * 2
    assert await orders(engine) == []
    assert len(served.shop.executed) == 1


async def test_one_that_was_taken_over_meanwhile_writes_nothing_and_gives_the_others_answer(
    serve: Serve, url: str, engine: AsyncEngine
) -> None:
    """The first stands still before its effect, its lease ends, another executes: then the first goes on."""
    began, go_on = asyncio.Event(), asyncio.Event()

    async def stand(text: str, _context: Context) -> StringValue:
        began.set()
        await go_on.wait()
        return await order(text)

    async def act(text: str, _context: Context) -> StringValue:
        return await order(text)

    one = await serve(Deaf(url, lease=0.5), stand)
    two = await serve(SqlStore(url, lease=0.5), act)
    first = asyncio.ensure_future(one.send("a book", "k"))
    await began.wait()
    second = await two.send("a book", "k")
    assert (second.text, second.replayed) == ("order 1", False)
    go_on.set()
    answer = await first
    assert (answer.text, answer.replayed) == ("order 1", True)
    assert await orders(engine) == ["a book"]
