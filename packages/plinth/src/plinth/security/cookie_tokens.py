"""Tokens that name a row: session tokens in a browser cookie, in place of an access and a refresh
token, and the tokens of pending sign-ins.

A token is the base64url encoding of 16 bytes of id and 32 random bytes. The hash of each kind has a
prefix of its own, so that a token is valid for its own kind only.
"""

import hashlib
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

ID, SECRET = 16, 32  # bytes; 48 in total need no padding


@dataclass(frozen=True, slots=True)
class RowToken:
    """
    Attributes:
        KIND: the prefix of what is hashed.
    """

    KIND: ClassVar[bytes]
    data: bytes

    @property
    def text(self) -> str:
        return urlsafe_b64encode(self.data).decode()

    @property
    def id(self) -> UUID:
        return UUID(bytes=self.data[:ID])

    @property
    def hash(self) -> bytes:
        # A fast hash is enough for 256 random bits.
        return hashlib.sha256(self.KIND + self.data).digest()


class CookieToken(RowToken):
    KIND = b"plinth cookie token\0"

    @property
    def session_id(self) -> UUID:
        return self.id


class ChallengeToken(RowToken):
    """The token of a pending sign-in (`accounts/services/challenges.py`)."""

    KIND = b"plinth challenge token\0"


def make_cookie_token(session_id: UUID) -> CookieToken:
    return CookieToken(session_id.bytes + secrets.token_bytes(SECRET))


def parse_cookie_token(text: str) -> CookieToken | None:
    """Return the token; None if the text is not one."""
    data = _decode(text)
    return CookieToken(data) if data else None


def make_challenge_token(challenge_id: UUID) -> ChallengeToken:
    return ChallengeToken(challenge_id.bytes + secrets.token_bytes(SECRET))


def parse_challenge_token(text: str) -> ChallengeToken | None:
    """Return the token; None if the text is not one."""
    data = _decode(text)
    return ChallengeToken(data) if data else None


def _decode(text: str) -> bytes | None:
    try:
        data = urlsafe_b64decode(text.encode("ascii"))
    except ValueError:
        return None
    is_exact = len(data) == ID + SECRET and urlsafe_b64encode(data).decode() == text
    return data if is_exact else None
