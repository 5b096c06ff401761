from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, cast

from sqlalchemy import (
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

from plinth.accounts.models import Event, User

# A table's insert and not a class's: the ORM would work out anew for each event what to do.
_events = cast("Table", Event.__table__)
_adding = insert(_events)
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


async def erase_traces(db: AsyncSession, evidence: Mapping[str, object]) -> int:
    """Erase from where, and by which program, a deleted user acted, and any unknown person acted on
    their account. What another user did to them keeps the other's traces.

    A function of the database does it, because the application's role may not UPDATE events. It
    erases the salt too, so that the digest in the chain cannot be guessed, and adds the evidence.

    Args:
        evidence: the event `user.erased`, whose subject is the user.

    Returns:
        In how many events.
    """
    erasing = select(
        func.erase_event_traces(
            *(
                bindparam(name, type_=_events.c[name].type, value=evidence[name])
                for name in ("subject_id", *_ERASURE_ARGUMENTS)
            )
        )
    )
    return int(await db.scalar(erasing) or 0)


async def find_erasures(db: AsyncSession) -> dict[int, int]:
    """Return the number of the last event `user.erased` of each user who was erased."""
    found = (
        select(Event.subject_id, func.max(Event.id))
        .where(Event.event == ERASED, Event.subject_id.is_not(None))
        .group_by(Event.subject_id)
    )
    return {user_id: number for user_id, number in await db.execute(found) if user_id is not None}


async def find_erased_but_there(db: AsyncSession) -> int | None:
    """Return a user who is said to be erased and still has an account."""
    there = exists().where(User.id == Event.subject_id)
    found = select(func.min(Event.subject_id)).where(Event.event == ERASED, there)
    number: int | None = await db.scalar(found)
    return number


async def find_missing_guards(db: AsyncSession) -> list[str]:
    """Return the triggers of the table that are missing or switched off."""
    found = await db.scalars(text(ENABLED_TRIGGERS))
    return sorted(GUARDS - set(found))
