"""One-time tokens: 32 random bytes in the link of a mail. The database has only their hash."""

import hashlib
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from plinth.accounts import queries
from plinth.accounts.models import User
from plinth.accounts.queries.one_time_token import UsedToken
from plinth.config import settings
from plinth.errors import Rejected

RESET, VERIFY, CHANGE = "password_reset", "email_verify", "email_change"
TOKEN_BYTES = 32


class InvalidToken(Rejected):
    code = "invalid_token"
    detail = "Invalid or expired token"


@dataclass(frozen=True, slots=True)
class IssuedToken:
    token: str
    expires_at: int
    """Unix time in seconds."""


async def issue(
    db: AsyncSession, user: User, purpose: str, email: str, *, session_id: UUID | None = None
) -> IssuedToken:
    """Create a token to be mailed to `email`.

    Earlier tokens for the same purpose and address stay valid. Those for another address become
    invalid.

    Args:
        user: a new user, or one whose row is locked.
    """
    secret = secrets.token_bytes(TOKEN_BYTES)
    expires_at = await queries.one_time_token.store(
        db,
        user_id=user.id,
        purpose=purpose,
        token_hash=_hash(secret),
        email=email,
        session_id=session_id,
        lifetime=_lifetime(purpose),
    )
    return IssuedToken(_encode(secret), int(expires_at.timestamp()))


async def lock_owner(db: AsyncSession, text: str, *purposes: str) -> User:
    """Return the owner of a token and lock the row. The token stays valid.

    Raises:
        InvalidToken
    """
    user_id = await find_owner(db, text, *purposes)
    # Lock the user before the token, as all code that deletes tokens does, to avoid a deadlock.
    user = await queries.user.get(db, user_id, lock=True)
    if user is None:
        raise InvalidToken
    return user


async def find_owner(db: AsyncSession, text: str, *purposes: str) -> int:
    """Return the id of the token's owner.

    Raises:
        InvalidToken
    """
    user_id = await queries.one_time_token.find_owner(db, _parse(text), purposes)
    if user_id is None:
        raise InvalidToken
    return user_id


async def use(db: AsyncSession, text: str, *purposes: str) -> UsedToken:
    """Use up a token.

    Raises:
        InvalidToken: the token is unknown, used, expired, revoked or for another purpose, or its
            user is inactive. The message is the same for all of them.
    """
    used = await queries.one_time_token.use(db, _parse(text), purposes)
    if used is None:
        raise InvalidToken
    return used


def _lifetime(purpose: str) -> timedelta:
    if purpose == RESET:
        return timedelta(minutes=settings.PASSWORD_RESET_MINUTES)
    return timedelta(hours=settings.EMAIL_VERIFY_HOURS)


def _parse(text: str) -> bytes:
    """Return the hash of a token as received."""
    try:
        secret = urlsafe_b64decode(text.encode("ascii") + b"=")
    except ValueError:
        raise InvalidToken from None
    if len(secret) != TOKEN_BYTES or _encode(secret) != text:
        raise InvalidToken
    return _hash(secret)


def _encode(secret: bytes) -> str:
    return urlsafe_b64encode(secret).rstrip(b"=").decode()


def _hash(secret: bytes) -> bytes:
    # 256 random bits cannot be guessed, so a fast hash is enough.
    return hashlib.sha256(secret).digest()
