"""Challenges: tokens of one purpose, such as a pending sign-in that a second factor completes.

A token is the base64url encoding of 16 bytes of challenge id and 32 random bytes. The database has
its hash, so the rows are enough while Redis is down.
"""

from datetime import datetime, timedelta
from typing import Any, NoReturn
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import methods as factor_methods
from plinth.accounts import queries
from plinth.accounts.models import User
from plinth.accounts.queries.challenge import Pending
from plinth.accounts.services import audit, authentication
from plinth.accounts.services.authentication import FreshSignInRequired, MfaRequired
from plinth.config import settings
from plinth.db.database import Database
from plinth.errors import Rejected
from plinth.security import encryption
from plinth.security.cookie_tokens import (
    ChallengeToken,
    make_challenge_token,
    parse_challenge_token,
)

SIGN_IN = "sign_in"


class InvalidChallenge(Rejected):
    code = "invalid_challenge"
    detail = "This sign-in has expired or was completed: sign in again"


async def require_factor(
    db: Database | AsyncSession,
    user_id: int,
    epoch: int,
    amr: str,
    authenticated_at: datetime | None = None,
) -> NoReturn:
    """Reject a sign-in that started no session, with a challenge if only a factor is missing.

    Args:
        epoch: the user's `credential_epoch` when they authenticated.
        amr: the completed methods.
        authenticated_at: when they authenticated; now by default.

    Raises:
        FreshSignInRequired: the user has no factor, and may not add one that long afterwards.
        MfaRequired
        WrongCredentials: the credentials or the active flag changed after authentication.
    """
    if isinstance(db, Database):
        async with db.transaction() as transaction:
            await require_factor(transaction, user_id, epoch, amr, authenticated_at)
    user = await queries.user.get(db, user_id, lock=True)
    if user is None or not user.is_active or user.credential_epoch != epoch:
        await authentication.reject_changed_user(db, user_id)
    methods = await factor_methods.find_available(db, user.id)
    if not methods and authenticated_at and not authentication.is_recent(authenticated_at):
        await _reject_old_sign_in(db, user.id)
    raise await _begin(db, user, amr, methods)


async def _reject_old_sign_in(db: AsyncSession, user_id: int) -> NoReturn:
    """Refuse to let the session of someone else at a provider add the first factor."""
    audit.record(
        db,
        "session.started",
        outcome="failure",
        subject_id=user_id,
        reason="authenticated too long ago to add a second factor",
    )
    raise await authentication.build_step_up(db, user_id, FreshSignInRequired)


async def _begin(db: AsyncSession, user: User, amr: str, methods: list[str]) -> MfaRequired:
    """Store a challenge for a user whose row is locked, and return the error that has its token."""
    lifetime = timedelta(minutes=settings.MFA_CHALLENGE_MINUTES)
    token, expires_at = await add(db, SIGN_IN, lifetime, user=user, amr=amr)
    audit.record(db, "session.challenged", actor_id=user.id, subject_id=user.id)
    return MfaRequired(token.text, methods, int(expires_at.timestamp()))


async def add(
    db: AsyncSession,
    kind: str,
    lifetime: timedelta,
    *,
    user: User | None = None,
    amr: str = "",
    content: dict[str, Any] | None = None,
    browser_hash: bytes | None = None,
) -> tuple[ChallengeToken, datetime]:
    """Store a challenge, and return its token and when it expires.

    Args:
        kind: the purpose, which `find` and `consume` must name again.
        user: whose row is locked. Without one, limit the calls per network.
        content: JSON values, stored encrypted. `open_content` returns them.
        browser_hash: `find` and `consume` must pass it again.
    """
    token = make_challenge_token(uuid4())
    sealed = encryption.encrypt(content, belongs_to=f"{kind} {token.id}") if content else None
    expires_at = await queries.challenge.add(
        db,
        kind=kind,
        challenge_id=token.id,
        secret_hash=token.hash,
        lifetime=lifetime,
        user=user,
        amr=amr,
        sealed=sealed,
        browser_hash=browser_hash,
    )
    return token, expires_at


def open_content(token: ChallengeToken, kind: str, pending: Pending) -> dict[str, Any]:
    """Return the content of a challenge.

    Raises:
        InvalidChallenge: it has none, or it was encrypted with a key that is no longer known.
    """
    try:
        return encryption.decrypt(pending.sealed or b"", belongs_to=f"{kind} {token.id}")
    except ValueError:
        raise InvalidChallenge from None


async def find(
    db: AsyncSession, token: ChallengeToken, kind: str = SIGN_IN, browser_hash: bytes | None = None
) -> Pending:
    """
    Raises:
        InvalidChallenge
    """
    return _require(await queries.challenge.find(db, token.id, token.hash, kind, browser_hash))


async def consume(
    db: AsyncSession, token: ChallengeToken, kind: str = SIGN_IN, browser_hash: bytes | None = None
) -> Pending:
    """Use up a challenge. Of concurrent calls, one returns.

    Raises:
        InvalidChallenge
    """
    return _require(await queries.challenge.consume(db, token.id, token.hash, kind, browser_hash))


async def find_answerable(
    db: AsyncSession, token: ChallengeToken, kind: str, *, max_attempts: int
) -> Pending:
    """Return a challenge that accepts another answer, even if its user has changed since.

    Raises:
        InvalidChallenge
    """
    return _require(
        await queries.challenge.find_answerable(
            db, token.id, token.hash, kind, max_attempts=max_attempts
        )
    )


async def count_attempt(
    db: AsyncSession, token: ChallengeToken, kind: str, *, max_attempts: int
) -> Pending:
    """Count an answer before it is verified. The row is enough for that, also without Redis.

    Raises:
        InvalidChallenge: it expired, was completed, or had `max_attempts` answers.
    """
    return _require(
        await queries.challenge.count_attempt(
            db, token.id, token.hash, kind, max_attempts=max_attempts
        )
    )


def parse(text: str) -> ChallengeToken:
    """
    Raises:
        InvalidChallenge: the text is not a token.
    """
    token = parse_challenge_token(text)
    if token is None:
        raise InvalidChallenge
    return token


def _require(pending: Pending | None) -> Pending:
    if pending is None:
        raise InvalidChallenge
    return pending
