"""The lifecycle of a session: sign-in, authentication of requests, and its end."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, TypeVar
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import queries
from plinth.accounts.methods import AMR, FIRST_FACTORS, MethodName
from plinth.accounts.models import User
from plinth.accounts.queries.principal import Principal
from plinth.accounts.queries.sign_in import Account, Acting
from plinth.accounts.services import audit, authentication, challenges
from plinth.accounts.services.authentication import InactiveUser
from plinth.config import settings
from plinth.db.database import Database
from plinth.db.dataloader import DataLoader
from plinth.errors import NotFound, PermissionDenied, Unauthenticated
from plinth.request.client import Client
from plinth.security import devices
from plinth.security.refresh_tokens import (
    make_refresh_token,
)
from plinth.security.tokens import AccessToken, issue_access_token, read_access_token

PrincipalT = TypeVar("PrincipalT", bound=Principal)


class SessionNotFound(NotFound):
    code = "session_not_found"
    detail = "Session not found"


class CannotImpersonate(PermissionDenied):
    code = "cannot_impersonate"
    detail = "This user cannot be impersonated"


@dataclass(frozen=True, slots=True)
class Tokens:
    access_token: str
    refresh_token: str
    expires_in: int
    """Lifetime of the access token in seconds."""


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
    """The result of a sign-in.

    Attributes:
        user: the columns of `User` that are not secret, read when the session started.
        account: the value for the device cookie (`security/devices.py`).
    """

    user: User
    token: SessionToken
    account: devices.Account

    @property
    def tokens(self) -> Tokens:
        """Issue an access token beside the refresh token. Not for a cookie session."""
        return issue_tokens(self.user.id, self.token)


async def sign_in(
    database: Database, email: str, password: str, client: Client, device: str | None = None
) -> SignedIn:
    """Sign in by e-mail and password.

    Args:
        device: the value of the device cookie (`security/devices.py`).

    Raises:
        PlinthError: see `authentication.authenticate_credentials`.
    """
    authenticated = await authentication.authenticate_credentials(
        database, email, password, client, device
    )
    return await authentication.refund_on_success(
        authenticated, complete_sign_in(database, authenticated.user, ("password",), client)
    )


async def complete_sign_in(
    db: Database | AsyncSession,
    user: Account,
    methods: Sequence[MethodName],
    client: Client,
    *,
    token: SessionToken | None = None,
    lifetime: timedelta | None = None,
    authenticated_at: datetime | None = None,
    acting: Principal | None = None,
) -> SignedIn:
    """Start a session for an authenticated user. Every sign-in ends here.

    Args:
        db: the caller's transaction. With a `Database`, the session is written by one statement in
            its own transaction, which is durable when this returns.
        user: the user as read during authentication, or as returned by `register`.
        methods: how the user authenticated. With a second factor, the session
            has assurance level 2.
        token: the token of the session; a new refresh token by default.
        lifetime: absolute lifetime; `SESSION_ABSOLUTE_DAYS` by default.
        authenticated_at: when the user authenticated, if that was earlier; now by default.
        acting: the superuser who impersonates the user, in place of a second factor of the user.
            The session has the assurance level of theirs.

    Raises:
        CannotImpersonate: with `acting`, instead of the next three.
        FreshSignInRequired: the user needs a second factor, has none, and did not authenticate
            recently enough to add one. The rest of the caller's transaction is committed as well.
        MfaRequired: the user needs a second factor. The challenge is stored, so the rest of the
            caller's transaction is committed as well.
        WrongCredentials: the credentials or the active flag changed after authentication. The
            failure is audited, so the rest of the caller's transaction is committed as well.
        ValueError: `methods` is empty or has an unknown method.
    """
    if not methods or not set(methods) <= AMR.keys():
        raise ValueError(f"methods must be one or more of {sorted(AMR)}, not {methods!r}")
    token = token or make_refresh_token(uuid4())
    amr = " ".join(dict.fromkeys(AMR[method] for method in methods))
    started = await queries.sign_in.start_session(
        db,
        user,
        session_id=token.session_id,
        token_hash=token.hash,
        aal=acting.aal if acting else 2 if set(methods) - FIRST_FACTORS else 1,
        amr=amr,
        client=client,
        lifetime=lifetime,
        authenticated_at=authenticated_at,
        event=audit.build_event("session.started", subject_id=user.id),
        acting=Acting(acting.id, acting.session_id) if acting else None,
    )
    if started is None and acting:
        raise CannotImpersonate("This account needs a second factor: sign in with yours first")
    if started is None:
        epoch = user.credential_epoch
        await challenges.require_factor(db, user.id, epoch, amr, authenticated_at)
    if not isinstance(db, Database):
        _record_start(db, user.id, token.session_id, started.surplus, acting)
    return SignedIn(started.user, token, devices.Account(user.id, started.credential_epoch))


async def authenticate(principals: DataLoader[UUID, Principal], access_token: str) -> Principal:
    """Return the user and the session of an access token.

    Raises:
        Unauthenticated: the token is invalid or expired, or its session has ended.
        InactiveUser: the session is live, but its user is inactive.
    """
    token = read_access_token(access_token)
    return check(await principals.get(token.session_id), token)


def check(principal: PrincipalT | None, token: AccessToken) -> PrincipalT:
    """Return the principal that was read for an access token.

    Raises:
        Unauthenticated: it does not exist, or is of another user, or its session has ended.
        InactiveUser: the session is live, but its user is inactive.
    """
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
        SessionNotFound: the session has ended, does not exist, or belongs to another user.
    """
    if await queries.session.revoke(db, session_id, reason, user_id=user_id) is None:
        raise SessionNotFound
    audit.record(db, "session.ended", subject_id=user_id, session_id=session_id, reason=reason)


async def end_all(db: AsyncSession, user_id: int, *, reason: str) -> None:
    await queries.session.revoke_all(db, user_id, reason)
    audit.record(db, "session.all_ended", subject_id=user_id, reason=reason)


def _record_start(
    db: AsyncSession,
    user_id: int,
    session_id: UUID,
    surplus: Sequence[UUID],
    acting: Principal | None,
) -> None:
    actor_id = acting.id if acting else user_id
    audit.record(
        db, "session.started", actor_id=actor_id, subject_id=user_id, session_id=session_id
    )
    for surplus_id in surplus:
        audit.record(
            db,
            "session.ended",
            actor_id=user_id,
            subject_id=user_id,
            session_id=surplus_id,
            reason=queries.sign_in.OVER_LIMIT_REASON,
        )


def issue_tokens(user_id: int, token: SessionToken) -> Tokens:
    return Tokens(
        access_token=issue_access_token(user_id, token.session_id),
        refresh_token=token.text,
        expires_in=settings.ACCESS_TOKEN_EXPIRE_MINUTES * 60,
    )
