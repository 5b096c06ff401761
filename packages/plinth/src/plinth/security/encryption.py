"""What has to lie in the database, and may not be read there: sealed by a key made of SECRET_KEY.

A dump, a replica or a backup shows nothing of it, and no row's content can be moved to another.
"""

import hmac
import secrets
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic_core import from_json, to_json

from plinth.config import settings

NONCE_BYTES = 12  # bytes; NIST SP 800-38D, 5.2.1.1


def encrypt(content: dict[str, Any], *, belongs_to: str) -> bytes:
    """
    Args:
        content: what JSON can hold; what it has no form for, such as times, comes back as text.
        belongs_to: what has to be said again to open it, such as the kind and owner of the row.
    """
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + _cipher().encrypt(nonce, to_json(content), belongs_to.encode())


def decrypt(sealed: bytes, *, belongs_to: str) -> dict[str, Any]:
    """
    Raises:
        ValueError: it was sealed by another key, for something else, or was changed.
    """
    try:
        content = _cipher().decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], belongs_to.encode())
    except (InvalidTag, ValueError):  # the latter for less than a nonce
        raise ValueError("sealed by another SECRET_KEY, or changed since") from None
    found: dict[str, Any] = from_json(content)
    return found


def _cipher() -> AESGCM:
    return _make_cipher(settings.SECRET_KEY)


@lru_cache(maxsize=4)  # the secret is one, but for tests
def _make_cipher(secret: str) -> AESGCM:
    return AESGCM(hmac.digest(secret.encode(), b"plinth sealed content", "sha256"))
