"""Who comes with an e-mail and a password: asked at every door, before a session begins."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from time import monotonic
from typing import NoReturn, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import queries
from plinth.accounts.queries.sign_in import Candidate
from plinth.accounts.services import audit, throttle
from plinth.accounts.services.throttle import KnownDevice
from plinth.config import settings
from plinth.db.database import Database
from plinth.db.reading import Readable
from plinth.errors import PlinthError, RateLimited, Rejected, Unauthenticated
from plinth.limits import Reservation
from plinth.request.client import Client
from plinth.security import devices
from plinth.security.passwords import Verdict, verify_password

T = TypeVar("T")


class WrongCredentials(Unauthenticated):
    code = "wrong_credentials"
    detail = "Incorrect email or password"
    commit_on_error = True  # the audit log's row


class InactiveUser(Rejected):
    code = "inactive_user"
    detail = "Inactive user"
    commit_on_error = True


@dataclass(frozen=True, slots=True)
class AuthenticatedUser:
    """
    Attributes:
        user: as they were when their password was found right.
        attempt: to be refunded when it is known how it ended.
        began: when it did, by the monotonic clock.
    """

    user: Candidate
    attempt: Reservation
    began: float


async def authenticate_credentials(
    database: Database, email: str, password: str, client: Client, device: str | None
) -> AuthenticatedUser:
    """Who has this e-mail and this password. They may change from then on: what is written for them
    has to see that they did not (`queries.sign_in.begin_session`).

    Args:
        device: the cookie by which a device is known (`security/devices.py`).

    Raises:
        WrongCredentials: an unknown e-mail or a wrong password, which cost the same work.
        InactiveUser: the password was right.
        TooMany: whether the password is right or not, which nobody looked at.
        Unavailable: too many passwords wait to be hashed.
    """
    began = monotonic()
    user = await queries.sign_in.find(database.reader, email)
    attempt = await _reserve(database, email, user, client, device)
    try:
        user, is_right = await _authenticate(database, user, password)
    except Exception:
        await attempt.refund()  # nobody was told whether the password is right
        raise
    if user is None or not is_right:
        await _refuse_late(database, user, began)
    if not user.is_active:
        await _refuse_late(database, user, began, InactiveUser)
    return AuthenticatedUser(user, attempt, began)


async def find_device(db: Readable, email: str, device: str | None) -> KnownDevice | None:
    """The device that the cookie names, where the account of this e-mail has signed in on it."""
    if device is None:
        return None
    return _find_device(await queries.sign_in.find(db, email), email, device)


async def settle(known: AuthenticatedUser, beginning: Awaitable[T]) -> T:
    """Return the session that begins, and refund the attempt. A refusal is delayed as any other."""
    try:
        begun = await beginning
    except WrongCredentials:
        await _delay(known.began)
        raise
    await known.attempt.refund()
    return begun


async def refuse_changed(db: Database | AsyncSession, user_id: int) -> NoReturn:
    """Refuse a user who was changed after they proved who they are."""
    if isinstance(db, Database):
        async with db.transaction() as own:
            _refuse(own, user_id, WrongCredentials)
    _refuse(db, user_id, WrongCredentials)


async def _refuse_late(
    database: Database,
    user: Candidate | None,
    began: float,
    why: type[PlinthError] = WrongCredentials,
) -> NoReturn:
    await _delay(began)
    async with database.transaction() as db:
        _refuse(db, user.id if user else None, why)


async def _delay(began: float) -> None:
    """Answer no failed sign-in sooner than another: a bcrypt hash takes ten times as long to verify
    as ours, and the time would tell which e-mails have one. Nothing is held meanwhile."""
    await asyncio.sleep(began + settings.LOGIN_FAILURE_MS / 1000 - monotonic())


def _refuse(db: AsyncSession, user_id: int | None, why: type[PlinthError]) -> NoReturn:
    audit.record(db, "session.started", outcome="failure", subject_id=user_id, reason=why.detail)
    raise why


async def _reserve(
    database: Database, email: str, user: Candidate | None, client: Client, device: str | None
) -> Reservation:
    try:
        return await throttle.limit_sign_in(email, client, _find_device(user, email, device))
    except RateLimited as refusal:
        if refusal.is_first:
            await _report(database, user, refusal)
        raise


def _find_device(user: Candidate | None, email: str, cookie: str | None) -> KnownDevice | None:
    if user is None:
        return None
    account = devices.Account(user.id, user.credential_epoch)
    device = devices.recognize_device(cookie, account, email=email)
    return KnownDevice(device, account) if device else None


async def _report(database: Database, user: Candidate | None, refusal: RateLimited) -> None:
    limits = ", ".join(limit.name for limit in refusal.exceeded)
    async with database.transaction() as db:
        audit.record(
            db,
            "session.limited",
            outcome="failure",
            subject_id=user.id if user else None,
            reason=f"too many sign-ins: {limits}",
        )


async def _authenticate(
    database: Database, user: Candidate | None, password: str
) -> tuple[Candidate | None, bool]:
    """The user, and whether the password is theirs. No connection is held while it is verified. A
    hash by an older method is replaced."""
    verdict = await verify_password(password, user.hashed_password if user else None)
    if user is None or verdict is not Verdict.RIGHT_BUT_OLD:
        return user, bool(verdict)
    async with database.transaction() as db:
        renewed = await queries.user.renew_hash(db, user.id, user.hashed_password, password)
    return (user._replace(hashed_password=renewed), True) if renewed else (user, False)
