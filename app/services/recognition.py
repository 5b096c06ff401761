"""Who comes with an e-mail and a password: asked at every door, before a session begins."""

import asyncio
from dataclasses import dataclass
from time import monotonic
from typing import NoReturn

from app import crud
from app.core.client import Client
from app.core.config import settings
from app.core.database import Database
from app.core.errors import PlinthError, Rejected, TooMany, Unauthenticated
from app.core.limits import Reservation
from app.core.passwords import Verdict
from app.models import User
from app.services import audit, throttle


class WrongCredentials(Unauthenticated):
    code = "wrong_credentials"
    detail = "Incorrect email or password"
    keeps_changes = True  # the audit log's row


class InactiveUser(Rejected):
    code = "inactive_user"
    detail = "Inactive user"
    keeps_changes = True


@dataclass(frozen=True, slots=True)
class Recognised:
    """
    Attributes:
        user: as they were when their password was found right.
        attempt: to be refunded when it is known how it ended.
        began: when it did, by the monotonic clock.
    """

    user: User
    attempt: Reservation
    began: float


async def recognise(
    database: Database, email: str, password: str, client: Client, device: str | None
) -> Recognised:
    """Who has this e-mail and this password. They may change from then on: what is written for them
    has to see that they did not (`crud.session.beginning`).

    Args:
        device: the cookie by which a device is known (`core/devices.py`).

    Raises:
        WrongCredentials: an unknown e-mail or a wrong password, which cost the same work.
        InactiveUser: the password was right.
        TooMany: whether the password is right or not, which nobody looked at.
        Unavailable: too many passwords wait to be hashed.
    """
    began = monotonic()
    attempt = await _reserve(database, email, client, device)
    try:
        user, is_right = await _authenticate(database, email, password)
    except Exception:
        await attempt.refund()  # nobody was told whether the password is right
        raise
    if user is None or not is_right:
        await refuse(database, user, began)
    if not user.is_active:
        await refuse(database, user, began, InactiveUser)
    return Recognised(user, attempt, began)


async def refuse(
    database: Database,
    user: User | None,
    began: float,
    why: type[PlinthError] = WrongCredentials,
) -> NoReturn:
    """Answer no failed sign-in sooner than another: a bcrypt hash takes ten times as long to verify
    as ours, and the time would tell which e-mails have one. Nothing is held meanwhile."""
    await asyncio.sleep(began + settings.LOGIN_FAILURE_MS / 1000 - monotonic())
    async with database.transaction() as db:
        audit.record(
            db,
            "session.started",
            outcome="failure",
            subject_id=user.id if user else None,
            reason=why.detail,
        )
        raise why


async def _reserve(
    database: Database, email: str, client: Client, device: str | None
) -> Reservation:
    try:
        return await throttle.sign_in(email, client, device)
    except TooMany as refusal:
        if refusal.is_first:
            await _tell_of(database, email, refusal)
        raise


async def _tell_of(database: Database, email: str, refusal: TooMany) -> None:
    user = await crud.user.get_by_email(database.reader, email=email)
    limits = ", ".join(limit.name for limit in refusal.used_up)
    async with database.transaction() as db:
        audit.record(
            db,
            "session.limited",
            outcome="failure",
            subject_id=user.id if user else None,
            reason=f"too many sign-ins: {limits}",
        )


async def _authenticate(database: Database, email: str, password: str) -> tuple[User | None, bool]:
    """The user with this e-mail, and whether the password is theirs."""
    user, verdict = await crud.user.examine(database.reader, email=email, password=password)
    if user and verdict is Verdict.RIGHT_BUT_OLD:
        async with database.transaction() as db:
            renewed = await crud.user.renew_hash(db, user, password)
        return renewed or user, renewed is not None
    return user, bool(verdict)
