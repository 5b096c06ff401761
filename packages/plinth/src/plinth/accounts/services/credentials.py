"""Change credentials by a link in a mail: password resets and e-mail verification."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import queries
from plinth.accounts.models import User
from plinth.accounts.queries.mail import LeasedMail
from plinth.accounts.services import audit, one_time_tokens, outbox
from plinth.accounts.services.api_keys import revocation
from plinth.accounts.services.one_time_tokens import CHANGE, RESET, VERIFY, InvalidToken
from plinth.accounts.user_columns import find_words
from plinth.db.database import release
from plinth.errors import PermissionDenied, Rejected
from plinth.request.client import Client
from plinth.request.context import begin_request, current_request
from plinth.security import devices, password_policy
from plinth.security.passwords import hash_password

FORGOTTEN, RESET_MAIL = "password_forgotten", "password_reset"
VERIFY_PAGE, RESET_PAGE, FORGOT_PAGE = "verify-email", "reset-password", "forgot-password"


class NotSignedIn(PermissionDenied):
    code = "not_signed_in"
    detail = "Sign in to the account that this link belongs to, then confirm the address again"


class EmailTaken(Rejected):
    code = "email_taken"
    detail = "Email already registered"


async def request_reset(db: AsyncSession, email: str) -> None:
    """Enqueue a password reset for an account that may not exist.

    The mail worker looks up the account, so the response time is the same for every address.
    """
    request = current_request()
    await outbox.enqueue(
        db,
        FORGOTTEN,
        None,
        email=email,
        request_id=request.id if request else None,
        ip=request.client.ip if request else None,
        user_agent=request.client.user_agent if request else None,
    )


async def materialize_reset(
    db: AsyncSession,
    mail: LeasedMail,
    *,
    email: str,
    request_id: str | None,
    ip: str | None,
    user_agent: str | None,
) -> None:
    """Replace a queued reset request with a mail to the stored address of the account.

    The typed address may only resemble the stored one and belong to another person. Without an
    active account, the request is removed.

    Args:
        request_id: with `ip` and `user_agent`, the origin of the request, for the audit log.
    """
    begin_request(request_id, Client(ip, user_agent))
    user = await lock_recipient(db, mail, email, "password.reset_requested")
    if user is None:
        return
    issued = await one_time_tokens.issue(db, user, RESET, user.email)
    audit.record(db, "password.reset_requested", subject_id=user.id)
    await outbox.materialize(
        db,
        mail,
        RESET_MAIL,
        user.email,
        username=user.username,
        page=RESET_PAGE,
        token=issued.token,
        expires_at=issued.expires_at,
    )


async def lock_recipient(db: AsyncSession, mail: LeasedMail, email: str, event: str) -> User | None:
    """Return the active account of an address, and lock the row.

    Without one, audit the failed event and remove the queued request.
    """
    user = await queries.user.lock_by_email(db, email)
    if user is not None and user.is_active:
        return user
    audit.record(
        db,
        event,
        outcome="failure",
        subject_id=user.id if user else None,
        reason="no active account has this e-mail",
    )
    await queries.mail.remove(db, mail)
    return None


async def reset_password(db: AsyncSession, token: str, password: str) -> User:
    """Set a new password with a token from a mail, revoke all sessions, and return the user.

    Raises:
        InvalidField: the new password is too easy to guess.
        InvalidToken
        Unavailable: the queue of passwords to hash is full.
    """
    owner = await queries.user.get(db, await one_time_tokens.find_owner(db, token, RESET))
    await release(db)
    if owner is None:
        raise InvalidToken
    await password_policy.check(password, *find_words(owner))
    hashed = await hash_password(password)  # concurrent requests get this far; one continues
    user = await one_time_tokens.lock_owner(db, token, RESET)
    used = await one_time_tokens.use(db, token, RESET)
    if used.email != user.email:
        raise InvalidToken
    if not user.is_verified:
        await remove_unproven(db, user.id)
    await mark_verified(db, user)  # before `set_password`, which notifies only verified addresses
    await set_password(db, user, hashed, keep=None)
    audit.record(db, "password.reset", actor_id=user.id, subject_id=user.id)
    return user


async def set_password(
    db: AsyncSession, user: User, hashed_password: str, *, keep: UUID | None
) -> None:
    """Store a new password hash, revoke sessions and mailed tokens, and notify the owner.

    Every change of a password calls this.

    Args:
        user: the user, whose row is locked.
        keep: the session that stays.
    """
    await queries.user.change(db, user, {"hashed_password": hashed_password})
    await queries.session.revoke_all(db, user.id, "password changed", keep=keep)
    await queries.one_time_token.void(db, user.id)
    await notify(db, user, "password_changed", page=FORGOT_PAGE)


async def send_verification(db: AsyncSession, user: User) -> None:
    """Enqueue the mail whose link verifies the account's address."""
    issued = await one_time_tokens.issue(db, user, VERIFY, user.email)
    await _send_link(db, user, "email_verify", user.email, issued)


