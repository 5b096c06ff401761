"""A person's data, away for good. What remains is that there was a user of this number."""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import queries
from plinth.accounts.services import accounts, administration, audit
from plinth.db.database import after_commit


@dataclass(frozen=True, slots=True)
class Erased:
    """How many there were of each."""

    account: bool
    sessions: int
    mails: int
    events: int
    """Those that no longer say from where and by which program."""


async def erase(db: AsyncSession, user_id: int) -> Erased:
    """Remove the account, with its sessions, links and mails, and from the audit log where the
    person was and by which program. The log goes on holding together.

    Of an account that was deleted before, what is left is removed.

    Raises:
        LastSuperuser
        UserNotFound: nothing is known of such a user.
    """
    superusers = set(await queries.user.lock_superusers(db))
    if superusers == {user_id}:
        raise administration.LastSuperuser("The last superuser cannot be erased")
    user = await queries.user.get(db, user_id, lock=True)
    mails = 0
    if user is not None:
        addresses = [user.email, *await queries.one_time_token.get_addresses(db, user_id)]
        mails = await queries.mail.remove_to(db, addresses)
        await queries.user.remove(db, id=user_id)
    elif not await queries.event.knows(db, user_id):
        raise accounts.UserNotFound
    sessions = await queries.session.erase_all(db, user_id)
    evidence = audit.describe(queries.event.ERASED, subject_id=user_id)
    events = await queries.event.erase_traces(db, evidence)
    after_commit(db, lambda: accounts.count_users.forget(db))
    return Erased(user is not None, sessions, mails, events)
