"""The tables of the workspaces, their saved queries and the operations that delete them, and the way up from old files.

Times are microseconds since 1970, UTC. PRAGMA user_version holds the version of the schema.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from kit.errors import ConfigurationError

#: 1: workspaces and operations. 2: retention of workspaces, saved queries.
SCHEMA_VERSION = 2

metadata = sa.MetaData()
workspaces = sa.Table(
    "workspaces",
    metadata,
    sa.Column("id", sa.String(63), primary_key=True),
    sa.Column("display_name", sa.String(200), nullable=False),
    sa.Column("create_time", sa.BigInteger, nullable=False),
    sa.Column("update_time", sa.BigInteger, nullable=False),
    # Set from the moment that it is being deleted.
    sa.Column("operation", sa.String(32), nullable=True),
    # Retention: microseconds, or NULL for ever; bytes, or 0 for no limit.
    sa.Column("max_age_us", sa.BigInteger, nullable=True),
    sa.Column("max_bytes", sa.BigInteger, nullable=False, server_default="0"),
    sa.Index("workspaces_by_age", "create_time", "id"),
)
operations = sa.Table(
    "operations",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("workspace", sa.String(63), nullable=False),
    sa.Column("create_time", sa.BigInteger, nullable=False),
    sa.Column("end_time", sa.BigInteger, nullable=True),
    sa.Index("operations_by_age", "create_time", "id"),
    sa.Index("operations_by_workspace", "workspace"),
)
saved_queries = sa.Table(
    "saved_queries",
    metadata,
    sa.Column("workspace", sa.String(63), primary_key=True),
    sa.Column("id", sa.String(63), primary_key=True),
    sa.Column("display_name", sa.String(200), nullable=False),
    sa.Column("query", sa.String(4096), nullable=False),
    sa.Column("order_by", sa.String(32), nullable=False),
    sa.Column("create_time", sa.BigInteger, nullable=False),
    sa.Column("update_time", sa.BigInteger, nullable=False),
    sa.Index("saved_queries_by_name", "workspace", "display_name", unique=True),
)


async def migrate(connection: AsyncConnection, path: Path) -> None:
    """Makes the tables, or brings those of an older release up to date, in the transaction that is under way.

    ConfigurationError where a newer program has written the file.
    """
    version = (await connection.execute(sa.text("PRAGMA user_version"))).scalar_one()
    if version > SCHEMA_VERSION:
        raise ConfigurationError(
            f"{path} has schema version {version}, written by a newer release; this one knows up to {SCHEMA_VERSION}. "
            "Install that release again, or use another data folder."
        )
    if version == SCHEMA_VERSION:
        return
    if version == 1:
        await connection.execute(sa.text("ALTER TABLE workspaces ADD COLUMN max_age_us BIGINT"))
        await connection.execute(sa.text("ALTER TABLE workspaces ADD COLUMN max_bytes BIGINT NOT NULL DEFAULT 0"))
    await connection.run_sync(metadata.create_all)
    await connection.execute(sa.text(f"PRAGMA user_version = {SCHEMA_VERSION}"))
