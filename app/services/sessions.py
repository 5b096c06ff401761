"""A session: begun by a password, carried on by its refresh token, asked for with each request."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import NoReturn
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from app import crud
from app.core.batching import Batcher
from app.core.client import Client
from app.core.config import settings
from app.core.database import Database, after_commit, release
from app.core.errors import NotFound, PlinthError, Rejected, TooMany, Unauthenticated
from app.core.limits import Reservation
from app.core.refresh_tokens import (
    RefreshToken,
    make_refresh_token,
    open_successor,
    parse_refresh_token,
    seal_successor,
)
from app.core.tokens import issue_access_token, read_access_token
from app.crud.principal import Principal
from app.crud.session import Rotation
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


class SessionNotFound(NotFound):
    code = "session_not_found"
    detail = "Session not found"


class InvalidRefreshToken(Unauthenticated):
    code = "invalid_refresh_token"
    detail = "Invalid refresh token"


class ReplayedRefreshToken(InvalidRefreshToken):
    """The answer is that of any invalid one; the family's end is kept."""

    keeps_changes = True


@dataclass(frozen=True, slots=True)
class Tokens:
    access_token: str
    refresh_token: str
    expires_in: int
    """Seconds for which the access token holds."""


async def sign_in(
    db: AsyncSession, email: str, password: str, client: Client, device: str | None = None
) -> Tokens:
    """Raises as `recognise` does."""
    user = await recognise(db, email, password, client, device)
    token = make_refresh_token(uuid4())
    await start(db, user, token.session_id, token.hash, client)
    return _give(user.id, token)


async def recognise(
    db: AsyncSession, email: str, password: str, client: Client, device: str | None
) -> User:
    """Who has this e-mail and this password; they stay so until the transaction ends.

    Args:
        device: the cookie by which a device is known (`core/devices.py`).

    Raises:
        WrongCredentials: an unknown e-mail or a wrong password, which cost the same work.
        InactiveUser: the password was right.
        TooMany: whether the password is right or not, which nobody looked at.
        Unavailable: too many passwords wait to be hashed.
    """
    began = monotonic()
    reservation = await _reserve(db, email, client, device)
    try:
        user = await crud.user.authenticate(db, email=email, password=password)
    except Exception:
        await reservation.refund()  # nobody was told whether the password is right
        raise
    if user is None or not user.is_active:
        known = user or await crud.user.get_by_email(db, email=email)
        await _refuse(db, known, began, WrongCredentials if user is None else InactiveUser)
    elif not await crud.user.hold_authenticated(db, user):
        await _refuse(db, user, began, WrongCredentials)
    after_commit(db, reservation.refund)
    return user


async def start(
    db: AsyncSession,
    user: User,
    session_id: UUID,
    token_hash: bytes,
    client: Client,
    *,
    lifetime: timedelta | None = None,
) -> None:
    """
    Args:
        lifetime: after which it ends, used or not; None leaves it to the settings.
    """
    await crud.session.add(
        db,
        session_id=session_id,
        user_id=user.id,
        token_hash=token_hash,
        client=client,
        lifetime=lifetime,
    )
    audit.record(db, "session.started", actor_id=user.id, subject_id=user.id, session_id=session_id)


async def refresh(database: Database, rotations: Batcher[Rotation, int], text: str) -> Tokens:
    """Put a new refresh token in the place of this one.

    The token before the current one is met kindly for a moment: a client that lost the answer, or
    has two tabs, gets the current token, and never a second line. An older one is a replay.

    Args:
        rotations: gathers those that are asked for at the same time.

    Raises:
        InvalidRefreshToken
        TooMany
        ReplayedRefreshToken: and the session has ended, for whoever holds its tokens.
    """
    token = parse_refresh_token(text)
    if token is None:
        raise InvalidRefreshToken
    await throttle.refresh(token)
    new = make_refresh_token(token.session_id)
    rotation = Rotation(token.session_id, token.hash, new.hash, seal_successor(new, token))
    user_id = await rotations.get(rotation)
    if user_id is None:
        user_id = await crud.session.rotate(database, rotation)
    if user_id is not None:
        return _give(user_id, new)
    async with database.transaction() as db:
        return await _meet_late_comer(db, token)


async def authenticate(principals: Batcher[UUID, Principal], access_token: str) -> Principal:
    """
    Raises:
        Unauthenticated: the token does not hold, or its session has ended.
        InactiveUser
    """
    token = read_access_token(access_token)
    principal = await principals.get(token.session_id)
    if principal is None or principal.id != token.user_id:
        raise Unauthenticated
    if not principal.is_active:
        raise InactiveUser
    if not principal.session_is_live:
        raise Unauthenticated
    return principal


async def end(db: AsyncSession, user_id: int, session_id: UUID, *, reason: str) -> None:
    """
    Raises:
        SessionNotFound: it has ended, never was, or is another's.
    """
    if await crud.session.revoke(db, session_id, reason, user_id=user_id) is None:
        raise SessionNotFound
    audit.record(db, "session.ended", subject_id=user_id, session_id=session_id, reason=reason)


async def end_all(db: AsyncSession, user_id: int, *, reason: str) -> None:
    await crud.session.revoke_all(db, user_id, reason)
    audit.record(db, "session.all_ended", subject_id=user_id, reason=reason)


async def _reserve(db: AsyncSession, email: str, client: Client, device: str | None) -> Reservation:
    try:
        return await throttle.sign_in(email, client, device)
    except TooMany as refusal:
        if refusal.is_first:
            user = await crud.user.get_by_email(db, email=email)
            limits = ", ".join(limit.name for limit in refusal.used_up)
            audit.record(
                db,
                "session.limited",
                outcome="failure",
                subject_id=user.id if user else None,
                reason=f"too many sign-ins: {limits}",
            )
            refusal.keeps_changes = True
        raise


async def _refuse(
    db: AsyncSession, user: User | None, began: float, why: type[PlinthError]
) -> NoReturn:
    """Answer no failed sign-in sooner than another: a bcrypt hash takes ten times as long to verify
    as ours, and the time would tell which e-mails have one. Nothing is held meanwhile."""
    await release(db)
    await asyncio.sleep(began + settings.LOGIN_FAILURE_MS / 1000 - monotonic())
    audit.record(
        db,
        "session.started",
        outcome="failure",
        subject_id=user.id if user else None,
        reason=why.detail,
    )
    raise why


async def _meet_late_comer(db: AsyncSession, token: RefreshToken) -> Tokens:
    if (grace := await crud.session.use_grace(db, token.session_id, token.hash)) is not None:
        user_id, sealed = grace
        if sealed and (current := open_successor(sealed, token)):
            return _give(user_id, current)
    elif token.is_ours and await crud.session.is_replay(db, token.session_id, token.hash):
        owner_id = await crud.session.revoke(db, token.session_id, "refresh token replayed")
        if owner_id is not None:
            audit.record(
                db,
                "session.replayed",
                outcome="failure",
                subject_id=owner_id,
                session_id=token.session_id,
                reason="a used refresh token came again; the session has ended",
            )
        raise ReplayedRefreshToken
    raise InvalidRefreshToken


def _give(user_id: int, token: RefreshToken) -> Tokens:
    return Tokens(
        access_token=issue_access_token(user_id, token.session_id),
        refresh_token=token.text,
        expires_in=settings.ACCESS_TOKEN_EXPIRE_MINUTES * 60,
    )
