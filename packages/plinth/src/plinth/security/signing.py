"""Signatures by HMAC-SHA-256 (RFC 2104), with a key for each purpose.

Each key is derived from `SECRET_KEY` and the purpose, so that a signature is valid for one purpose
only.
"""

import hmac
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from plinth.config import settings

SIGNATURE_BYTES: Final = 32


def derive_key(purpose: str) -> bytes:
    return hmac.digest(settings.SECRET_KEY.encode(), purpose.encode(), "sha256")


class Signer:
    """Sign messages. The key is set up once, which is most of the cost of a short message."""

    def __init__(self, purpose: str) -> None:
        self._keyed = HMAC(derive_key(purpose), SHA256())

    def sign(self, message: bytes) -> bytes:
        mac = self._keyed.copy()
        mac.update(message)
        return mac.finalize()
