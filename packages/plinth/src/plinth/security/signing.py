"""Marks by which we know what we made: HMAC-SHA-256 (RFC 2104), a key for each purpose.

The keys are made of SECRET_KEY, so that what is marked for one purpose says nothing for another.
"""

import hmac
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from plinth.config import settings

SIGNATURE_BYTES: Final = 32  # bytes


def derive_key(purpose: str) -> bytes:
    return hmac.digest(settings.SECRET_KEY.encode(), purpose.encode(), "sha256")


class Signer:
    """Its key is set up once: for a short message that is most of the work."""

    def __init__(self, purpose: str) -> None:
        self._keyed = HMAC(derive_key(purpose), SHA256())

    def sign(self, message: bytes) -> bytes:
        made = self._keyed.copy()
        made.update(message)
        return made.finalize()
