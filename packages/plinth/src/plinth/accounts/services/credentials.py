"""Credentials, changed by who proves to read the mail: a forgotten password, an address."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import queries
from plinth.accounts.models import User
from plinth.accounts.queries.mail import TakenMail
from plinth.accounts.services import audit, one_time_tokens, outbox
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
    """Note that somebody forgot the password of an account that may exist.

    Whether it does is not looked up here: the work, and so the time, is the same for any address.
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
    mail: TakenMail,
    *,
    email: str,
    request_id: str | None,
    ip: str | None,
    user_agent: str | None,
) -> None:
    """Turn that note into a mail to the address that the account has: what was typed may only look
    like it, and be somebody else's. Where there is no active account, into nothing.

    The arguments are who asked, for the audit log.
    """
    begin_request(request_id, Client(ip, user_agent))
    user = await queries.user.get_by_email(db, email=email)
    if user is not None:
        user = await queries.user.get(db, user.id, lock=True)
    if user is None or not user.is_active:
        audit.record(
            db,
            "password.reset_requested",
            outcome="failure",
            subject_id=user.id if user else None,
            reason="no active account has this e-mail",
        )
        await queries.mail.remove(db, mail)
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


async def reset_password(db: AsyncSession, token: str, password: str) -> User:
    """Set a new password, by a token from a mail, and return its user. All sessions end.

    Raises:
        InvalidToken
        Unavailable: too many passwords wait to be hashed.
    """
    owner = await queries.user.get(db, await one_time_tokens.find_owner(db, token, RESET))
    await release(db)
    if owner is None:
        raise InvalidToken
    await password_policy.check(password, *find_words(owner))
    hashed = await hash_password(password)  # of twenty at once each gets so far, and one further
    user = await one_time_tokens.lock_owner(db, token, RESET)
    used = await one_time_tokens.use(db, token, RESET)
    if used.email != user.email:
        raise InvalidToken
    await _confirm(db, user)  # first: the owner of a proven address is told of the new password
    await set_password(db, user, hashed, keep=None)
    audit.record(db, "password.reset", actor_id=user.id, subject_id=user.id)
    return user


async def set_password(
    db: AsyncSession, user: User, hashed_password: str, *, keep: UUID | None
) -> None:
    """Every change of a password comes here: sessions end, links in older mails are void, the owner
    is told.

    Args:
        user: locked.
        keep: the session that did it.
    """
    await queries.user.change(db, user, {"hashed_password": hashed_password})
    await queries.session.revoke_all(db, user.id, "password changed", keep=keep)
    await queries.one_time_token.void(db, user.id)
    await _notify(db, user, "password_changed", page=FORGOT_PAGE)


async def send_verification(db: AsyncSession, user: User) -> None:
    """A mail to the address of the account, whose link proves that its owner reads it."""
    issued = await one_time_tokens.issue(db, user, VERIFY, user.email)
    await _send_link(db, user, "email_verify", user.email, issued)


async def resend_verification(db: AsyncSession, user_id: int) -> None:
    """The mail that was not found: of the change under way, else of the address as it is."""
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
    """Send a link to the new address, which takes effect when the link is used, and a word to the
    one so far. The address that the account has takes back what was asked before.

    Args:
        user: locked, and known by their password.
        session_id: the one that will stay.

    Raises:
        EmailTaken: as of now; the constraint decides when the link is used.
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
    await _notify(db, user, "email_change_notice", page=FORGOT_PAGE, new_email=email)


async def replace_email(db: AsyncSession, user: User, email: str, *, keep: UUID) -> None:
    """Change the address at once, and send a link that verifies it to the new one.

    Args:
        user: locked.
        keep: the session that did it.

    Raises:
        Rejected: another account has it.
    """
    if email == user.email:
        await queries.one_time_token.void(db, user.id, CHANGE)
        return
    await _change_email(db, user, email, keep=keep, is_verified=False)
    await send_verification(db, user)


async def verify_email(
    db: AsyncSession, token: str, *, signed_in_as: int | None, device: str | None
) -> User:
    """Take the address as its user's, and a new one as the account's. Return the user.

    The token proves that its sender reads the mail, and not that the account is theirs: a stranger
    may have registered with the address, or asked to change theirs to it, and knows the account's
    password. So the account has to be proven too.

    Args:
        signed_in_as: the id of the user who sends the token.
        device: the cookie (`security/devices.py`) of one where the account registered or signed in.

    Raises:
        InvalidToken
        NotSignedIn: neither of them is the account's; the token is not used up.
        Rejected: another account has got the new address meanwhile.
    """
    user = await one_time_tokens.lock_owner(db, token, VERIFY, CHANGE)
    used = await one_time_tokens.use(db, token, VERIFY, CHANGE)
    account = devices.Account(user.id, user.credential_epoch)
    if signed_in_as != user.id and not devices.recognize_device(device, account, email=user.email):
        raise NotSignedIn  # the transaction is undone, so the token stays
    if used.purpose == CHANGE:
        await _change_email(db, user, used.email, keep=used.session_id, is_verified=True)
    elif used.email != user.email:
        raise InvalidToken
    else:
        await _confirm(db, user)
    return user


async def _change_email(
    db: AsyncSession, user: User, email: str, *, keep: UUID | None, is_verified: bool
) -> None:
    await _notify(db, user, "email_changed", new_email=email)
    await queries.user.change(db, user, {"email": email, "is_verified": is_verified})
    await queries.session.revoke_all(db, user.id, "e-mail changed", keep=keep)
    await queries.one_time_token.void(db, user.id)
    audit.record(db, "email.changed", actor_id=user.id, subject_id=user.id)


async def _confirm(db: AsyncSession, user: User) -> None:
    """Who used a link in a mail to the account's address reads that address."""
    if not user.is_verified:
        await queries.user.change(db, user, {"is_verified": True})
        audit.record(db, "email.verified", actor_id=user.id, subject_id=user.id)


async def _notify(db: AsyncSession, user: User, kind: str, **context: str) -> None:
    """Tell the owner at the address that the account has, if it is proven to be theirs. Any address
    can be registered by anyone: an unproven one gets only what proves it, and resets."""
    if user.is_verified:
        await outbox.enqueue(db, kind, user.email, username=user.username, **context)


async def _send_link(
    db: AsyncSession, user: User, kind: str, email: str, issued: one_time_tokens.Issued
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
