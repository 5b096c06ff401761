"""The outbox: a mail is written in the transaction that causes it, and sent after the commit.

The context of a mail may contain a token, so it is encrypted, and erased once the mail is sent. The
kind and the recipient are authenticated with it (AES-GCM associated data): write access to the
table is not enough to redirect a link.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import queries
from plinth.accounts.queries.mail import Backlog, LeasedMail
from plinth.accounts.services import audit
from plinth.db.database import after_commit
from plinth.errors import NotFound
from plinth.security import encryption
from plinth.security.encryption import Reencrypted, decrypt, encrypt

_listeners: set[asyncio.Event] = set()


async def enqueue(db: AsyncSession, kind: str, recipient: str | None, **context: Any) -> None:
    """Write a mail to the outbox.

    Args:
        kind: a template in `plinth/mail/templates/`, or a key of `mail_worker.MATERIALIZERS`.
        recipient: None if the materializer looks it up.
        context: the variables of the template, as JSON values.
    """
    sealed = encrypt(context, belongs_to=_purpose(kind, recipient))
    await queries.mail.add(db, kind=kind, recipient=recipient, sealed=sealed)
    after_commit(db, _wake_workers)


async def materialize(
    db: AsyncSession, mail: LeasedMail, kind: str, recipient: str, **context: Any
) -> None:
    """Replace a queued request with the mail to send."""
    sealed = encrypt(context, belongs_to=_purpose(kind, recipient))
    await queries.mail.materialize(db, mail, kind=kind, recipient=recipient, sealed=sealed)
    after_commit(db, _wake_workers)


def read_context(mail: LeasedMail) -> dict[str, Any]:
    """Decrypt the context of a mail.

    Raises:
        ValueError: it was encrypted with another `SECRET_KEY`, or the row was modified.
    """
    if mail.sealed is None:
        raise ValueError("its content was erased (mails.sealed is null)")
    return decrypt(mail.sealed, belongs_to=_purpose(mail.kind, mail.recipient))


async def reencrypt(db: AsyncSession, after: UUID, *, limit: int) -> Reencrypted | None:
    """Encrypt the contents in a batch of mails with the current key, as `totp.reencrypt` does."""
    rows = await queries.mail.lock_sealed(db, after=after, limit=limit)
    done = lost = 0
    for mail_id, kind, recipient, sealed in rows:
        try:
            new = encryption.reencrypt(sealed, belongs_to=_purpose(kind, recipient))
        except ValueError:
            lost += 1
            continue
        if new is not None:
            await queries.mail.replace_sealed(db, mail_id, new)
            done += 1
    return Reencrypted(done, lost, rows[-1][0]) if rows else None


async def count(db: AsyncSession) -> Backlog:
    """Count the waiting and the failed mails."""
    return await queries.mail.count(db)


async def retry(db: AsyncSession, mail_id: UUID) -> None:
    """Queue a failed mail again.

    Raises:
        NotFound: the mail does not exist, or it has not failed.
    """
    if not await queries.mail.requeue(db, mail_id):
        raise NotFound("No failed mail has this id: it may be waiting, sent or removed")
    audit.record(db, "mail.retried", subject_id=None, reason=str(mail_id))
    after_commit(db, _wake_workers)


@contextmanager
def wake_on_enqueue(event: asyncio.Event) -> Iterator[None]:
    """Set `event` whenever this process commits a mail. Mails of other processes do not set it."""
    _listeners.add(event)
    try:
        yield
    finally:
        _listeners.discard(event)


async def _wake_workers() -> None:
    for event in _listeners:
        event.set()


def _purpose(kind: str, recipient: str | None) -> str:
    return f"mail {kind} to {recipient or 'nobody yet'}"
