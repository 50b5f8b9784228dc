"""The table of keys, and what is done to it: the same statements for SQLite and PostgreSQL.

What is decided is decided by `kit.resilience.idempotency_states`; the WHERE clauses here say nothing else than its
`owner` checks. No function needs a transaction: what is changed after it was looked at is changed only if it is still
as it was seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from kit.errors import ConfigurationError
from kit.resilience.idempotency_states import KeyState, Record, Verdict, claimed, decide
from kit.server.idempotency.store import CallKey, Claim, StoreError, Ticket

__all__ = ["claim", "complete", "look", "make_tables", "release", "renew", "sweep", "timeline"]

#: Raised by one with each change of the tables.
VERSION = 1
#: Rows that one statement names; databases take some ten thousand parameters.
CHUNK = 500
#: Times that a claim looks again, because others have claimed, renewed or completed between two of its statements.
TRIES = 5

METADATA = sa.MetaData()
KEYS = sa.Table(
    "kit_idempotency",
    METADATA,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("principal", sa.Text, nullable=False),
    sa.Column("method", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("state", sa.SmallInteger, nullable=False),
    sa.Column("fingerprint", sa.LargeBinary, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("lease_until", sa.Double, nullable=False),
    sa.Column("expires_at", sa.Double, nullable=False, index=True),
    sa.Column("answer", sa.LargeBinary),
    sa.UniqueConstraint("principal", "method", "key"),
)
#: One row.
SCHEMA = sa.Table(
    "kit_idempotency_schema",
    METADATA,
    sa.Column("version", sa.Integer, primary_key=True),
    # SQLite: which start of the machine the clock counts in, and what is to be added to the machine's clock.
    sa.Column("boot", sa.Text),
    sa.Column("clock_offset", sa.Double),
)

_INSERT = {
    "sqlite": sqlite.insert(KEYS).on_conflict_do_nothing().returning(KEYS.c.id),
    "postgresql": postgresql.insert(KEYS).on_conflict_do_nothing().returning(KEYS.c.id),
}
_LOOK = sa.select(KEYS).where(*(KEYS.c[name] == sa.bindparam(name) for name in ("principal", "method", "key")))
_OF_OWNER = (KEYS.c.id == sa.bindparam("row"), KEYS.c.owner == sa.bindparam("by"))
_RUNNING = KEYS.c.state == KeyState.RUNNING.value
_TAKE = sa.update(KEYS).where(
    *_OF_OWNER, KEYS.c.state == sa.bindparam("seen"), KEYS.c.lease_until == sa.bindparam("seen_until")
)
_FINISH = sa.update(KEYS).where(*_OF_OWNER, _RUNNING)
_STATE = sa.select(KEYS.c.state).where(*_OF_OWNER)
#: For a claim that nobody has heard the answer to.
_ROW = _LOOK.with_only_columns(KEYS.c.id).where(KEYS.c.owner == sa.bindparam("by"))


def make_tables(connection: sa.Connection) -> None:
    """Raises ConfigurationError for tables of a later version, which this one cannot know."""
    METADATA.create_all(connection)
    version = connection.execute(sa.select(SCHEMA.c.version)).scalar()
    if version is None:
        connection.execute(sa.insert(SCHEMA).values(version=VERSION))
    elif version > VERSION:
        raise ConfigurationError(
            f"the idempotency tables are of version {version}, and this kit knows {VERSION}; they were made by a later "
            "kit: update this one, or give it a database of its own"
        )


def timeline(connection: sa.Connection, boot: str, now: float, wall: float) -> float:
    """What all processes on this machine add to its monotonic clock, so that instants outlive a restart of it.

    The first of them after a restart says: the wall clock of that moment. Whatever held a lease before is gone.
    """
    known, offset = connection.execute(sa.select(SCHEMA.c.boot, SCHEMA.c.clock_offset)).one()
    if known == boot and offset is not None:
        return float(offset)
    connection.execute(sa.update(SCHEMA).values(boot=boot, clock_offset=wall - now))
    connection.execute(sa.update(KEYS).where(_RUNNING).values(lease_until=0.0))
    return wall - now


def claim(
    connection: sa.Connection,
    key: CallKey,
    fingerprint: bytes,
    owner: str,
    *,
    now: float,
    lease: float,
    ttl: float,
) -> Claim:
    """Takes the key for `owner` where it is free."""
    names = {"principal": key.principal, "method": key.method, "key": key.key}
    fresh = claimed(None, fingerprint=fingerprint, owner=owner, now=now, lease=lease, ttl=ttl)
    row = connection.execute(_INSERT[connection.dialect.name], names | _values(fresh)).scalar_one_or_none()
    if row is not None:
        return Claim(Verdict.RUN, Ticket(key, owner, fresh.generation, row))
    for _ in range(TRIES):
        found = connection.execute(_LOOK, names).one_or_none()
        if found is None:
            break
        record = _record(found)
        decision = decide(record, fingerprint, owner, now)
        if decision.verdict is not Verdict.RUN:
            return Claim(decision.verdict, answer=decision.answer, wait=decision.wait)
        taken = claimed(record, fingerprint=fingerprint, owner=owner, now=now, lease=lease, ttl=ttl)
        seen = {"by": record.owner, "seen": record.state.value, "seen_until": record.lease_until}
        if connection.execute(_TAKE.values(_values(taken)), {"row": found.id, **seen}).rowcount == 1:
            return Claim(Verdict.RUN, Ticket(key, owner, taken.generation, found.id))
    raise StoreError("the key changes hands just now; ask again")


def look(connection: sa.Connection, key: CallKey, fingerprint: bytes, owner: str, *, now: float) -> Claim:
    """What a claim would come to."""
    names = {"principal": key.principal, "method": key.method, "key": key.key}
    found = connection.execute(_LOOK, names).one_or_none()
    decision = decide(None if found is None else _record(found), fingerprint, owner, now)
    return Claim(decision.verdict, answer=decision.answer, wait=decision.wait)


def renew(connection: sa.Connection, tickets: Sequence[Ticket], *, now: float, lease: float) -> frozenset[Ticket]:
    """Begins the lease of each ticket anew; returns those that are still good."""
    until = now + lease
    good: set[str] = set()
    for start in range(0, len(tickets), CHUNK):
        chunk = tickets[start : start + CHUNK]
        longer = sa.case((KEYS.c.expires_at > until, KEYS.c.expires_at), else_=until)
        statement = (
            sa.update(KEYS)
            .where(KEYS.c.id.in_([ticket.row for ticket in chunk]), _RUNNING)
            .where(KEYS.c.owner.in_([ticket.owner for ticket in chunk]))
            .values(lease_until=until, expires_at=longer)
            .returning(KEYS.c.owner)
        )
        good |= set(connection.execute(statement).scalars())
    return frozenset(ticket for ticket in tickets if ticket.owner in good)


def complete(connection: sa.Connection, ticket: Ticket, answer: bytes, *, now: float, ttl: float) -> bool:
    """Keeps the answer; False where the ticket is no longer good."""
    return _finish(connection, ticket, KeyState.COMPLETED, {"answer": answer, "expires_at": now + ttl})


def release(connection: sa.Connection, ticket: Ticket) -> bool:
    """Frees the key; False where the ticket is no longer good."""
    if not ticket.row:
        key = ticket.key
        names = {"principal": key.principal, "method": key.method, "key": key.key, "by": ticket.owner}
        ticket = replace(ticket, row=connection.execute(_ROW, names).scalar_one_or_none() or 0)
    return _finish(connection, ticket, KeyState.PENDING, {})


def sweep(connection: sa.Connection, limit: int, *, now: float) -> int:
    """Forgets at most `limit` records whose time is over; those that another process is forgetting are left to it."""
    over = (
        sa.select(KEYS.c.id)
        .where(KEYS.c.expires_at <= now, sa.not_(_RUNNING & (KEYS.c.lease_until > now)))
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return connection.execute(sa.delete(KEYS).where(KEYS.c.id.in_(over))).rowcount


def _finish(connection: sa.Connection, ticket: Ticket, state: KeyState, values: dict[str, object]) -> bool:
    names = {"row": ticket.row, "by": ticket.owner}
    if connection.execute(_FINISH.values(state=state.value, **values), names).rowcount == 1:
        return True
    return connection.execute(_STATE, names).scalar_one_or_none() == state.value


def _values(record: Record) -> dict[str, object]:
    return {
        "state": record.state.value,
        "fingerprint": record.fingerprint,
        "owner": record.owner,
        "generation": record.generation,
        "lease_until": record.lease_until,
        "expires_at": record.expires_at,
        "answer": record.answer,
    }


def _record(row: sa.Row[tuple[object, ...]]) -> Record:
    return Record(
        state=KeyState(row.state),
        fingerprint=bytes(row.fingerprint),
        owner=row.owner,
        generation=row.generation,
        lease_until=row.lease_until,
        expires_at=row.expires_at,
        answer=None if row.answer is None else bytes(row.answer),
    )
