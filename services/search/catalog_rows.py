"""The tables of the catalogue, and how views are read from them."""

from __future__ import annotations

import secrets
import sqlite3
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from kit.errors import ConfigurationError
from loganalyzer.search.v1 import search_pb2
from services.search.view import Move, Published, View

__all__ = ["NOTHING", "changes", "generations", "grown", "hidden", "moved", "prepare", "splits"]

SCHEMA_VERSION = 2
NOTHING = View(0)

_metadata = sa.MetaData()
splits = sa.Table(
    "splits",
    _metadata,
    # In order of publication; never used twice, but for a split that takes another one's place.
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("workspace", sa.String(63), nullable=False),
    sa.Column("split_id", sa.String(128), nullable=False),
    # The Split message.
    sa.Column("split", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("workspace", "split_id"),
    sqlite_autoincrement=True,
)
generations = sa.Table(
    "generations",
    _metadata,
    sa.Column("workspace", sa.String(63), primary_key=True),
    sa.Column("generation", sa.BigInteger, nullable=False),
)
_identity = sa.Table("identity", _metadata, sa.Column("id", sa.String(32), primary_key=True))
# Since version 2: splits that were replaced. Rows of one generation were replaced together.
moved = sa.Table(
    "moved",
    _metadata,
    sa.Column("workspace", sa.String(63), primary_key=True),
    sa.Column("split_id", sa.String(128), primary_key=True),
    sa.Column("seq", sa.Integer, nullable=False),
    sa.Column("split", sa.LargeBinary, nullable=False),
    sa.Column("generation", sa.BigInteger, nullable=False),
    sa.Column("moved_at", sa.Float, nullable=False),
    # The split that took their place, if any, and the sources whose lines it left out, with spaces between.
    sa.Column("into_id", sa.String(128)),
    sa.Column("dropped", sa.String, nullable=False),
)
# Since version 2: sources that were deleted while splits still hold their lines.
hidden = sa.Table(
    "hidden",
    _metadata,
    sa.Column("workspace", sa.String(63), primary_key=True),
    sa.Column("source_id", sa.String(64), primary_key=True),
)


async def prepare(connection: AsyncConnection, path: Path) -> str:
    """Makes what is missing, also what an older version did not have, and gives the identity."""
    version = (await connection.exec_driver_sql("PRAGMA user_version")).scalar_one()
    if version > SCHEMA_VERSION:
        raise ConfigurationError(f"{path.name} has format {version}, this program reads up to {SCHEMA_VERSION}")
    if version < SCHEMA_VERSION:
        await connection.run_sync(_metadata.create_all)
        await connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")
    identity = (await connection.execute(sa.select(_identity.c.id))).scalar()
    if identity is None:
        identity = secrets.token_hex(8)
        await connection.execute(_identity.insert().values(id=identity))
    return str(identity)


def changes(connection: sqlite3.Connection, known: dict[str, View]) -> dict[str, View]:
    """The views that are not as known, within one transaction. What is known of a split is not read again."""
    found: dict[str, View] = {}
    for workspace, generation in connection.execute("SELECT workspace, generation FROM generations").fetchall():
        before = known.get(workspace, NOTHING)
        if before.generation != generation:
            found[workspace] = View(
                generation,
                _published(connection, workspace, before),
                frozenset(
                    source
                    for (source,) in connection.execute("SELECT source_id FROM hidden WHERE workspace = ?", [workspace])
                ),
                _moves(connection, workspace, before),
            )
    return found


def _published(connection: sqlite3.Connection, workspace: str, before: View) -> tuple[Published, ...]:
    splits = {(published.seq, published.split.id): published for published in before.splits}
    rows = connection.execute("SELECT seq, split_id FROM splits WHERE workspace = ? ORDER BY seq", [workspace])
    found = []
    for key in rows.fetchall():
        if key not in splits:
            (packed,) = connection.execute("SELECT split FROM splits WHERE seq = ?", key[:1]).fetchone()
            splits[key] = Published(key[0], workspace, search_pb2.Split.FromString(packed))
        found.append(splits[key])
    return tuple(found)


def _moves(connection: sqlite3.Connection, workspace: str, before: View) -> tuple[Move, ...]:
    # A deletion takes all moves away: then those that are known do not count any more.
    query = "SELECT count(*), coalesce(min(generation), 0) FROM moved WHERE workspace = ? AND generation <= ?"
    old = connection.execute(query, [workspace, before.generation]).fetchone()
    expected = (sum(len(move.replaced) for move in before.moves), before.moves[0].generation if before.moves else 0)
    known, since = (before.moves, before.generation) if old == expected else ((), -1)
    rows = connection.execute(
        "SELECT generation, moved_at, into_id, dropped, seq, split FROM moved"
        " WHERE workspace = ? AND generation > ? ORDER BY generation, seq",
        [workspace, since],
    )
    groups: dict[tuple[int, float, str | None, str], list[Published]] = {}
    for *group, seq, packed in rows:
        published = Published(seq, workspace, search_pb2.Split.FromString(packed))
        groups.setdefault((group[0], group[1], group[2], group[3]), []).append(published)
    added = [
        Move(generation, moved_at, tuple(replaced), into, frozenset(dropped.split()))
        for (generation, moved_at, into, dropped), replaced in groups.items()
    ]
    return (*known, *added)


def grown(workspace: str, generation: int) -> sa.TextClause:
    change = sa.text("INSERT OR REPLACE INTO generations (workspace, generation) VALUES (:workspace, :generation)")
    return change.bindparams(workspace=workspace, generation=generation)