async def resend_verification(db: AsyncSession, user_id: int) -> None:
    """Enqueue the verification mail again: for a pending new address, else for the current one."""
    user = await queries.user.get(db, user_id, lock=True)
    if user is None:
        return
    if pending := await queries.one_time_token.get_pending(db, user_id, CHANGE):
        issued = await one_time_tokens.issue(
            db, user, CHANGE, pending.email, session_id=pending.session_id
        )
        await _send_link(db, user, "email_change", pending.email, issued)
    elif not user.is_verified:
        await send_verification(db, user)


async def request_email(db: AsyncSession, user: User, email: str, *, session_id: UUID) -> None:
    """Enqueue a link to the new address and a notice to the current one.

    The new address takes effect when the link is opened. If `email` is the current address, a
    pending change is canceled.

    Args:
        user: the user, whose row is locked and whose password was verified.
        session_id: the session that stays when the address changes.

    Raises:
        EmailTaken: another account has the address now. The unique index checks again when the
            link is opened.
    """
    if email == user.email:
        await queries.one_time_token.void(db, user.id, CHANGE)
        return
    other = await queries.user.get_by_email(db, email=email)
    if other is not None and other.id != user.id:
        raise EmailTaken
    issued = await one_time_tokens.issue(db, user, CHANGE, email, session_id=session_id)
    audit.record(db, "email.change_requested", subject_id=user.id)
    await _send_link(db, user, "email_change", email, issued)
    await notify(db, user, "email_change_notice", page=FORGOT_PAGE, new_email=email)


async def replace_email(db: AsyncSession, user: User, email: str, *, keep: UUID) -> None:
    """Change the address immediately and enqueue the mail that verifies it.

    Args:
        user: the user, whose row is locked.
        keep: the session that stays.

    Raises:
        Rejected: another account has the address.
    """
    if email == user.email:
        await queries.one_time_token.void(db, user.id, CHANGE)
        return
    await _change_email(db, user, email, keep=keep, is_verified=False)
    await send_verification(db, user)


async def verify_email(
    db: AsyncSession, token: str, *, signed_in_as: int | None, device: str | None
) -> User:
    """Mark the address as verified, or apply a pending new address. Return the user.

    The token proves access to the mailbox, not to the account. A stranger who knows the account's
    password may have registered it with this address. So the request must also come from the
    signed-in user or from a known device.

    Args:
        signed_in_as: the id of the user who sends the token.
        device: the value of the device cookie (`security/devices.py`).

    Raises:
        InvalidToken
        NotSignedIn: neither identifies the account. The token stays valid.
        Rejected: another account has taken the new address.
    """
    user = await one_time_tokens.lock_owner(db, token, VERIFY, CHANGE)
    used = await one_time_tokens.use(db, token, VERIFY, CHANGE)
    account = devices.Account(user.id, user.credential_epoch)
    if signed_in_as != user.id and not devices.recognize_device(device, account, email=user.email):
        raise NotSignedIn  # rolls back, so the token stays valid
    if used.purpose == CHANGE:
        await _change_email(db, user, used.email, keep=used.session_id, is_verified=True)
    elif used.email != user.email:
        raise InvalidToken
    else:
        await mark_verified(db, user)
    return user


async def remove_unproven(db: AsyncSession, user_id: int) -> None:
    """Remove the factors, identities and API keys of a user whose address was never verified.

    Someone else may have registered the address and added them.
    """
    removed = await queries.factor.remove_all(db, user_id)
    removed += await queries.factor.remove_identities(db, user_id)
    await revocation.revoke_all(db, user_id, reason="the address was unverified")
    if removed:
        audit.record(db, "factor.reset", subject_id=user_id, reason="the address was unverified")


async def _change_email(
    db: AsyncSession, user: User, email: str, *, keep: UUID | None, is_verified: bool
) -> None:
    await notify(db, user, "email_changed", new_email=email)
    await queries.user.change(db, user, {"email": email, "is_verified": is_verified})
    await queries.session.revoke_all(db, user.id, "e-mail changed", keep=keep)
    await queries.one_time_token.void(db, user.id)
    audit.record(db, "email.changed", actor_id=user.id, subject_id=user.id)


async def mark_verified(db: AsyncSession, user: User) -> None:
    """Mark the address as verified. The credentials stay.

    Args:
        user: the user, whose row is locked.
    """
    if not user.is_verified:
        await queries.user.change(db, user, {"is_verified": True})
        audit.record(db, "email.verified", actor_id=user.id, subject_id=user.id)


async def notify(db: AsyncSession, user: User, kind: str, **context: str) -> None:
    """Enqueue a notice to the owner if the address is verified.

    Anyone can register any address, so an unverified one gets only verification and reset mails.
    """
    if user.is_verified:
        await outbox.enqueue(db, kind, user.email, username=user.username, **context)


async def _send_link(
    db: AsyncSession, user: User, kind: str, email: str, issued: one_time_tokens.IssuedToken
) -> None:
    await outbox.enqueue(
        db,
        kind,
        email,
        username=user.username,
        page=VERIFY_PAGE,
        token=issued.token,
        expires_at=issued.expires_at,
    )
