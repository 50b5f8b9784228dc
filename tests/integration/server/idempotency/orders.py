"""A shop that writes its orders down: into the store's database, or into a file of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from google.protobuf.wrappers_pb2 import StringValue
from sqlalchemy.ext.asyncio import create_async_engine

import kit
from kit.server.idempotency import effect

METADATA = sa.MetaData()
ORDERS = sa.Table(
    "orders",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("key", sa.Text),
    sa.Column("what", sa.Text),
)
DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}


async def in_database(what: str) -> StringValue:
    """The row and the answer are committed together."""
    answer = StringValue()
    async with effect(answer) as connection:
        row = await connection.execute(sa.insert(ORDERS).values(key=kit.idempotency_key(), what=what))
        answer.value = f"order {row.inserted_primary_key[0]}"
    return answer


def in_file(file: Path, what: str) -> StringValue:
    """A line for each execution; nothing ties it to the answer."""
    line = f"{kit.idempotency_key()} {what}\n".encode()
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)
    return StringValue(value=f"order of {what}")


async def make_table(url: str) -> None:
    """Before several processes need it."""
    await _run(url, METADATA.create_all)


async def rows(url: str) -> dict[str, int]:
    """How many orders each key has made."""
    count = sa.select(ORDERS.c.key, sa.func.count()).group_by(ORDERS.c.key)
    found: dict[Any, int] = await _run(url, lambda connection: dict(connection.execute(count).all()))
    return found


async def states(url: str) -> dict[int, int]:
    """How many keys are in each state."""
    count = sa.text("SELECT state, count(*) FROM kit_idempotency GROUP BY state")
    found: dict[Any, int] = await _run(url, lambda connection: dict(connection.execute(count).all()))
    return found


async def _run(url: str, work: Callable[[sa.Connection], Any]) -> Any:
    made = sa.make_url(url)
    engine = create_async_engine(made.set(drivername=DRIVERS[made.drivername]))
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(work)
    finally:
        await engine.dispose()
