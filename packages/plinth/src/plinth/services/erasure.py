"""A person's data, away for good. What remains is that there was a user of this number."""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from plinth import crud
from plinth.core.database import after_commit
from plinth.services import accounts, administration, audit


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
    superusers = set(await crud.user.lock_superusers(db))
    if superusers == {user_id}:
        raise administration.LastSuperuser("The last superuser cannot be erased")
    user = await crud.user.get(db, user_id, lock=True)
    mails = 0
    if user is not None:
        addresses = [user.email, *await crud.one_time_token.get_addresses(db, user_id)]
        mails = await crud.mail.remove_to(db, addresses)
        await crud.user.remove(db, id=user_id)
    elif not await crud.event.knows(db, user_id):
        raise accounts.UserNotFound
    sessions = await crud.session.erase_all(db, user_id)
    evidence = audit.describe(crud.event.ERASED, subject_id=user_id)
    events = await crud.event.erase_traces(db, evidence)
    after_commit(db, lambda: accounts.count_users.forget(db))
    return Erased(user is not None, sessions, mails, events)
