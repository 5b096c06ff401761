from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, cast

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Insert,
    Table,
    and_,
    bindparam,
    exists,
    func,
    insert,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Event

# A table's insert and not a class's: the ORM would work out anew for each event what to do.
_events = cast("Table", Event.__table__)
_adding = insert(_events)
_given = [column for column in _events.c if column.server_default is None]  # not by the trigger


async def add(db: AsyncSession, event: Mapping[str, object]) -> None:
    await db.execute(_adding, event)


def adding(cause: FromClause, **known: ColumnElement[Any]) -> Insert:
    """For a `Query` that is a whole transaction: an event for each row of `cause`. It has to be the
    statement's last part, for the reason for which an event is the last of a transaction.

    Args:
        known: the columns that `cause` knows. The others come with each run: `as_values`.
    """
    values = [
        known.get(column.name, bindparam(_name(column.name), type_=column.type))
        for column in _given
    ]
    return _adding.from_select(
        [column.name for column in _given], select(*values).select_from(cause)
    )


def as_values(event: Mapping[str, object]) -> dict[str, object]:
    """An event for a run of such a query."""
    return {_name(column): value for column, value in event.items()}


def _name(column: str) -> str:
    return f"event_{column}"  # the statement's other parts have columns of the same names


async def get_of(db: AsyncSession, subject_id: int, *, skip: int, limit: int) -> Sequence[Event]:
    """What happened to a user's account, newest first."""
    found = (
        select(Event)
        .where(Event.subject_id == subject_id)
        .order_by(Event.id.desc())
        .offset(skip)
        .limit(limit)
    )
    return (await db.scalars(found)).all()


async def stream(db: AsyncSession, *, batch: int = 1000) -> AsyncIterator[Event]:
    """Every event in order, without holding them all."""
    last = 0
    while rows := (
        await db.scalars(select(Event).where(Event.id > last).order_by(Event.id).limit(batch))
    ).all():
        for row in rows:
            yield row
        last = rows[-1].id
        db.expunge_all()


async def find_newest(db: AsyncSession) -> int:
    """The newest one's number; 0 where there is none."""
    return await db.scalar(select(func.max(Event.id))) or 0


async def knows(db: AsyncSession, user_id: int) -> bool:
    """Whether an event speaks of this user."""
    spoken = select(exists().where(or_(Event.subject_id == user_id, Event.actor_id == user_id)))
    return bool(await db.scalar(spoken))


async def erase_traces(db: AsyncSession, user_id: int) -> int:
    """Take away from where, and by which program, the user acted, and whoever without being known
    acted on their account; in how many events. What another did to them keeps the other's.

    The salt goes too, so that the digest in the chain tells nothing.
    """
    theirs = or_(
        Event.actor_id == user_id, and_(Event.actor_id.is_(None), Event.subject_id == user_id)
    )
    erased = (
        update(Event)
        .where(theirs, Event.salt.is_not(None))
        .values(ip=null(), user_agent=null(), salt=null())
        .returning(Event.id)
        .execution_options(synchronize_session=False)
    )
    return len((await db.execute(erased)).all())
