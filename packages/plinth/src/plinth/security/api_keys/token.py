"""The text of an API key.

The parts have fixed lengths. The prefix and the checksum let a scanner of source code recognize a
leaked key without a request, as for the tokens of GitHub. The checksum is no protection: everyone
can compute it. It spares a query for mistyped and invented keys.

Only a hash is stored: SHA-256 of the whole key, without a salt and without a secret of ours. A slow
hash and a salt protect secrets that can be guessed, unlike 190 random bits. A keyed hash
would end all keys with a change of `SECRET_KEY`. The hash covers the environment and the id, so
that a key of one environment is no key of another one whose database is a copy.
"""

import hashlib
import re
import secrets
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from uuid import UUID
from zlib import crc32

from plinth.config import settings
from plinth.security.api_keys import base62

PREFIX: Final = "plk_"
LIVE, TEST = "live", "test"
ID_LENGTH, SECRET_LENGTH, CHECKSUM_LENGTH = 22, 32, 6  # 128, 190 and 32 bits
MAX_ID = 2**128 - 1
MAX_CACHED_IDS = 4096
PATTERN: Final = (
    rf"{PREFIX}(?:{LIVE}|{TEST})"
    rf"_[0-9A-Za-z]{{{ID_LENGTH}}}_[0-9A-Za-z]{{{SECRET_LENGTH}}}_[0-9A-Za-z]{{{CHECKSUM_LENGTH}}}"
)
"""A regular expression for scanners of secrets."""
_BEGINNING = re.compile(rf"{PREFIX}(?:{LIVE}|{TEST})_([0-9A-Za-z]{{{ID_LENGTH}}})(?:_|\Z)")
_FORMAT = re.compile(PATTERN, re.ASCII)
LENGTH: Final = len(PREFIX) + len(LIVE) + ID_LENGTH + SECRET_LENGTH + CHECKSUM_LENGTH + 3


@dataclass(frozen=True, slots=True, repr=False)
class ApiKeyToken:
    """
    Attributes:
        text: the key; show it once, and store it nowhere.
    """

    id: UUID
    hash: bytes
    text: str


def find_environment() -> str:
    """Return the environment of the keys that this process issues and accepts."""
    return LIVE if settings.ENVIRONMENT == "production" else TEST


def make_prefix(key_id: UUID) -> str:
    """Return the beginning of the key with this id, by which its owner recognizes it."""
    return f"{PREFIX}{find_environment()}_{base62.encode(key_id.int, ID_LENGTH)}"


def find_key_id(text: str) -> UUID | None:
    """Return the id in a key or in its beginning (`make_prefix`); None if it has none."""
    match = _BEGINNING.match(text)
    return _read_id(match[1]) if match else None


def looks_like_key(text: str) -> bool:
    """Return whether a credential is meant to be an API key. No other token has this prefix."""
    return text.startswith(PREFIX)


def make_api_key(key_id: UUID) -> ApiKeyToken:
    secret = "".join(secrets.choice(base62.ALPHABET) for _ in range(SECRET_LENGTH))
    body = f"{make_prefix(key_id)}_{secret}"
    text = f"{body}_{_checksum(body)}"
    return ApiKeyToken(key_id, _hash(text), text)


def parse_api_key(text: str) -> ApiKeyToken | None:
    """Return the id and the hash of a key; None if the text is none of this environment.

    The length is compared first, so that the work is bounded for any text.
    """
    if len(text) != LENGTH or _FORMAT.fullmatch(text) is None:
        return None
    body, _, checksum = text.rpartition("_")
    _, environment, number, _ = body.split("_")
    if environment != find_environment() or checksum != _checksum(body):
        return None
    if (key_id := _read_id(number)) is None:
        return None
    return ApiKeyToken(key_id, _hash(text), text)


@lru_cache(maxsize=MAX_CACHED_IDS)
def _read_id(part: str) -> UUID | None:
    """Cached, since it takes a third of the time of a key. The id is no secret."""
    number = base62.decode(part)
    return UUID(int=number) if number <= MAX_ID else None


def _checksum(body: str) -> str:
    return base62.encode(crc32(body.encode()), CHECKSUM_LENGTH)


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
