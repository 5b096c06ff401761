"""The outbox. Times are the database's, so that the clocks of several workers do not matter."""

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
class TakenMail:
    """A mail as its worker has it.

    Attributes:
        attempt: the number of this attempt. Another worker that takes the mail after the lease
            has run out gets the next one, and this one's failure is not written any more.
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
    """When the one that waits longest was written."""
    dead: int


_adding = insert(cast("Table", Mail.__table__))
_open = (Mail.sent_at.is_(None), Mail.dead_at.is_(None))


async def add(db: AsyncSession, *, kind: str, recipient: str | None, sealed: bytes) -> None:
    await db.execute(_adding, {"kind": kind, "recipient": recipient, "sealed": sealed})


async def take(db: AsyncSession, *, limit: int, lease: timedelta) -> Sequence[TakenMail]:
    """What is due and nobody else has in hand. It is the caller's until the lease runs out."""
    due = (
        select(Mail.id)
        .where(*_open, Mail.next_attempt_at <= func.now())
        .where(or_(Mail.leased_until.is_(None), Mail.leased_until <= func.now()))
        .order_by(Mail.next_attempt_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("due")  # as `IN (...)` the plan could run it again for each row, and lock too many
    )
    taken = await db.execute(
        update(Mail)
        .where(Mail.id == due.c.id)
        .values(leased_until=func.now() + lease, attempts=Mail.attempts + 1)
        .returning(Mail.id, Mail.kind, Mail.recipient, Mail.sealed, Mail.attempts, Mail.created_at)
        .execution_options(synchronize_session=False)
    )
    return [TakenMail(*row) for row in taken]


async def hold(db: AsyncSession, mail: TakenMail) -> bool:
    """Keep it in hand until the transaction ends; False where it is another worker's by now."""
    held = select(Mail.id).where(*_is_still(mail)).with_for_update()
    return await db.scalar(held) is not None


async def materialize(
    db: AsyncSession, mail: TakenMail, *, kind: str, recipient: str, sealed: bytes
) -> None:
    """Put another in its place, due at once."""
    await _change(
        db,
        *_is_still(mail),
        kind=kind,
        recipient=recipient,
        sealed=sealed,
        attempts=0,
        leased_until=None,
    )


async def remove(db: AsyncSession, mail: TakenMail) -> None:
    gone = delete(Mail).where(*_is_still(mail))
    await db.execute(gone.execution_options(synchronize_session=False))


async def mark_sent(db: AsyncSession, mail: TakenMail) -> None:
    """True whoever has it in hand by now: it went out."""
    await _change(
        db,
        Mail.id == mail.id,
        sent_at=func.now(),
        dead_at=None,
        sealed=None,
        leased_until=None,
        last_error=None,
    )


async def postpone(db: AsyncSession, mail: TakenMail, *, wait: timedelta, error: str) -> None:
    await _change(
        db,
        *_is_still(mail),
        next_attempt_at=func.now() + wait,
        leased_until=None,
        last_error=error,
    )


async def give_up(db: AsyncSession, mail: TakenMail, *, error: str) -> None:
    await _change(db, *_is_still(mail), dead_at=func.now(), leased_until=None, last_error=error)


async def remove_to(db: AsyncSession, recipients: Sequence[str]) -> int:
    """Delete what was sent to these addresses, and what waits, and return how many.

    In the "C" locale, for another one's `lower` could take a stranger's address for one of them.
    """
    addresses = [ascii_lower(recipient) for recipient in recipients]
    recipient = func.lower(Mail.recipient.collate("C"))
    gone = delete(Mail).where(recipient.in_(addresses)).returning(Mail.id)
    removed = await db.execute(gone.execution_options(synchronize_session=False))
    return len(removed.all())


async def revive(db: AsyncSession, mail_id: UUID) -> bool:
    """Have it waiting again, as if it had never been tried; False where it was not given up."""
    again = {"dead_at": None, "attempts": 0, "next_attempt_at": func.now(), "last_error": None}
    revived = update(Mail).where(Mail.id == mail_id, Mail.dead_at.is_not(None)).values(**again)
    return await db.scalar(revived.returning(Mail.id)) is not None


async def purge(db: AsyncSession, *, older_than: timedelta) -> None:
    """What has ended, and is older than that."""
    gone = delete(Mail).where(
        Mail.created_at < func.now() - older_than,
        or_(Mail.sent_at.is_not(None), Mail.dead_at.is_not(None)),
    )
    await db.execute(gone.execution_options(synchronize_session=False))


async def count(db: AsyncSession) -> Backlog:
    waiting = await db.execute(select(func.count(), func.min(Mail.created_at)).where(*_open))
    dead = await db.scalar(select(func.count()).where(Mail.dead_at.is_not(None)))
    number, oldest = waiting.one()
    return Backlog(waiting=number, oldest=oldest, dead=dead or 0)


def _is_still(mail: TakenMail) -> tuple[ColumnElement[bool], ...]:
    return (Mail.id == mail.id, Mail.attempts == mail.attempt, *_open)


async def _change(db: AsyncSession, *which: ColumnElement[bool], **values: Any) -> None:
    await db.execute(
        update(Mail).where(*which).values(**values).execution_options(synchronize_session=False)
    )
