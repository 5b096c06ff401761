"""A person's account: made, changed, removed, found."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import queries
from plinth.accounts.models import User
from plinth.accounts.schemas.user import UserCreate, UserUpdate
from plinth.accounts.services import audit, credentials, throttle
from plinth.accounts.user_columns import find_words
from plinth.cache import cached
from plinth.db.database import after_commit, release
from plinth.db.reading import Readable, read_by_id
from plinth.errors import NotFound, Rejected
from plinth.resources.pages import ListParams, Rows
from plinth.security import password_policy
from plinth.security.devices import Account
from plinth.security.passwords import hash_password, verify_password


class UserNotFound(NotFound):
    code = "user_not_found"
    detail = "User not found"


class WrongPassword(Rejected):
    code = "wrong_password"
    detail = "The current password is missing or wrong"


async def register(db: AsyncSession, account: UserCreate) -> User:
    """
    Raises:
        InvalidField: the password is too easily guessed.
        Rejected: the e-mail or the username is taken, whatever its case.
        Unavailable: too many passwords wait to be hashed.
    """
    await password_policy.check(account.password, *find_words(account))
    user = await _create(db, account)
    await credentials.send_verification(db, user)
    return user


async def create_superuser(db: AsyncSession, account: UserCreate) -> User:
    """Somebody who can do everything. Over HTTP there is no way to this.

    Raises:
        InvalidField: the password is too easily guessed.
        Rejected: the e-mail or the username is taken, whatever its case.
    """
    await password_policy.check(account.password, *find_words(account))
    user = await _create(db, account)
    audit.record(db, "superuser.created", subject_id=user.id)
    return await queries.user.change(db, user, {"is_superuser": True, "is_verified": True})


async def promote(db: AsyncSession, user_id: int) -> User:
    """Make a superuser of one who is there, able to sign in, with the password they have.

    Sessions end with a change of role, like with any that matters.

    Raises:
        UserNotFound
    """
    user = await get_locked(db, user_id)
    await queries.user.change(db, user, {"is_superuser": True, "is_active": True})
    await queries.session.revoke_all(db, user.id, "role changed")
    audit.record(db, "superuser.promoted", subject_id=user.id)
    return user


async def update_profile(
    db: AsyncSession,
    user_id: int,
    session_id: UUID,
    changes: UserUpdate,
    *,
    password_for_email: bool = True,
    password_for_password: bool = True,
    email_by_link: bool = True,
) -> User:
    """Change what was sent. A new e-mail or password asks for the current password. A new password
    ends the other sessions; a new e-mail takes effect when the link in the mail to it is used.

    Args:
        password_for_email: with False a new e-mail asks for no password, and whoever has a stolen
            access token can take over the account by a link to an address of theirs.
        password_for_password: with False a new password asks for no current one, and a stolen
            access token is enough to lock the owner out.
        email_by_link: with False a new e-mail takes effect at once and is unverified until the link
            in the mail to it is used; the other sessions end.

    Raises:
        WrongPassword: the current password is missing, wrong, or was changed meanwhile.
        InvalidField: the new password is too easily guessed.
        Rejected: the e-mail or the username is taken.
        TooMany: wrong passwords, or mails to new addresses.
        Unavailable: too many passwords wait to be hashed.
    """
    values = changes.model_dump(exclude_unset=True, exclude={"current_password"})
    password, email = values.pop("password", None), values.pop("email", None)
    proven = hashed = None
    if (password and password_for_password) or (email and password_for_email):
        proven = await _prove(db, user_id, session_id, changes)
    elif password:
        owner = await get(db, user_id)
        await release(db)
        await _check_new_password(owner, changes)
    if email:
        await throttle.limit_verification(user_id)
    if password:
        hashed = await hash_password(password)
    user = await get_locked(db, user_id)
    if proven and user.hashed_password != proven:
        raise WrongPassword
    await queries.user.change(db, user, values)
    if hashed:
        await credentials.set_password(db, user, hashed, keep=session_id)
        audit.record(db, "password.changed", subject_id=user_id)
    if email and email_by_link:
        await credentials.request_email(db, user, email, session_id=session_id)
    elif email:
        await credentials.replace_email(db, user, email, keep=session_id)
    return user


async def get(db: AsyncSession, user_id: int) -> User:
    """
    Raises:
        UserNotFound
    """
    user = await queries.user.get(db, user_id)
    if user is None:
        raise UserNotFound
    return user


async def get_locked(db: AsyncSession, user_id: int) -> User:
    """As `get`, and nobody else changes the row until the transaction ends."""
    user = await queries.user.get(db, user_id, lock=True)
    if user is None:
        raise UserNotFound
    return user


async def get_user(db: Readable, user_id: int) -> User:
    """Somebody to look at.

    Raises:
        UserNotFound
    """
    user = await read_by_id(db, User, user_id)
    if user is None:
        raise UserNotFound
    return user


async def list_users(db: Readable, wanted: ListParams) -> Rows[User]:
    """
    Raises:
        InvalidField: the cursor does not fit.
    """
    known = await count_users(db) if wanted.total and wanted.is_all else None
    return await queries.user.listing.fetch(db, wanted, total=known)


@cached(expire=60, key_prefix="users:count")
async def count_users(db: Readable) -> int:
    # Counting reads the whole table: 6 ms for 100,000 users, 80 for a million.
    return await queries.user.count(db)


async def _create(db: AsyncSession, account: UserCreate) -> User:
    user = await queries.user.create(db, obj_in=account)
    audit.record(db, "user.registered", actor_id=user.id, subject_id=user.id)
    after_commit(db, lambda: count_users.forget(db))
    return user


async def _prove(db: AsyncSession, user_id: int, session_id: UUID, changes: UserUpdate) -> str:
    """The stored hash that the current password fits. A new password is checked before, which needs
    no hash. No connection is held meanwhile."""
    if changes.current_password is None:
        raise WrongPassword
    user = await get(db, user_id)
    await release(db)
    attempt = await throttle.limit_password_check(
        Account(user.id, user.credential_epoch), session_id
    )
    try:
        await _check_new_password(user, changes)
        verdict = await verify_password(changes.current_password, user.hashed_password)
    except Exception:
        await attempt.refund()  # nobody was told whether the password is right
        raise
    if not verdict:
        raise WrongPassword
    await attempt.refund()
    return user.hashed_password


async def _check_new_password(user: User, changes: UserUpdate) -> None:
    """Against what is known of the user now and what is about to be."""
    if isinstance(changes.password, str):
        await password_policy.check(changes.password, *find_words(user), *find_words(changes))
