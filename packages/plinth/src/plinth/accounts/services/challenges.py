"""Pending sign-ins, which a second factor completes.

A token is the base64url encoding of 16 bytes of challenge id and 32 random bytes. The database has
its hash, so the rows are enough while Redis is down.
"""

from datetime import timedelta
from typing import NoReturn
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import methods as factor_methods
from plinth.accounts import queries
from plinth.accounts.models import User
from plinth.accounts.queries.challenge import Pending
from plinth.accounts.services import audit, authentication
from plinth.accounts.services.authentication import MfaRequired
from plinth.config import settings
from plinth.db.database import Database
from plinth.errors import Rejected
from plinth.security.cookie_tokens import ChallengeToken, make_challenge_token

SIGN_IN = "sign_in"


class InvalidChallenge(Rejected):
    code = "invalid_challenge"
    detail = "This sign-in has expired or was completed: sign in again"


async def require_factor(
    db: Database | AsyncSession, user_id: int, epoch: int, amr: str
) -> NoReturn:
    """Reject a sign-in that started no session, with a challenge if only a factor is missing.

    Args:
        epoch: the user's `credential_epoch` when they authenticated.
        amr: the completed methods.

    Raises:
        MfaRequired
        WrongCredentials: the credentials or the active flag changed after authentication.
    """
    if isinstance(db, Database):
        async with db.transaction() as transaction:
            await require_factor(transaction, user_id, epoch, amr)
    user = await queries.user.get(db, user_id, lock=True)
    if user is None or not user.is_active or user.credential_epoch != epoch:
        await authentication.reject_changed_user(db, user_id)
    raise await begin(db, user, amr)


async def begin(db: AsyncSession, user: User, amr: str) -> MfaRequired:
    """Store a challenge for a user whose row is locked, and return the error that has its token."""
    token = make_challenge_token(uuid4())
    expires_at = await queries.challenge.add(
        db,
        kind=SIGN_IN,
        user_id=user.id,
        credential_epoch=user.credential_epoch,
        amr=amr,
        challenge_id=token.id,
        secret_hash=token.hash,
        lifetime=timedelta(minutes=settings.MFA_CHALLENGE_MINUTES),
    )
    audit.record(db, "session.challenged", actor_id=user.id, subject_id=user.id)
    methods = await factor_methods.find_available(db, user.id)
    return MfaRequired(token.text, methods, int(expires_at.timestamp()))


async def find(db: AsyncSession, token: ChallengeToken) -> Pending:
    """
    Raises:
        InvalidChallenge
    """
    pending = await queries.challenge.find(db, token.id, token.hash, SIGN_IN)
    if pending is None:
        raise InvalidChallenge
    return pending


async def consume(db: AsyncSession, token: ChallengeToken) -> Pending:
    """Use up a challenge. Of concurrent calls, one returns.

    Raises:
        InvalidChallenge
    """
    pending = await queries.challenge.consume(db, token.id, token.hash, SIGN_IN)
    if pending is None:
        raise InvalidChallenge
    return pending
