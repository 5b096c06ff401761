"""Queries of the outbox. All times come from the database, whatever the workers' clocks are."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ColumnElement, Table, delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts.models import Mail
from plinth.security.addresses import ascii_lower


@dataclass(frozen=True, slots=True)
class LeasedMail:
    """A mail that one worker may send until the lease expires.

    Attributes:
        attempt: the number of this attempt, from 1. A worker that leases the mail after the expiry
            gets the next number. From then on, a failure of this attempt is not saved.
    """

    id: UUID
    kind: str
    recipient: str | None
    sealed: bytes | None
    attempt: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Backlog:
    waiting: int
    oldest: datetime | None
    """The creation time of the oldest waiting mail."""
    dead: int
    """The number of failed mails, which are not retried."""


_insert = insert(cast("Table", Mail.__table__))
_is_waiting = (Mail.sent_at.is_(None), Mail.dead_at.is_(None))


async def add(db: AsyncSession, *, kind: str, recipient: str | None, sealed: bytes) -> None:
    await db.execute(_insert, {"kind": kind, "recipient": recipient, "sealed": sealed})


async def lease(db: AsyncSession, *, limit: int, duration: timedelta) -> Sequence[LeasedMail]:
    """Lease mails that are due and that no other worker has leased."""
    due = (
        select(Mail.id)
        .where(*_is_waiting, Mail.next_attempt_at <= func.now())
        .where(or_(Mail.leased_until.is_(None), Mail.leased_until <= func.now()))
        .order_by(Mail.next_attempt_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("due")  # with `IN (...)`, a plan may run it for each row and lock more than `limit`
    )
    leased = await db.execute(
        update(Mail)
        .where(Mail.id == due.c.id)
        .values(leased_until=func.now() + duration, attempts=Mail.attempts + 1)
        .returning(Mail.id, Mail.kind, Mail.recipient, Mail.sealed, Mail.attempts, Mail.created_at)
        .execution_options(synchronize_session=False)
    )
    return [LeasedMail(*row) for row in leased]


async def lock(db: AsyncSession, mail: LeasedMail) -> bool:
    """Lock the row until the transaction ends. Return False if another worker leased it."""
    locked = select(Mail.id).where(*_is_current(mail)).with_for_update()
    return await db.scalar(locked) is not None


async def materialize(
    db: AsyncSession, mail: LeasedMail, *, kind: str, recipient: str, sealed: bytes
) -> None:
    """Replace a queued request with a mail that is due at once."""
    await _update(
        db,
        *_is_current(mail),
        kind=kind,
        recipient=recipient,
        sealed=sealed,
        attempts=0,
        leased_until=None,
    )


async def remove(db: AsyncSession, mail: LeasedMail) -> None:
    statement = delete(Mail).where(*_is_current(mail))
    await db.execute(statement.execution_options(synchronize_session=False))


async def mark_sent(db: AsyncSession, mail: LeasedMail) -> None:
    """Mark a mail as sent, even if another worker has leased it since."""
    await _update(
        db,
        Mail.id == mail.id,
        sent_at=func.now(),
        dead_at=None,
        sealed=None,
        leased_until=None,
        last_error=None,
    )


async def postpone(db: AsyncSession, mail: LeasedMail, *, wait: timedelta, error: str) -> None:
    await _update(
        db,
        *_is_current(mail),
        next_attempt_at=func.now() + wait,
        leased_until=None,
        last_error=error,
    )


async def mark_dead(db: AsyncSession, mail: LeasedMail, *, error: str) -> None:
    """Mark a mail as failed, so that it is not retried."""
    await _update(db, *_is_current(mail), dead_at=func.now(), leased_until=None, last_error=error)


async def remove_for_recipients(db: AsyncSession, recipients: Sequence[str]) -> int:
    """Delete all mails to these addresses and return how many there were.

    The comparison uses the "C" locale: `lower` of another locale could also match the address of
    another person.
    """
    addresses = [ascii_lower(recipient) for recipient in recipients]
    recipient = func.lower(Mail.recipient.collate("C"))
    statement = delete(Mail).where(recipient.in_(addresses)).returning(Mail.id)
    removed = await db.execute(statement.execution_options(synchronize_session=False))
    return len(removed.all())


async def requeue(db: AsyncSession, mail_id: UUID) -> bool:
    """Reset a failed mail, so that it is due again. Return False if it has not failed."""
    initial = {"dead_at": None, "attempts": 0, "next_attempt_at": func.now(), "last_error": None}
    statement = update(Mail).where(Mail.id == mail_id, Mail.dead_at.is_not(None)).values(**initial)
    return await db.scalar(statement.returning(Mail.id)) is not None


async def lock_sealed(
    db: AsyncSession, *, after: UUID, limit: int
) -> Sequence[tuple[UUID, str, str | None, bytes]]:
    """Lock a batch of mails with content, and return their id, kind, recipient and content."""
    sealed = (
        select(Mail.id, Mail.kind, Mail.recipient, Mail.sealed)
        .where(Mail.sealed.is_not(None), Mail.id > after)
        .order_by(Mail.id)
        .limit(limit)
        .with_for_update()
    )
    return [(row.id, row.kind, row.recipient, row.sealed) for row in await db.execute(sealed)]


async def replace_sealed(db: AsyncSession, mail_id: UUID, sealed: bytes) -> None:
    """Store the same content, encrypted with another key."""
    await _update(db, Mail.id == mail_id, sealed=sealed)


async def count(db: AsyncSession) -> Backlog:
    waiting = await db.execute(select(func.count(), func.min(Mail.created_at)).where(*_is_waiting))
    dead = await db.scalar(select(func.count()).where(Mail.dead_at.is_not(None)))
    number, oldest = waiting.one()
    return Backlog(waiting=number, oldest=oldest, dead=dead or 0)


def _is_current(mail: LeasedMail) -> tuple[ColumnElement[bool], ...]:
    """Match the row unless another worker has leased it since."""
    return (Mail.id == mail.id, Mail.attempts == mail.attempt, *_is_waiting)


async def _update(db: AsyncSession, *conditions: ColumnElement[bool], **values: Any) -> None:
    statement = update(Mail).where(*conditions).values(**values)
    await db.execute(statement.execution_options(synchronize_session=False))
