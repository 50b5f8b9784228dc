"""Versions of the importer's database, and the way up from each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from services.importer import tables

SCHEMA_VERSION = 2

#: By the version that they start from: changes of the tables that were there. New tables are made by themselves.
STEPS: Mapping[int, Sequence[str]] = {
    # Imports of version 1 read everything: mode FULL.
    1: (
        "ALTER TABLE imports ADD COLUMN mode INTEGER NOT NULL DEFAULT 1",
        "ALTER TABLE imports ADD COLUMN follow BOOLEAN NOT NULL DEFAULT 0",
        "ALTER TABLE imports ADD COLUMN shown TEXT NOT NULL DEFAULT '{}'",
        "ALTER TABLE imports ADD COLUMN next_file INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE imports ADD COLUMN next_task INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE files ADD COLUMN decision TEXT",
    ),
}


class LaterVersionError(Exception):
    """The file was written by a later version of the importer."""


def upgrade(connection: sa.Connection) -> None:
    """Brings a database up to SCHEMA_VERSION as one change, committed by the caller; a new file starts there."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")  # the driver begins none before a change of tables
    version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    if version > SCHEMA_VERSION:
        raise LaterVersionError(str(version))
    if version:
        for step in range(version, SCHEMA_VERSION):
            for statement in STEPS[step]:
                connection.exec_driver_sql(statement)
    tables.metadata.create_all(connection)
    connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")
