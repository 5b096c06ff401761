"""Encryption of database content, with a key derived from `SECRET_KEY`.

A dump, a replica or a backup does not reveal the content, and it cannot be moved to another row.
"""

import hmac
import secrets
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic_core import from_json, to_json

from plinth.config import settings

NONCE_BYTES = 12  # NIST SP 800-38D, section 5.2.1.1


def encrypt(content: dict[str, Any], *, belongs_to: str) -> bytes:
    """
    Args:
        content: JSON values. Other types, such as times, are decrypted as text.
        belongs_to: context that `decrypt` requires again, such as the kind and owner of the row.
    """
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + _cipher().encrypt(nonce, to_json(content), belongs_to.encode())


def decrypt(sealed: bytes, *, belongs_to: str) -> dict[str, Any]:
    """
    Raises:
        ValueError: another key or `belongs_to` was used, or the content was changed.
    """
    try:
        content = _cipher().decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], belongs_to.encode())
    except (InvalidTag, ValueError):  # ValueError: shorter than a nonce
        raise ValueError("encrypted with another SECRET_KEY, or changed since") from None
    decrypted: dict[str, Any] = from_json(content)
    return decrypted


def _cipher() -> AESGCM:
    return _make_cipher(settings.SECRET_KEY)


@lru_cache(maxsize=4)  # tests use several secrets
def _make_cipher(secret: str) -> AESGCM:
    return AESGCM(hmac.digest(secret.encode(), b"plinth sealed content", "sha256"))
