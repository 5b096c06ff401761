"""A session: begun by a sign-in, carried on by its refresh token, asked for with each request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, Protocol, get_args
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import queries
from plinth.accounts.models import User
from plinth.accounts.queries.principal import Principal
from plinth.accounts.queries.session import Rotation
from plinth.accounts.queries.sign_in import Proven
from plinth.accounts.services import audit, authentication, throttle
from plinth.accounts.services.authentication import InactiveUser
from plinth.config import settings
from plinth.db.database import Database
from plinth.db.dataloader import DataLoader
from plinth.errors import NotFound, Unauthenticated
from plinth.request.client import Client
from plinth.security import devices
from plinth.security.refresh_tokens import (
    RefreshToken,
    decrypt_successor,
    encrypt_successor,
    make_refresh_token,
    parse_refresh_token,
)
from plinth.security.tokens import issue_access_token, read_access_token

Method = Literal["password"]
"""How a user proves who they are."""
METHODS: frozenset[Method] = frozenset(get_args(Method))


class SessionNotFound(NotFound):
    code = "session_not_found"
    detail = "Session not found"


class InvalidRefreshToken(Unauthenticated):
    code = "invalid_refresh_token"
    detail = "Invalid refresh token"


class ReplayedRefreshToken(InvalidRefreshToken):
    """The answer is that of any invalid one; the family's end is kept."""

    commit_on_error = True


@dataclass(frozen=True, slots=True)
class Tokens:
    access_token: str
    refresh_token: str
    expires_in: int
    """Seconds for which the access token holds."""


class SessionToken(Protocol):
    """The token of a session: a refresh token, or a token in a cookie."""

    @property
    def session_id(self) -> UUID: ...
    @property
    def hash(self) -> bytes: ...
    @property
    def text(self) -> str: ...


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session that has begun.

    Attributes:
        user: the columns of `User` that are not secret, as the session found them.
        account: what the device may be remembered for (`security/devices.py`).
    """

    user: User
    token: SessionToken
    account: devices.Account

    @property
    def tokens(self) -> Tokens:
        """An access token and the session's own. Not for a session that a cookie holds."""
        return _issue_tokens(self.user.id, self.token)


async def sign_in(
    database: Database, email: str, password: str, client: Client, device: str | None = None
) -> SignedIn:
    """Sign in by e-mail and password.

    Args:
        device: the cookie by which a device is known (`security/devices.py`).

    Raises:
        PlinthError: as `recognition.recognise`.
    """
    known = await authentication.authenticate_credentials(database, email, password, client, device)
    return await authentication.settle(
        known, complete_sign_in(database, known.user, ("password",), client)
    )


async def complete_sign_in(
    db: Database | AsyncSession,
    user: Proven,
    methods: Sequence[Method],
    client: Client,
    *,
    token: SessionToken | None = None,
    lifetime: timedelta | None = None,
) -> SignedIn:
    """Begin a session of a user who has proved who they are. Nothing else begins one.

    Args:
        db: the caller's transaction; or a `Database`, for a transaction of its own that is one
            statement and durable when this returns.
        user: as they were when they proved it, such as what `register` returned.
        methods: how they proved it.
        token: a new one that the session is known by; a refresh token is made where none is given.
        lifetime: after which the session ends, used or not; None leaves it to the settings.

    Raises:
        WrongCredentials: the user's password or active flag was changed since. The audit log has
            it, and with it everything else in the caller's transaction is committed.
        ValueError: no method, or an unknown one.
    """
    if not methods or not set(methods) <= METHODS:
        raise ValueError(f"methods must name how {user.id} signed in: some of {sorted(METHODS)}")
    token = token or make_refresh_token(uuid4())
    begun = await queries.sign_in.begin_session(
        db,
        user,
        session_id=token.session_id,
        token_hash=token.hash,
        client=client,
        lifetime=lifetime,
        told=audit.describe("session.started", subject_id=user.id),
    )
    if begun is None:
        await authentication.refuse_changed(db, user.id)
    if not isinstance(db, Database):
        _record_start(db, user.id, token.session_id, begun.surplus)
    return SignedIn(begun.user, token, devices.Account(user.id, begun.credential_epoch))


async def refresh(
    database: Database, rotations: DataLoader[Rotation, int], text: str, client: Client
) -> Tokens:
    """Put a new refresh token in the place of this one.

    The token before the current one is met kindly for a moment: a client that lost the answer, or
    has two tabs, gets the current token, and never a second line. An older one is a replay.

    Args:
        rotations: `rotate_idle`, for all who ask at the same time. Whom it leaves out is looked
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
    attempt = await throttle.limit_unknown_refresh(client)
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
    database: Database, rotations: DataLoader[Rotation, int], token: RefreshToken
) -> Tokens:
    new = make_refresh_token(token.session_id)
    rotation = Rotation(token.session_id, token.hash, new.hash, encrypt_successor(new, token))
    user_id = await rotations.get(rotation)
    if user_id is None:
        if token.is_ours:
            await throttle.limit_refresh(token.session_id)
        user_id = await queries.session.rotate(database, rotation)
    if user_id is not None:
        return _issue_tokens(user_id, new)
    async with database.transaction() as db:
        return await _handle_reused_token(db, token)


async def rotate_idle(database: Database, rotations: Sequence[Rotation]) -> Mapping[Rotation, int]:
    """Of sessions that nobody used for so long that no limit can have them: the ordinary refresh,
    once in the life of an access token. The row itself tells, and Redis is not asked."""
    return await queries.session.rotate_many(database, rotations, rest=throttle.refresh_window())


async def authenticate(principals: DataLoader[UUID, Principal], access_token: str) -> Principal:
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


async def _handle_reused_token(db: AsyncSession, token: RefreshToken) -> Tokens:
    if (grace := await queries.session.use_grace(db, token.session_id, token.hash)) is not None:
        user_id, sealed = grace
        if sealed and (current := decrypt_successor(sealed, token)):
            return _issue_tokens(user_id, current)
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


def _record_start(
    db: AsyncSession, user_id: int, session_id: UUID, surplus: Sequence[UUID]
) -> None:
    audit.record(db, "session.started", actor_id=user_id, subject_id=user_id, session_id=session_id)
    for ended in surplus:
        audit.record(
            db,
            "session.ended",
            actor_id=user_id,
            subject_id=user_id,
            session_id=ended,
            reason=queries.sign_in.OVER_LIMIT_REASON,
        )


def _issue_tokens(user_id: int, token: SessionToken) -> Tokens:
    return Tokens(
        access_token=issue_access_token(user_id, token.session_id),
        refresh_token=token.text,
        expires_in=settings.ACCESS_TOKEN_EXPIRE_MINUTES * 60,
    )
