"""The store is away: nothing is executed unprotected, and what was executed is not executed again."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import grpc
import pytest

from kit.server.idempotency import MemoryStore, SqlStore, StoreError
from tests.integration.server.idempotency.conftest import Serve
from tests.integration.server.idempotency.shop import Context
from tests.support.postgres import Postgres


class Away(MemoryStore):
    """Fails in what it is told to."""

    away: frozenset[str] = frozenset()

    async def claim(self, *arguments: Any, **options: Any) -> Any:
        self._check("claim")
        return await super().claim(*arguments, **options)

    async def complete(self, *arguments: Any, **options: Any) -> Any:
        self._check("complete")
        return await super().complete(*arguments, **options)

    async def release(self, *arguments: Any, **options: Any) -> Any:
        self._check("release")
        return await super().release(*arguments, **options)

    async def renew(self, *arguments: Any, **options: Any) -> Any:
        self._check("renew")
        return await super().renew(*arguments, **options)

    def _check(self, what: str) -> None:
        if what in self.away:
            raise StoreError("away")


async def test_while_the_store_is_away_calls_are_refused_and_not_executed(serve: Serve) -> None:
    store = Away()
    served = await serve(store)
    store.away = frozenset({"claim"})
    refused = await served.send("a book", "k")
    assert (refused.code, refused.retry_after) == (grpc.StatusCode.UNAVAILABLE, 1.0)
    assert "nothing was executed" in refused.text
    assert "away" not in refused.text
    assert served.shop.executed == []
    store.away = frozenset()
    assert (await served.send("a book", "k")).text == "a book 1"


async def test_what_was_executed_while_the_store_went_away_is_kept_when_it_is_back(serve: Serve) -> None:
    store = Away(timeout=0.1)
    served = await serve(store)
    store.away = frozenset({"complete"})
    refused = await served.send("a book", "k")
    assert (refused.code, refused.retry_after) == (grpc.StatusCode.UNAVAILABLE, 1.0)
    assert "was executed" in refused.text
    store.away = frozenset()
    answer = await served.send("a book", "k")
    assert (answer.text, answer.replayed) == ("a book 1", True)
    assert served.shop.executed == ["a book"]


async def test_a_handler_whose_lease_cannot_be_renewed_is_ended_when_it_is_over(serve: Serve) -> None:
    cancelled: list[str] = []

    async def act(text: str, _context: Context) -> None:
        if len(served.shop.executed) == 1:
            store.away = frozenset({"renew"})
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(text)
                raise

    store = Away(lease=0.2)
    served = await serve(store, act)
    answer = await served.send("a book", "k")
    assert (answer.text, cancelled) == ("a book 2", ["a book"])


async def test_postgresql_may_be_restarted_under_a_server(serve: Serve, postgres: Postgres) -> None:
    served = await serve(SqlStore(postgres.new_database(), timeout=5.0))
    assert (await served.send("a book", "k")).text == "a book 1"
    postgres.stop(signal.SIGINT)
    try:
        refused = await served.send("a pen", "l")
        assert (refused.code, refused.retry_after) == (grpc.StatusCode.UNAVAILABLE, 1.0)
        assert served.shop.executed == ["a book"]
    finally:
        postgres.start()
    assert (await served.send("a pen", "l")).text == "a pen 2"
    assert (await served.send("a book", "k")).replayed


async def test_connections_that_the_database_has_ended_are_replaced_within_a_call(
    serve: Serve, postgres: Postgres
) -> None:
    served = await serve(postgres.new_database())
    await served.send("a book", "k")
    postgres.stop(signal.SIGINT)
    postgres.start()
    assert (await served.send("a pen", "l")).text == "a pen 2"


@pytest.mark.parametrize("refusal", [False, True])
async def test_what_a_handler_refuses_is_told_also_where_it_cannot_be_kept(serve: Serve, refusal: bool) -> None:
    from kit import errors

    async def act(_text: str, _context: Context) -> None:
        raise errors.NotFound("no") if refusal else errors.Unavailable("down")

    store = Away(timeout=0.1)
    served = await serve(store, act)
    store.away = frozenset({"complete", "release"})
    assert (await served.send("a book", "k")).text == ("no" if refusal else "down")
    store.away = frozenset()
