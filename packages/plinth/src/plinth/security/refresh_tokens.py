"""Refresh tokens. They are opaque to clients, and only their hashes are stored.

A token is the base64url encoding of 16 bytes of session id, 32 random bytes and an 18-byte
signature. Only a reused token with a valid signature revokes its family, so that knowing a session
id is not enough to revoke the session.
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

ID, SECRET, SIGNATURE, NONCE = 16, 32, 18, 12  # bytes; a token of 66 needs no padding
LENGTH = ID + SECRET + SIGNATURE

_signer = Signer("plinth refresh token mark")


@dataclass(slots=True, repr=False)
class RefreshToken:
    """
    Attributes:
        hash: a fast hash, which is enough for 256 random bits.
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
        return hmac.compare_digest(_sign(self.data[:-SIGNATURE]), self.data[-SIGNATURE:])


def make_refresh_token(session_id: UUID) -> RefreshToken:
    body = session_id.bytes + secrets.token_bytes(SECRET)
    return RefreshToken(body + _sign(body))


def parse_refresh_token(text: str) -> RefreshToken | None:
    """Return the token; None if the text is not one."""
    try:
        data = urlsafe_b64decode(text.encode("ascii"))
    except ValueError:
        return None
    if len(data) != LENGTH:
        return None
    token = RefreshToken(data)
    return token if token.text == text else None


def encrypt_successor(successor: RefreshToken, previous: RefreshToken) -> bytes:
    """Encrypt `successor` with `previous`: only a holder of `previous` can decrypt it."""
    nonce = secrets.token_bytes(NONCE)
    return nonce + AESGCM(_successor_key(previous)).encrypt(nonce, successor.data, None)


def decrypt_successor(encrypted: bytes, previous: RefreshToken) -> RefreshToken | None:
    try:
        data = AESGCM(_successor_key(previous)).decrypt(encrypted[:NONCE], encrypted[NONCE:], None)
    except (InvalidTag, ValueError):  # ValueError: shorter than a nonce
        return None
    return RefreshToken(data)


def _successor_key(token: RefreshToken) -> bytes:
    return hmac.digest(token.data, b"plinth refresh token successor", "sha256")


def _sign(body: bytes) -> bytes:
    return _signer.sign(body)[:SIGNATURE]
