"""Start the session of a superuser: by a password, a second factor, or a passkey alone."""

from datetime import timedelta
from uuid import uuid4

from pydantic import BaseModel, Json
from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts.models import User
from plinth.accounts.queries.sign_in import Candidate
from plinth.accounts.schemas.factor import ChallengeText, SecondFactor
from plinth.accounts.schemas.passkey import AssertionCredential, RequestOptions
from plinth.accounts.services import audit, authentication, second_factor, sessions
from plinth.accounts.services.passkeys import assertion
from plinth.accounts.services.sessions import SignedIn
from plinth.config import settings
from plinth.db.database import Database, after_commit
from plinth.errors import PermissionDenied
from plinth.request.client import Client
from plinth.security.cookie_tokens import make_cookie_token


class NotASuperuser(PermissionDenied):
    detail = "Only superusers may sign in here"
    commit_on_error = True  # keeps the audit event


class PasskeyForm(BaseModel):
    """
    Attributes:
        challenge: of the pending sign-in; empty to sign in with the passkey alone.
    """

    challenge: ChallengeText = ""
    credential: Json[AssertionCredential]


async def by_password(
    database: Database, email: str, password: str, client: Client, device: str | None = None
) -> SignedIn:
    """Start a session of a superuser, with the limits and errors of `sessions.sign_in`.

    The session has no access or refresh token, and ends after `ADMIN_SESSION_HOURS`.

    Raises:
        NotASuperuser: the password is right.
    """
    authenticated = await authentication.authenticate_credentials(
        database, email, password, client, device
    )
    if not authenticated.user.is_superuser:
        async with database.transaction() as db:
            after_commit(db, authenticated.attempt.refund)
            require_superuser(db, authenticated.user)
    token = make_cookie_token(uuid4())
    start = sessions.complete_sign_in(
        database, authenticated.user, ("password",), client, token=token, lifetime=_lifetime()
    )
    return await authentication.refund_on_success(authenticated, start)


async def by_code(
    database: Database, sent: SecondFactor, client: Client, device: str | None = None
) -> SignedIn:
    """Complete the sign-in of a superuser with a code.

    Raises:
        PlinthError: see `second_factor.complete`.
    """
    proof = second_factor.Proof(sent.challenge, sent.method, sent.code)
    return await _complete(database, proof, client, device)


async def by_passkey(
    database: Database, sent: PasskeyForm, client: Client, device: str | None = None
) -> SignedIn:
    """Complete the sign-in of a superuser with a passkey, or sign in with the passkey alone.

    Raises:
        PlinthError: see `second_factor.complete` and `assertion.sign_in`.
    """
    if sent.challenge:
        proof = second_factor.PasskeyProof(sent.challenge, sent.credential.content)
        return await _complete(database, proof, client, device)
    return await assertion.sign_in(
        database,
        sent.credential.content,
        client,
        token=make_cookie_token(uuid4()),
        lifetime=_lifetime(),
        admit=require_superuser,
    )


async def begin_passkey(database: Database, challenge: str, client: Client) -> RequestOptions:
    """Return the options for `by_passkey`.

    Args:
        challenge: of the pending sign-in; empty to sign in with the passkey alone.

    Raises:
        PlinthError: see `second_factor.begin_passkey` and `assertion.begin_sign_in`.
    """
    if challenge:
        return await second_factor.begin_passkey(database, challenge)
    return await assertion.begin_sign_in(database, client)


async def _complete(
    database: Database, proof: second_factor.AnyProof, client: Client, device: str | None
) -> SignedIn:
    return await second_factor.complete(
        database,
        proof,
        client,
        device,
        token=make_cookie_token(uuid4()),
        lifetime=_lifetime(),
        admit=require_superuser,
    )


def require_superuser(db: AsyncSession, user: User | Candidate) -> None:
    """Audit and reject an authenticated user who is not a superuser.

    Raises:
        NotASuperuser
    """
    if user.is_superuser:
        return
    audit.record(
        db,
        "session.started",
        outcome="failure",
        actor_id=user.id,
        subject_id=user.id,
        reason="not a superuser, in the admin",
    )
    raise NotASuperuser


def _lifetime() -> timedelta:
    return timedelta(hours=settings.ADMIN_SESSION_HOURS)
