"""Encryption of database content, with a key derived from `SECRET_KEY`.

A dump, a replica or a backup does not reveal the content, and it cannot be moved to another row.
After a change of `SECRET_KEY`, the keys of `SECRET_KEY_FALLBACKS` still decrypt.
"""

import hmac
import secrets
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic_core import from_json, to_json

from plinth.config import settings


@dataclass(frozen=True, slots=True)
class Reencrypted:
    """The result of a batch.

    Attributes:
        lost: the number of rows that no key decrypts.
        last_id: of the batch.
    """

    done: int
    lost: int
    last_id: UUID


NONCE_BYTES = 12  # NIST SP 800-38D, section 5.2.1.1
KEY_ID_BYTES = 8


def encrypt(content: dict[str, Any], *, belongs_to: str) -> bytes:
    """
    Args:
        content: JSON values. Other types, such as times, are decrypted as text.
        belongs_to: context that `decrypt` requires again, such as the kind and owner of the row.
    """
    nonce = secrets.token_bytes(NONCE_BYTES)
    cipher = _make_cipher(settings.SECRET_KEY)
    return nonce + cipher.encrypt(nonce, to_json(content), belongs_to.encode())


def decrypt(sealed: bytes, *, belongs_to: str) -> dict[str, Any]:
    """
    Raises:
        ValueError: another key or `belongs_to` was used, or the content was changed.
    """
    for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        try:
            content = _decrypt(secret, sealed, belongs_to)
        except (InvalidTag, ValueError):  # ValueError: shorter than a nonce
            continue
        decrypted: dict[str, Any] = from_json(content)
        return decrypted
    raise ValueError("encrypted with another SECRET_KEY, or changed since")


def reencrypt(sealed: bytes, *, belongs_to: str) -> bytes | None:
    """Encrypt content with the current key if an earlier one encrypted it; else return None.

    Raises:
        ValueError: as `decrypt`.
    """
    try:
        _decrypt(settings.SECRET_KEY, sealed, belongs_to)
    except (InvalidTag, ValueError):
        return encrypt(decrypt(sealed, belongs_to=belongs_to), belongs_to=belongs_to)
    return None


def current_key_id() -> str:
    """Return the id of the key that `encrypt` uses, to find content under an earlier key."""
    digest = hmac.digest(settings.SECRET_KEY.encode(), b"plinth encryption key id", "sha256")
    return digest[:KEY_ID_BYTES].hex()


def _decrypt(secret: str, sealed: bytes, belongs_to: str) -> bytes:
    return _make_cipher(secret).decrypt(
        sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], belongs_to.encode()
    )


@lru_cache(maxsize=16)
def _make_cipher(secret: str) -> AESGCM:
    return AESGCM(hmac.digest(secret.encode(), b"plinth sealed content", "sha256"))
