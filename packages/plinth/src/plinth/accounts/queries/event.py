"""Queries of the audit log."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Insert,
    Table,
    bindparam,
    exists,
    func,
    insert,
    or_,
    select,
    text,
)
from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts.models import Event, EventCheckpoint, User
from plinth.db.database import Database
from plinth.db.reading import Query

# An insert into the table, not the class: it skips the ORM's work for each row.
_events = cast("Table", Event.__table__)
_insert = insert(_events)
ERASED = "user.erased"
GUARDS = frozenset({"chain_event", "refuse_event_change", "refuse_event_truncate"})
ENABLED_TRIGGERS = """
SELECT tgname::text FROM pg_trigger
WHERE tgrelid = to_regclass('events') AND tgenabled IN ('O', 'A')
"""
_ERASURE_ARGUMENTS = (
    "actor_id",
    "session_id",
    "request_id",
    "reason",
    "ip",
    "user_agent",
    "salt",
    "personal",
)
_PRUNE_TYPES = {
    "previous_id": _events.c.id.type,
    **{column.name: column.type for column in EventCheckpoint.__table__.c},
    "reason": _events.c.reason.type,
    "salt": _events.c.salt.type,
    "personal": _events.c.personal.type,
}
_prune_query = Query(
    select(
        func.prune_events(
            *(bindparam(name, type_=type_) for name, type_ in _PRUNE_TYPES.items()),
            type_=BigInteger,
        ).label("count")
    )
)
_columns = [column for column in _events.c if column.server_default is None]  # no trigger sets it


async def add(db: AsyncSession, event: Mapping[str, object]) -> None:
    await db.execute(_insert, event)


def insert_from(source: FromClause, **values: ColumnElement[Any]) -> Insert:
    """Build an insert of one event for each row of `source`, as a part of a larger statement.

    It must be the last part that writes, since the hash chain serializes its writers.

    Args:
        values: columns taken from `source`. The others are bound parameters (`bind_values`).
    """
    selected = [
        values.get(column.name, bindparam(_param_name(column.name), type_=column.type))
        for column in _columns
    ]
    return _insert.from_select(
        [column.name for column in _columns], select(*selected).select_from(source)
    )


def bind_values(event: Mapping[str, object]) -> dict[str, object]:
    """Return the parameters of a statement with `insert_from`."""
    return {_param_name(column): value for column, value in event.items()}


def _param_name(column: str) -> str:
    return f"event_{column}"  # other parts of the statement have columns of the same names


async def get_of(db: AsyncSession, subject_id: int, *, skip: int, limit: int) -> Sequence[Event]:
    """Return the events of a user's account, newest first."""
    events = (
        select(Event)
        .where(Event.subject_id == subject_id)
        .order_by(Event.id.desc())
        .offset(skip)
        .limit(limit)
    )
    return (await db.scalars(events)).all()


async def stream(db: AsyncSession, *, after: int = 0, batch: int = 1000) -> AsyncIterator[Event]:
    """Yield the events after an id, in the order of their ids. Only one batch is in memory."""
    last_id = after
    while rows := (
        await db.scalars(select(Event).where(Event.id > last_id).order_by(Event.id).limit(batch))
    ).all():
        for row in rows:
            yield row
        last_id = rows[-1].id
        db.expunge_all()


async def get_last_id(db: AsyncSession) -> int:
    """Return the id of the last event, or 0 for an empty log."""
    return await db.scalar(select(func.max(Event.id))) or 0


async def find_oldest_time(db: AsyncSession) -> datetime | None:
    """Return the time of the first event that retention has not deleted."""
    time: datetime | None = await db.scalar(select(Event.at).order_by(Event.id).limit(1))
    return time


async def find_checkpoint(db: AsyncSession) -> EventCheckpoint | None:
    """Return the checkpoint, or None if no event was deleted."""
    newest = select(EventCheckpoint).order_by(EventCheckpoint.last_id.desc()).limit(1)
    checkpoint: EventCheckpoint | None = await db.scalar(
        newest, execution_options={"populate_existing": True}
    )
    return checkpoint


async def prune(database: Database, **arguments: object) -> int | None:
    """Delete the events up to a new checkpoint, store it, and add an event `events.pruned`.

    A database function does this, because the application's role has no DELETE privilege on events.
    The statement is its own transaction, so that the lock of the chain is held only until the
    database has committed.

    Args:
        arguments: see `_PRUNE_TYPES`.

    Returns:
        The number of deleted events; 0 if another process has deleted them; None while another
        process deletes events.
    """
    (row,) = await database.execute_autocommit(_prune_query, **arguments)
    count: int | None = row.count
    return count


async def resign_checkpoint(db: AsyncSession, last_id: int, signature: bytes) -> None:
    """Replace the signature of the checkpoint."""
    await db.scalar(select(func.resign_event_checkpoint(last_id, signature)))


async def has_user(db: AsyncSession, user_id: int) -> bool:
    """Return whether an event has this user as subject or actor."""
    found = select(exists().where(or_(Event.subject_id == user_id, Event.actor_id == user_id)))
    return bool(await db.scalar(found))


async def erase_personal_data(db: AsyncSession, evidence: Mapping[str, object]) -> int:
    """Erase the IP address, user agent and salt of events that a deleted user caused.

    That includes events on their account without an actor, such as failed sign-ins. Events that
    other users caused on the account keep the data of those users. Without the salt, the digest in
    the hash chain cannot be reversed by guessing.

    A database function does this and adds the evidence, because the application's role has no
    UPDATE privilege on events.

    Args:
        evidence: the event `user.erased`, whose subject is the user.

    Returns:
        The number of erased events.
    """
    erase = select(
        func.erase_event_traces(
            *(
                bindparam(name, type_=_events.c[name].type, value=evidence[name])
                for name in ("subject_id", *_ERASURE_ARGUMENTS)
            )
        )
    )
    return int(await db.scalar(erase) or 0)


async def find_erasures(db: AsyncSession) -> dict[int, int]:
    """Return the id of the last event `user.erased` of each erased user."""
    last = (
        select(Event.subject_id, func.max(Event.id))
        .where(Event.event == ERASED, Event.subject_id.is_not(None))
        .group_by(Event.subject_id)
    )
    return {user_id: last_id for user_id, last_id in await db.execute(last) if user_id is not None}


async def find_erased_with_account(db: AsyncSession) -> int | None:
    """Return the lowest id of an existing user whom an event `user.erased` names."""
    has_account = exists().where(User.id == Event.subject_id)
    lowest = select(func.min(Event.subject_id)).where(Event.event == ERASED, has_account)
    user_id: int | None = await db.scalar(lowest)
    return user_id


async def find_missing_guards(db: AsyncSession) -> list[str]:
    """Return the triggers of the table that are missing or disabled."""
    enabled = await db.scalars(text(ENABLED_TRIGGERS))
    return sorted(GUARDS - set(enabled))
