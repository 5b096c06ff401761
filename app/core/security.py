"""Tokens and password hashes."""

from uuid import UUID

from plinth.security import passwords
from plinth.security.passwords import hash_password as get_password_hash
from plinth.security.refresh_tokens import make_refresh_token
from plinth.security.tokens import issue_access_token as create_access_token
from plinth.security.tokens import read_access_token as verify_token

__all__ = [
    "create_access_token",
    "create_refresh_token",
    "get_password_hash",
    "verify_password",
    "verify_token",
]


def create_refresh_token(session_id: UUID) -> str:
    """Return a new refresh token. It is valid once its hash is stored with the session."""
    return make_refresh_token(session_id).text


async def verify_password(password: str, hashed_password: str | None) -> bool:
    """Return whether the password matches. A hash of None never does, and takes the same time.

    Raises:
        Unavailable: the queue for password hashing is full.
    """
    return bool(await passwords.verify_password(password, hashed_password))
