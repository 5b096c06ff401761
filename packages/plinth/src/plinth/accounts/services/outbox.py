"""The outbox: mails are written in the transaction of their cause, and sent after it.

What a mail says may hold a token, so it is sealed until it is sent and then erased. The kind and
the recipient belong to the seal: who may only write to the table cannot send a link elsewhere.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import queries
from plinth.accounts.queries.mail import Backlog, TakenMail
from plinth.accounts.services import audit
from plinth.db.database import after_commit
from plinth.errors import NotFound
from plinth.security.encryption import decrypt, encrypt

_bells: set[asyncio.Event] = set()


async def enqueue(db: AsyncSession, kind: str, recipient: str | None, **context: Any) -> None:
    """
    Args:
        kind: a template in `plinth/mail/templates/`, or what `mail_worker.PREPARED` makes out.
        recipient: None leaves it to the latter.
        filling: what the template asks for; what JSON can hold.
    """
    sealed = encrypt(context, belongs_to=_owner(kind, recipient))
    await queries.mail.add(db, kind=kind, recipient=recipient, sealed=sealed)
    after_commit(db, _ring)


async def materialize(
    db: AsyncSession, mail: TakenMail, kind: str, recipient: str, **context: Any
) -> None:
    """Put the mail to be sent in the place of one that only asked for it."""
    sealed = encrypt(context, belongs_to=_owner(kind, recipient))
    await queries.mail.materialize(db, mail, kind=kind, recipient=recipient, sealed=sealed)
    after_commit(db, _ring)


def read_context(mail: TakenMail) -> dict[str, Any]:
    """
    Raises:
        ValueError: it was sealed by another SECRET_KEY, or the row was changed.
    """
    if mail.sealed is None:
        raise ValueError("what it said is erased")
    return decrypt(mail.sealed, belongs_to=_owner(mail.kind, mail.recipient))


async def count(db: AsyncSession) -> Backlog:
    """How many mails wait, since when, and how many were given up."""
    return await queries.mail.count(db)


async def retry(db: AsyncSession, mail_id: UUID) -> None:
    """Send a mail after all that was given up.

    Raises:
        NotFound: it is not there, or was not given up.
    """
    if not await queries.mail.revive(db, mail_id):
        raise NotFound("This mail was not given up")
    audit.record(db, "mail.retried", subject_id=None, reason=str(mail_id))
    after_commit(db, _ring)


@contextmanager
def listening(bell: asyncio.Event) -> Iterator[None]:
    """Have `bell` rung when this process has written a mail. Other processes have to look."""
    _bells.add(bell)
    try:
        yield
    finally:
        _bells.discard(bell)


async def _ring() -> None:
    for bell in _bells:
        bell.set()


def _owner(kind: str, recipient: str | None) -> str:
    return f"mail {kind} to {recipient or 'nobody yet'}"
