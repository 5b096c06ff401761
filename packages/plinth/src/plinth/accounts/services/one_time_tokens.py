"""One-time tokens: 32 random bytes in a mail's link, in the database only their hash."""

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
class Issued:
    token: str
    expires_at: int
    """An epoch."""


async def issue(
    db: AsyncSession, user: User, purpose: str, email: str, *, session_id: UUID | None = None
) -> Issued:
    """Return a token for a mail to `email`. Earlier ones of this purpose stay valid beside it,
    unless they went to another address.

    Args:
        user: locked, or new.
    """
    secret = secrets.token_bytes(TOKEN_BYTES)
    expires_at = await queries.one_time_token.put(
        db,
        user_id=user.id,
        purpose=purpose,
        token_hash=_hash(secret),
        email=email,
        session_id=session_id,
        lifetime=_lifetime(purpose),
    )
    return Issued(_spell(secret), int(expires_at.timestamp()))


async def lock_owner(db: AsyncSession, text: str, *purposes: str) -> User:
    """Whose token it is, kept from changing until the transaction ends. It is not used yet.

    Raises:
        InvalidToken
    """
    user_id = await find_owner(db, text, *purposes)
    # The user before the token, as everyone does who voids tokens: else two could wait for each
    # other.
    user = await queries.user.get(db, user_id, lock=True)
    if user is None:
        raise InvalidToken
    return user


async def find_owner(db: AsyncSession, text: str, *purposes: str) -> int:
    """
    Raises:
        InvalidToken
    """
    user_id = await queries.one_time_token.find_owner(db, _parse(text), purposes)
    if user_id is None:
        raise InvalidToken
    return user_id


async def use(db: AsyncSession, text: str, *purposes: str) -> UsedToken:
    """
    Raises:
        InvalidToken: it is unknown, used, expired, void, for something else, or its user is not
            active. The answer does not say which.
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
    """The hash to look for."""
    try:
        secret = urlsafe_b64decode(text.encode("ascii") + b"=")
    except ValueError:
        raise InvalidToken from None
    if len(secret) != TOKEN_BYTES or _spell(secret) != text:
        raise InvalidToken
    return _hash(secret)


def _spell(secret: bytes) -> str:
    return urlsafe_b64encode(secret).rstrip(b"=").decode()


def _hash(secret: bytes) -> bytes:
    # A plain hash is enough: nobody guesses 256 random bits, however fast the hash.
    return hashlib.sha256(secret).digest()
