"""Signatures by HMAC-SHA-256 (RFC 2104), with a key for each purpose.

Each key is derived from `SECRET_KEY` and the purpose, so that a signature is valid for one purpose
only. `verify` also accepts the keys of `SECRET_KEY_FALLBACKS`, for signatures that are stored.
"""

import hmac
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from plinth.config import settings

SIGNATURE_BYTES: Final = 32


def derive_key(purpose: str, secret: str | None = None) -> bytes:
    """
    Args:
        secret: by default `SECRET_KEY`.
    """
    return hmac.digest((secret or settings.SECRET_KEY).encode(), purpose.encode(), "sha256")


def sign(purpose: str, message: bytes) -> bytes:
    return hmac.digest(derive_key(purpose), message, "sha256")


def verify(purpose: str, message: bytes, signature: bytes) -> bool:
    """Return whether `SECRET_KEY` or an earlier one signed the message."""
    return any(
        hmac.compare_digest(hmac.digest(derive_key(purpose, secret), message, "sha256"), signature)
        for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    )


class Signer:
    """Sign messages. The key is set up once, which is most of the cost of a short message."""

    def __init__(self, purpose: str) -> None:
        self._keyed = HMAC(derive_key(purpose), SHA256())

    def sign(self, message: bytes) -> bytes:
        mac = self._keyed.copy()
        mac.update(message)
        return mac.finalize()
