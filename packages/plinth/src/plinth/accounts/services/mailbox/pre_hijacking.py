"""Protection against account pre-hijacking: a stranger registers an address with a password or a
second factor of theirs, and waits for the owner of the address to use the account.
"""

from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import queries
from plinth.accounts.models import User
from plinth.accounts.services import audit, credentials
from plinth.security.passwords import NO_PASSWORD


async def claim(db: AsyncSession, user: User) -> None:
    """Give an unverified account to the person who proved access to its mailbox.

    The password, second factors, identities, sessions and mailed links become void. The address
    becomes verified, and its owner is notified. A verified account stays as it is.

    Call this when the mailbox is the only proof. A person who has the account's password as well,
    or a device on which it signed in, loses nothing: use `credentials.mark_verified`.

    Args:
        user: the user, whose row is locked.
    """
    if user.is_verified:
        return
    await credentials.remove_unproven(db, user.id)
    await queries.session.revoke_all(db, user.id, "the address was unverified")
    await queries.one_time_token.void(db, user.id)
    claimed = {"hashed_password": NO_PASSWORD, "is_verified": True}
    await queries.user.change(db, user, claimed | {"credential_epoch": user.credential_epoch + 1})
    audit.record(db, "account.claimed", actor_id=user.id, subject_id=user.id)
    audit.record(db, "email.verified", actor_id=user.id, subject_id=user.id)
    await credentials.notify(db, user, "account_claimed", page=credentials.FORGOT_PAGE)
