"""Refresh tokens: opaque to whoever holds one, and nowhere stored but as a hash.

A token is base64url of 16 bytes of session id, 32 random bytes and an 18-byte mark by which we know
our own: only a token that we issued, and that was used before, ends its family. A stranger who
knows a session's id cannot end it with a made-up one.
"""

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from plinth.security.signing import Signer

ID, SECRET, MARK, NONCE = 16, 32, 18, 12  # 66 bytes together, so that no padding is needed
LENGTH = ID + SECRET + MARK

_marker = Signer("plinth refresh token mark")


@dataclass(slots=True, repr=False)
class RefreshToken:
    """
    Attributes:
        hash: a plain one is enough: nobody guesses 256 random bits, however fast the hash.
    """

    data: bytes
    session_id: UUID = field(init=False)
    hash: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.session_id = UUID(bytes=self.data[:ID])
        self.hash = hashlib.sha256(self.data).digest()

    @property
    def text(self) -> str:
        return urlsafe_b64encode(self.data).decode()

    @property
    def is_ours(self) -> bool:
        return hmac.compare_digest(_mark(self.data[:-MARK]), self.data[-MARK:])


def make_refresh_token(session_id: UUID) -> RefreshToken:
    body = session_id.bytes + secrets.token_bytes(SECRET)
    return RefreshToken(body + _mark(body))


def parse_refresh_token(text: str) -> RefreshToken | None:
    """The token, or None where the text cannot be one."""
    try:
        data = urlsafe_b64decode(text.encode("ascii"))
    except ValueError:
        return None
    if len(data) != LENGTH:
        return None
    token = RefreshToken(data)
    return token if token.text == text else None


def encrypt_successor(successor: RefreshToken, previous: RefreshToken) -> bytes:
    """Lock `successor` with `previous`: who holds the one may have the other, and nobody else."""
    nonce = secrets.token_bytes(NONCE)
    return nonce + AESGCM(_seal_key(previous)).encrypt(nonce, successor.data, None)


def decrypt_successor(sealed: bytes, previous: RefreshToken) -> RefreshToken | None:
    try:
        data = AESGCM(_seal_key(previous)).decrypt(sealed[:NONCE], sealed[NONCE:], None)
    except (InvalidTag, ValueError):  # the latter for less than a nonce
        return None
    return RefreshToken(data)


def _seal_key(token: RefreshToken) -> bytes:
    return hmac.digest(token.data, b"plinth refresh token successor", "sha256")


def _mark(body: bytes) -> bytes:
    return _marker.sign(body)[:MARK]
