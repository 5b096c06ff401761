"""A session: begun by a password, carried on by its refresh token, asked for with each request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import queries
from plinth.accounts.queries.principal import Principal
from plinth.accounts.queries.session import Rotation
from plinth.accounts.services import audit, recognition, throttle
from plinth.accounts.services.recognition import InactiveUser, Recognised
from plinth.config import settings
from plinth.db.batching import Batcher
from plinth.db.database import Database
from plinth.errors import NotFound, Unauthenticated
from plinth.request.client import Client
from plinth.security import devices
from plinth.security.refresh_tokens import (
    RefreshToken,
    make_refresh_token,
    open_successor,
    parse_refresh_token,
    seal_successor,
)
from plinth.security.tokens import issue_access_token, read_access_token


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
    database: Database, email: str, password: str, client: Client, device: str | None = None
) -> tuple[Tokens, devices.Account]:
    """The tokens, and the account that the device may be remembered for.

    Raises:
        PlinthError: as `recognition.recognise`.
    """
    known = await recognition.recognise(database, email, password, client, device)
    token = make_refresh_token(uuid4())
    account = await start(database, known, token.session_id, token.hash, client)
    return _give(known.user.id, token), account


async def start(
    database: Database,
    known: Recognised,
    session_id: UUID,
    token_hash: bytes,
    client: Client,
    *,
    lifetime: timedelta | None = None,
) -> devices.Account:
    """
    Args:
        lifetime: after which it ends, used or not; None leaves it to the settings.

    Raises:
        WrongCredentials: the user was changed since they were recognised.
    """
    epoch = await queries.sign_in.begin_session(
        database,
        known.user,
        session_id=session_id,
        token_hash=token_hash,
        client=client,
        lifetime=lifetime,
        told=audit.describe("session.started", subject_id=known.user.id),
    )
    if epoch is None:
        await recognition.refuse(database, known.user, known.began)
    await known.attempt.refund()
    return devices.Account(known.user.id, epoch)


async def refresh(
    database: Database, rotations: Batcher[Rotation, int], text: str, client: Client
) -> Tokens:
    """Put a new refresh token in the place of this one.

    The token before the current one is met kindly for a moment: a client that lost the answer, or
    has two tabs, gets the current token, and never a second line. An older one is a replay.

    Args:
        rotations: `rotate_rested`, for all who ask at the same time. Whom it leaves out is looked
            at by themselves, and counted first.

    Raises:
        InvalidRefreshToken
        TooMany
        ReplayedRefreshToken: and the session has ended, for whoever holds its tokens.
    """
    token = parse_refresh_token(text)
    if token is None:
        raise InvalidRefreshToken
    if token.is_ours:
        return await _refresh(database, rotations, token)
    attempt = await throttle.refresh_unknown(client)
    try:
        tokens = await _refresh(database, rotations, token)
    except InvalidRefreshToken:
        raise
    except Exception:
        await attempt.refund()  # nobody was told whether the token is good
        raise
    await attempt.refund()
    return tokens


async def _refresh(
    database: Database, rotations: Batcher[Rotation, int], token: RefreshToken
) -> Tokens:
    new = make_refresh_token(token.session_id)
    rotation = Rotation(token.session_id, token.hash, new.hash, seal_successor(new, token))
    user_id = await rotations.get(rotation)
    if user_id is None:
        if token.is_ours:
            await throttle.refresh(token.session_id)
        user_id = await queries.session.rotate(database, rotation)
    if user_id is not None:
        return _give(user_id, new)
    async with database.transaction() as db:
        return await _meet_late_comer(db, token)


async def rotate_rested(
    database: Database, rotations: Sequence[Rotation]
) -> Mapping[Rotation, int]:
    """Of sessions that nobody used for so long that no limit can have them: the ordinary refresh,
    once in the life of an access token. The row itself tells, and Redis is not asked."""
    return await queries.session.rotate_many(database, rotations, rest=throttle.refresh_window())


async def authenticate(principals: Batcher[UUID, Principal], access_token: str) -> Principal:
    """
    Raises:
        Unauthenticated: the token does not hold, or its session has ended, as it does when its user
            is deactivated.
        InactiveUser: the session is live, and its user inactive all the same.
    """
    token = read_access_token(access_token)
    principal = await principals.get(token.session_id)
    if principal is None or principal.id != token.user_id:
        raise Unauthenticated
    if not principal.session_is_live:
        raise Unauthenticated
    if not principal.is_active:
        raise InactiveUser
    return principal


async def end(db: AsyncSession, user_id: int, session_id: UUID, *, reason: str) -> None:
    """
    Raises:
        SessionNotFound: it has ended, never was, or is another's.
    """
    if await queries.session.revoke(db, session_id, reason, user_id=user_id) is None:
        raise SessionNotFound
    audit.record(db, "session.ended", subject_id=user_id, session_id=session_id, reason=reason)


async def end_all(db: AsyncSession, user_id: int, *, reason: str) -> None:
    await queries.session.revoke_all(db, user_id, reason)
    audit.record(db, "session.all_ended", subject_id=user_id, reason=reason)


async def _meet_late_comer(db: AsyncSession, token: RefreshToken) -> Tokens:
    if (grace := await queries.session.use_grace(db, token.session_id, token.hash)) is not None:
        user_id, sealed = grace
        if sealed and (current := open_successor(sealed, token)):
            return _give(user_id, current)
    elif token.is_ours and await queries.session.is_replay(db, token.session_id, token.hash):
        owner_id = await queries.session.revoke(db, token.session_id, "refresh token replayed")
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
