"""Create, update and read user accounts."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import queries
from plinth.accounts.models import User
from plinth.accounts.schemas.user import UserCreate, UserUpdate
from plinth.accounts.services import audit, authentication, credentials, throttle
from plinth.accounts.services.authentication import Impersonating
from plinth.accounts.user_columns import find_words
from plinth.cache import cached
from plinth.db.database import after_commit, release
from plinth.db.reading import Readable, read_by_id
from plinth.errors import NotFound, Rejected, Unauthenticated
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
    """Create an account and enqueue the mail that verifies its address.

    Raises:
        InvalidField: the password is too easy to guess.
        Rejected: the e-mail or the username is taken; case does not matter.
        Unavailable: the queue of passwords to hash is full.
    """
    await password_policy.check(account.password, *find_words(account))
    user = await _create(db, account)
    await credentials.send_verification(db, user)
    return user


async def create_superuser(db: AsyncSession, account: UserCreate) -> User:
    """Create a verified superuser. No route calls this; only the command line does.

    Raises:
        InvalidField: the password is too easy to guess.
        Rejected: the e-mail or the username is taken; case does not matter.
    """
    await password_policy.check(account.password, *find_words(account))
    user = await _create(db, account)
    audit.record(db, "superuser.created", subject_id=user.id)
    return await queries.user.change(db, user, {"is_superuser": True, "is_verified": True})


async def promote(db: AsyncSession, user_id: int) -> User:
    """Make an existing user an active superuser. The password stays; all sessions are revoked.

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
    """Apply the fields that were sent. A new e-mail or password requires the current password.

    A new password revokes the other sessions. A new e-mail takes effect when its owner opens the
    link that is mailed to it.

    Args:
        password_for_email: require the current password for a new e-mail. Without it, a stolen
            access token is enough to move the account to the thief's address.
        password_for_password: require the current password for a new password. Without it, a stolen
            access token is enough to lock the owner out.
        email_by_link: apply a new e-mail only after its link is opened. Otherwise it applies at
            once, unverified, and the other sessions are revoked.

    Raises:
        WrongPassword: the current password is missing or wrong, or it changed during the request.
        InvalidField: the new password is too easy to guess.
        Rejected: the e-mail or the username is taken.
        Unauthenticated: the session ended during the request.
        Impersonating: a superuser who impersonates the user sent a new e-mail or password.
        StepUpRequired: the user has a second factor, and the session did not authenticate recently.
        RateLimited: too many wrong passwords, or too many mails to new addresses.
        Unavailable: the queue of passwords to hash is full.
    """
    values = changes.model_dump(exclude_unset=True, exclude={"current_password"})
    password, email = values.pop("password", None), values.pop("email", None)
    if password or email:
        authentication.refuse_impersonation()  # before the response depends on the password
    verified_hash = hashed = None
    if (password and password_for_password) or (email and password_for_email):
        verified_hash = await _verify_current_password(db, user_id, session_id, changes)
    elif password or (email and not email_by_link):
        owner = await get(db, user_id)
        verified_hash = owner.hashed_password  # a reset during the request takes precedence
        await release(db)
        await _check_new_password(owner, changes)
    if email:
        await throttle.limit_verification(user_id)
    if password:
        hashed = await hash_password(password)
    user = await lock_caller(db, user_id, session_id, recent=bool(password or email))
    if verified_hash and user.hashed_password != verified_hash:
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
    """Return the user and lock the row until the transaction ends.

    Raises:
        UserNotFound
    """
    user = await queries.user.get(db, user_id, lock=True)
    if user is None:
        raise UserNotFound
    return user


async def lock_caller(
    db: AsyncSession, user_id: int, session_id: UUID, *, recent: bool = False
) -> User:
    """Return the user and lock the row. Check again, under the lock, that the session is live.

    It may have ended while this request waited for the lock, such as by a password reset.

    Args:
        recent: for a change of credentials. If the user has a second factor, require a recent
            authentication. Refuse a superuser who impersonates the user.

    Raises:
        Impersonating
        StepUpRequired
        Unauthenticated: the session has ended.
        UserNotFound
    """
    user = await get_locked(db, user_id)
    session = await queries.session.find_authentication(db, session_id)
    if session is None:
        raise Unauthenticated
    if recent and session.acting_user_id is not None:
        raise Impersonating
    if recent and session.has_factor and not authentication.is_recent(session.at):
        raise await authentication.build_step_up(db, user_id)
    return user


async def get_user(db: Readable, user_id: int) -> User:
    """Return a user for reading only.

    Raises:
        UserNotFound
    """
    user = await read_by_id(db, User, user_id)
    if user is None:
        raise UserNotFound
    return user


async def list_users(db: Readable, params: ListParams) -> Rows[User]:
    """
    Raises:
        InvalidField: the cursor is invalid, or it belongs to another sort order or filter.
    """
    total = await count_users(db) if params.total and params.is_all else None
    return await queries.user.listing.fetch(db, params, total=total)


@cached(expire=60, key_prefix="users:count", per_organization=False)
async def count_users(db: Readable) -> int:
    # Cached because counting reads the whole table: 6 ms for 100,000 users, 80 ms for a million.
    return await queries.user.count(db)


async def _create(db: AsyncSession, account: UserCreate) -> User:
    user = await queries.user.create(db, obj_in=account)
    audit.record(db, "user.registered", actor_id=user.id, subject_id=user.id)
    after_commit(db, lambda: count_users.forget(db))
    return user


async def _verify_current_password(
    db: AsyncSession, user_id: int, session_id: UUID, changes: UserUpdate
) -> str:
    """Verify the current password and return the stored hash that it matched.

    The new password is checked first, since that needs no hashing. The connection is released.
    """
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
        await attempt.refund()  # the response does not reveal whether the password is right
        raise
    if not verdict:
        raise WrongPassword
    await attempt.refund()
    return user.hashed_password


async def _check_new_password(user: User, changes: UserUpdate) -> None:
    """Compare the new password with the user's current and new names and addresses."""
    if isinstance(changes.password, str):
        await password_policy.check(changes.password, *find_words(user), *find_words(changes))
