"""What superusers do to others' accounts. One who can act as a superuser always remains."""

from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import queries
from plinth.accounts.models import User
from plinth.accounts.schemas.user import UserAdminUpdate
from plinth.accounts.services import accounts, audit, credentials, throttle
from plinth.accounts.user_columns import LIBRARY
from plinth.db.database import after_commit
from plinth.errors import PermissionDenied, Rejected

ENDS_SESSIONS = ("is_active", "is_superuser")


class CannotDeleteYourself(Rejected):
    code = "cannot_delete_yourself"
    detail = "Cannot delete yourself"


class LastSuperuser(Rejected):
    code = "last_superuser"
    detail = "The last superuser cannot be demoted or deactivated"


async def change_user(db: AsyncSession, user_id: int, changes: UserAdminUpdate, *, by: int) -> User:
    """Change what was sent. A change of role or of the active flag ends the user's sessions.

    Raises:
        Denied: the one who asks was demoted, deactivated or deleted meanwhile.
        LastSuperuser
        UserNotFound
        Rejected: the username is taken.
    """
    superusers = await _lock_superusers(db, by)
    user = await accounts.get_locked(db, user_id)
    old = {name: getattr(user, name) for name in changes.model_fields_set}
    await queries.user.update(db, db_obj=user, obj_in=changes)
    if superusers == {user_id} and not (user.is_superuser and user.is_active):
        raise LastSuperuser
    changed = sorted(name for name, value in old.items() if getattr(user, name) != value)
    if any(name in ENDS_SESSIONS for name in changed):
        await queries.session.revoke_all(db, user_id, "role or active flag changed")
    if changed:
        told = ", ".join(_describe(name, getattr(user, name)) for name in changed)
        audit.record(db, "user.changed", subject_id=user_id, reason=told)
    return user


async def delete_user(db: AsyncSession, user_id: int, *, by: int) -> None:
    """
    Raises:
        CannotDeleteYourself
        Denied: the one who asks was demoted or deleted meanwhile. So of two superusers who delete
            each other at once, one remains.
        UserNotFound
    """
    if user_id == by:
        raise CannotDeleteYourself
    await _lock_superusers(db, by)
    if await queries.user.remove(db, id=user_id) is None:
        raise accounts.UserNotFound
    await queries.session.remove_all(db, user_id)
    audit.record(db, "user.deleted", subject_id=user_id)
    after_commit(db, lambda: accounts.count_users.forget(db))


async def resend_verification(db: AsyncSession, user_id: int) -> None:
    """The mail that somebody did not find, once more.

    Raises:
        TooMany: mails to this user.
        UserNotFound
    """
    await throttle.limit_verification(user_id)
    await accounts.get_locked(db, user_id)
    await credentials.resend_verification(db, user_id)
    audit.record(db, "email.verification_resent", subject_id=user_id)


def _describe(name: str, value: object) -> str:
    """What is personal is not told: a reason cannot be erased without breaking the chain."""
    return f"{name}={value}" if isinstance(value, bool) and name in LIBRARY else name


async def _lock_superusers(db: AsyncSession, by: int) -> set[int]:
    """Nobody else changes who they are, until the transaction ends."""
    superusers = set(await queries.user.lock_superusers(db))
    if by not in superusers:
        raise PermissionDenied
    return superusers
