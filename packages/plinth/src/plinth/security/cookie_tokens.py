"""Session tokens in a browser cookie, in place of an access and a refresh token.

A token is the base64url encoding of 16 bytes of session id and 32 random bytes. Its hash has a
prefix of its own, so that a cookie token is not valid as a refresh token, or the reverse.
"""

import hashlib
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from uuid import UUID

ID, SECRET = 16, 32  # bytes; 48 in total need no padding
KIND = b"plinth cookie token\0"


@dataclass(frozen=True, slots=True)
class CookieToken:
    data: bytes

    @property
    def text(self) -> str:
        return urlsafe_b64encode(self.data).decode()

    @property
    def session_id(self) -> UUID:
        return UUID(bytes=self.data[:ID])

    @property
    def hash(self) -> bytes:
        # A fast hash is enough for 256 random bits.
        return hashlib.sha256(KIND + self.data).digest()


def make_cookie_token(session_id: UUID) -> CookieToken:
    return CookieToken(session_id.bytes + secrets.token_bytes(SECRET))


def parse_cookie_token(text: str) -> CookieToken | None:
    """Return the token; None if the text is not one."""
    try:
        data = urlsafe_b64decode(text.encode("ascii"))
    except ValueError:
        return None
    token = CookieToken(data)
    return token if len(data) == ID + SECRET and token.text == text else None
